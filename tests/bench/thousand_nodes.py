"""A deployment of a thousand nodes, planned from its history after one of them was changed.

A thousand containers do not fit on one machine, so the history says of all nodes what a deploy would have left: that
their files are those that follow from the definitions. What is measured is the whole command, from its start to its
last line.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from common.system import Deployment
from seter import artifacts, history
from seter.definition import pack, read_definition
from seter.history import DONE, EPOCH, STATES, History, Run
from seter.recorded import Left, states_after
from seter.render import Work
from seter.state import Observed, Subnets
from seter.survey import Request, survey
from tests.bench.rows import Row, alone

ROOT = Path(__file__).parents[2]
NODES = 1000
STORE = str(ROOT / ".naust")
TARGET = """target "container" {{
  kind  = "container"
  image = "debian-13"
  network "front" {{ length = 20 }}
  nodes "servers" {{
{servers}
  }}
  nodes "extra" {{
    node "x1" {{ networks = ["front"] }}
  }}
}}
"""
SERVER = ('    node "w{number}" {{ networks = ["front"] }}\n', '      parameters {{ greeting = "changed" }}\n')
CLIENT = ('    node "cl{number}" {{ networks = ["clients"] }}\n', '      parameters {{ interval = "3s" }}\n')
Lines = tuple[str, str]  # of a node, and what is put into the one that is changed


def small(changed: int) -> str:
    """Two roles on each of so many servers."""
    return TARGET.format(servers=_nodes(SERVER, NODES - 1, changed))


def s3_lb(changed: int) -> str:
    """Its gateways, routers and storage as they are, and clients without end."""
    text = (ROOT / "systems/s3-lb/targets/container.hcl").read_text()
    for name in ("fabric", "clients"):
        text = text.replace(f'network "{name}" {{}}', f'network "{name}" {{ length = 20 }}')
    before = text.index('    node "cl1"')
    return f"{text[:before]}{_nodes(CLIENT, NODES - text.count(' node ') + 1, changed)}  }}\n}}\n"


def _nodes(lines: Lines, many: int, changed: int) -> str:
    plain, told = lines
    one = plain.replace(" {{", " {{\n      ").replace(" }}", f"\n{told}    }}}}")
    return "".join((one if number == changed else plain).format(number=number) for number in range(1, many + 1))


@dataclass(frozen=True)
class Fleet:
    """A system on so many nodes, whose target's text is made with the number of the one that is changed."""

    folder: Path
    system: str
    source: Path
    networks: tuple[str, ...]
    target: Callable[[int], str]

    @property
    def environment(self) -> dict[str, str]:
        """By which seter finds it."""
        named = {"SETER_STATE": "state", "SETER_IDENTITY": "identity", "SETER_SYSTEMS": "systems"}
        return {name: str(self.folder / part) for name, part in named.items()}

    def write(self, changed: int) -> None:
        """The target, with another value of a parameter on this node; on none for 0."""
        (self.folder / f"systems/{self.system}/targets/container.hcl").write_text(self.target(changed))

    def begin(self) -> None:
        """Definitions, and a history in which all was deployed."""
        shutil.copytree(self.source, self.folder / "systems", symlinks=True)
        self.write(0)
        with patch.dict(os.environ, self.environment):
            _record(Request(Deployment(self.system, "container", "bench"), store=STORE, recorded=True), self.networks)

    def plan(self, *words: str) -> tuple[float, str]:
        """Seconds, and what it printed."""
        argv = [str(ROOT / ".venv/bin/seter"), "plan", self.system, "--target", "container", "--instance", "bench"]
        argv += ["--recorded", "--brief", *words]
        started = time.perf_counter()
        ended = subprocess.run(argv, cwd=ROOT, env=os.environ | self.environment, capture_output=True, text=True)
        taken = time.perf_counter() - started
        if ended.returncode != 0:
            raise SystemExit(f"bench: {ended.stderr[-2000:]}")
        return taken, ended.stdout


class _All(Left):
    """Says of every (node, role) that it is what is wanted."""

    def known(self, works: Iterable[Work]) -> dict[tuple[str, str], str]:
        return {work.seat.key: work.digest for work in works}


def _record(request: Request, networks: Sequence[str]) -> None:
    subnets = {name: Subnets(f"10.213.{16 * n}.0/20", f"fd00:0:0:{n}::/64") for n, name in enumerate(networks)}
    empty = Observed(subnets, {}, {})
    run = Run(str(request.deployment), "deploy", {}, number=1, started=EPOCH, finished=EPOCH)
    with patch("seter.survey.left", lambda keep: _All(run, empty, {})):
        seen = survey(request, lambda event: None)
    seen.vault.save()
    runs = History(request.keep)
    systems = seen.blueprint.roles_folder.parent
    parts = {
        history.DEFINITION: pack(read_definition(systems, request.deployment.system)),
        history.CONFIGURATION: history.configuration({node: tree.files for node, tree in seen.trees.items()}, ()),
    }
    begun = runs.begin(replace(run, artifacts=artifacts.names(seen.images)), parts)
    runs.conclude(begun, DONE, {STATES: states_after(seen)})


def planning() -> list[Row]:
    """`plan --recorded`, the whole command, of two systems: nothing changed, one node changed, its files rendered."""
    with tempfile.TemporaryDirectory(prefix="seter-bench-") as one, tempfile.TemporaryDirectory() as other:
        small_one = Fleet(Path(one), "small", ROOT / "tests/integration/small", ("front",), small)
        whole = Fleet(Path(other), "s3-lb", ROOT / "systems", ("fabric", "clients"), s3_lb)
        return [*_planning(small_one, f"w{NODES // 2}"), *_planning(whole, f"cl{NODES // 2}")]


def _planning(fleet: Fleet, changed: str) -> list[Row]:
    fleet.begin()
    nothing = statistics.median(fleet.plan()[0] for _ in range(5))
    fleet.write(NODES // 2)
    taken, shown = zip(*(fleet.plan() for _ in range(5)), strict=True)
    if {line.split("\t")[1] for text in shown for line in text.splitlines()} != {changed}:
        raise SystemExit(f"bench: the plan is about other nodes than the one that was changed\n{shown[0][:2000]}")
    title = f"plan --recorded of {fleet.system}, 1,000 nodes"
    return [
        alone(f"{title}, nothing changed", nothing),
        alone(f"{title}, one changed", statistics.median(taken)),
        alone(f"{title}, one changed, its files rendered", fleet.plan("--render")[0]),
    ]
