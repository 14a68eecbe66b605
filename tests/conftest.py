"""What all tests share: the tools as a person runs them, and the demo's system, deployed once for those that ask.

Images are built into the working folder's own store, because what is built is recognised by its content;
deployments get an instance name of their own and go at the end, also after Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# How long an example takes says how busy the machine is; what must be quick has tests of its own.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A run that was started in the background ignores Ctrl-C, and so would all that it starts; a handler is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
INSTANCE = f"test-{os.getpid()}"
# These deploy s3-lb, measure what a system promises, or look at all there is: nothing may run beside them. So may what
# uses such a deployment.
ALONE = (
    "test_bad_input", "test_ceph", "test_clean", "test_hundred_hosts", "test_long", "test_machines_boot",
    "test_main_job", "test_manuals", "test_process", "test_roles_data_plane", "test_roles_many_members",
    "test_roles_services", "test_roles_several_services", "test_s3_lb_on_hosts", "test_s3_lb_on_machines",
    "test_secrets_stay_secret", "test_tour",
)  # fmt: skip

# These deploy small systems and wait most of the time: two files at once, nothing beside them takes all cores.
PAIRED = (
    "test_adopt", "test_doctor", "test_engine_faults", "test_engines", "test_history", "test_hosts", "test_mixed",
    "test_openstack", "test_operations", "test_provisioner", "test_rollout_cuts", "test_rollouts", "test_seter",
    "test_store_lost",
)  # fmt: skip

# Of all files these take longest, so they begin.
LONGEST = ("test_hosts", "test_seter", "test_provisioner")

# Machines boot in them. Where their processors are emulated each takes minutes, so they are apart.
EMULATED = (
    "test_machines_boot", "test_s3_lb_on_machines", "test_slots", "test_smie_booted", "test_smie_disk",
    "test_smie_machines",
)  # fmt: skip


# What builds looks at the engine and at what is left on the machine: one file of these at a time.
BUILDING = ("test_apply", "test_naust_engine", "test_offline_builds", "test_smie")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests run on all cores but for those that have to be alone, or few. What takes longest begins."""
    for item in items:
        call = getattr(item, "callspec", None)
        deployed = "running" in getattr(item, "fixturenames", ()) or (call is not None and "radosgw" in call.id)
        if deployed or (item.path.stem in ALONE and "unit" not in item.path.parts):
            item.add_marker("alone")
        elif item.path.stem in PAIRED and "unit" not in item.path.parts:
            item.add_marker("paired")
        if item.path.stem in EMULATED:
            item.add_marker("emulated")
    items.sort(key=lambda item: (_unit(item.nodeid) != "builds", item.path.stem not in LONGEST))


class _ByFile(LoadScopeScheduling):
    """Tests of one file share their fixtures, so they go to one process; so do those that build."""

    def _split_scope(self, nodeid: str) -> str:
        return _unit(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """xdist's way to say what belongs together (pytest-xdist manual, "How to")."""
    return _ByFile(config, log)


def _unit(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    builds = "/unit/" not in file and file.rpartition("/")[2].startswith(BUILDING)
    return "builds" if builds else file


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Tools:
    """Runs smie, naust and seter as separate processes, as a person would."""

    cwd: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *argv: str, timeout: float = 600, code: int | None = 0, **env: str) -> Ended:
        """Run one command; with `code` given, anything else fails the test and shows what was printed."""
        ended = subprocess.run(
            [str(ROOT / ".venv" / "bin" / argv[0]), *argv[1:]],
            cwd=self.cwd,
            env=os.environ | self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        result = Ended(ended.returncode, ended.stdout, ended.stderr)
        assert code is None or result.code == code, f"{argv} ended with {result.code}\n{result.out}\n{result.err}"
        return result


def printed_by(image: str, *argv: str) -> str:
    """What a container of this image prints. The SDK's `containers.run` reads the log afterwards, and now and then
    finds none of a short run; the command line client is attached before the start."""
    ended = subprocess.run(["docker", "run", "--rm", image, *argv], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools(ROOT)


@pytest.fixture(scope="session")
def built(tools: Tools) -> Tools:
    """All images of s3-lb are in the store."""
    tools("smie", "build", "s3-lb", timeout=1200)
    return tools


@dataclass(frozen=True)
class Running:
    """A deployment of s3-lb on containers."""

    tools: Tools
    instance: str

    def seter(self, verb: str, *words: str, **options: Any) -> Ended:
        return self.tools(
            "seter", verb, "s3-lb", "--target", "container", "--instance", self.instance, *words, **options
        )

    def docker(self, *argv: str, check: bool = True) -> str:
        ended = subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=120)
        assert not check or ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def containers(self) -> dict[str, str]:
        """Name → id of all containers of the deployment."""
        label = f"label=seter.deployment=s3-lb/container/{self.instance}"
        lines = self.docker(
            "ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.Names}} {{.ID}}"
        ).splitlines()
        return dict(line.split() for line in lines)


@pytest.fixture(scope="session")
def running(built: Tools) -> Iterator[Running]:
    """s3-lb, deployed for this test run alone."""
    deployment = Running(built, INSTANCE)
    try:
        deployment.seter("deploy", "--yes")
        yield deployment
    finally:
        deployment.seter("destroy", "--yes", "--forget", code=None)
