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
from collections.abc import Iterable
from dataclasses import replace
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
NODE = '    node "w{number}" {{ networks = ["front"] }}'
ONE = '    node "w{number}" {{\n      networks = ["front"]\n      parameters {{ greeting = "changed" }}\n    }}'


class _All(Left):
    """Says of every (node, role) that it is what is wanted."""

    def known(self, works: Iterable[Work]) -> dict[tuple[str, str], str]:
        return {work.seat.key: work.digest for work in works}


def fleet(folder: Path) -> dict[str, str]:
    """Definitions of so many nodes, and a history in which all was deployed; the environment that finds them."""
    shutil.copytree(ROOT / "tests/integration/small", folder / "systems")
    _write_target(folder, changed=0)
    environment = {
        "SETER_STATE": str(folder / "state"),
        "SETER_IDENTITY": str(folder / "identity"),
        "SETER_SYSTEMS": str(folder / "systems"),
    }
    with patch.dict(os.environ, environment):
        _record(Request(Deployment("small", "container", "bench"), store=str(ROOT / ".naust"), recorded=True))
    return environment


def _record(request: Request) -> None:
    empty = Observed({"front": Subnets("10.213.0.0/20", "fd00::/64")}, {}, {})
    run = Run(str(request.deployment), "deploy", {}, number=1, started=EPOCH, finished=EPOCH)
    with patch("seter.survey.left", lambda keep: _All(run, empty, {})):
        seen = survey(request, lambda event: None)
    seen.vault.save()
    runs = History(request.keep)
    systems = seen.blueprint.roles_folder.parent
    parts = {
        history.DEFINITION: pack(read_definition(systems, "small")),
        history.CONFIGURATION: history.configuration({node: tree.files for node, tree in seen.trees.items()}, ()),
    }
    begun = runs.begin(replace(run, artifacts=artifacts.names(seen.images)), parts)
    runs.conclude(begun, DONE, {STATES: states_after(seen)})


def _write_target(folder: Path, *, changed: int) -> None:
    lines = ((ONE if number == changed else NODE).format(number=number) for number in range(1, NODES))
    text = TARGET.format(servers="\n".join(lines))
    (folder / "systems/small/targets/container.hcl").write_text(text)


def plan(environment: dict[str, str], *words: str) -> tuple[float, str]:
    """Seconds, and what it printed."""
    argv = [str(ROOT / ".venv/bin/seter"), "plan", "small", "--target", "container", "--instance", "bench"]
    started = time.perf_counter()
    ended = subprocess.run(
        [*argv, "--recorded", "--brief", *words], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )
    taken = time.perf_counter() - started
    if ended.returncode != 0:
        raise SystemExit(f"bench: {ended.stderr[-2000:]}")
    return taken, ended.stdout


def change_one(folder: Path, number: int) -> None:
    """Another value of a parameter on one node."""
    _write_target(folder, changed=number)


def planning() -> list[Row]:
    """`plan --recorded`, the whole command: nothing changed, one node changed, and its files rendered too."""
    with tempfile.TemporaryDirectory(prefix="seter-bench-") as work:
        environment = fleet(Path(work))
        nothing = statistics.median(plan(environment)[0] for _ in range(5))
        change_one(Path(work), NODES // 2)
        taken, shown = zip(*(plan(environment) for _ in range(5)), strict=True)
        if {line.split("\t")[1] for text in shown for line in text.splitlines()} != {f"w{NODES // 2}"}:
            raise SystemExit(f"bench: the plan is about other nodes than the one that was changed\n{shown[0][:2000]}")
        return [
            alone("plan --recorded, 1,000 nodes, nothing changed", nothing),
            alone("plan --recorded, 1,000 nodes, one changed", statistics.median(taken)),
            alone("the same, and its files rendered", plan(environment, "--render")[0]),
        ]
