"""A deployment whose state is in a store that operators share: lease, history and the ways back, on a small system."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.system import Deployment
from seter.history import RUNNING, History
from seter.keep import open_keep
from tests.conftest import Tools
from tests.lab.small import SMALL, Small


class Shared(Small):
    """The small system with its state in a store."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"SETER_STATE": f"file://{self.folder}/shared", "SETER_LEASE": "3s"}


@pytest.fixture(scope="module")
def small(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    deployment = Shared(Tools(folder), folder, f"h{os.getpid()}")
    shutil.copytree(SMALL, folder / "systems")
    os.environ["NAUST_STORE"] = str(built.cwd / ".naust")
    try:
        deployment.seter("deploy", "--yes", "--reason", "ticket 7")
        yield deployment
    finally:
        del os.environ["NAUST_STORE"]
        deployment.seter("destroy", "--yes", "--forget", code=None)


def greeting(small: Shared) -> str:
    return small.seter("exec", "w1", "web", "--", "cat", "/etc/seter/now/web/index.html").out


def test_all_that_operators_share_is_in_the_store_and_nothing_of_it_in_the_folder(small: Shared) -> None:
    names = small.tools("naust", "list", "--store", f"{small.folder}/shared", "--json").json()
    assert {each["name"] for each in names} == {
        f"small.container.{small.instance}",
        f"small.container.{small.instance}.state",
    }
    assert not list((small.folder / ".seter").rglob("secrets.age"))
    (run,) = small.seter("history", "--json").json()
    assert (run["number"], run["result"], run["reason"]) == (1, "done", "ticket 7")
    shown = small.seter("show", "1", "--json").json()
    assert {"small/system.hcl", "w1/web/index.html"} <= set(shown["files"])
    assert "hello" in small.seter("show", "1", "--file", "w1/web/index.html").out


def test_a_change_is_told_apart_undone_and_made_again_elsewhere(small: Shared) -> None:
    """SE-17: what one can go back to is shown; what went back is what was."""
    small.edit("small/system.hcl", 'greeting = "hello"', 'greeting = "good day"')
    plan = small.folder / "it.plan"
    shown = small.seter("plan", "--json", "--out", str(plan)).json()
    assert {step["verdict"] for step in shown["steps"]} == {"will change", "cannot tell"}
    assert ["x1", "web"] in shown["unchanged"]
    assert [stage["serving"] for stage in shown["order"]] == [[["servers", n, 2]] for n in (1, 1, 2)]
    assert any("+w1 says good day" in line for each in shown["files"] for line in each["lines"])
    assert plan.stat().st_mode & 0o777 == 0o600
    run = small.with_environment()
    run("seter", "deploy", str(plan))
    assert "carried out already: run 2" in run("seter", "deploy", str(plan), code=7).err
    found = small.seter("diff", "1", "2", "--json").json()
    assert [each["path"] for each in found["definitions"]] == ["small/system.hcl"]
    assert {each["path"].partition("/")[0] for each in found["configuration"]} == {"w1", "w2"}
    ways = small.seter("rollback", "--json").json()
    assert [(way["number"], way["missing"]) for way in ways] == [(2, []), (1, [])]
    small.seter("rollback", "9", "--yes", code=2)
    before = small.containers()
    small.edit("small/system.hcl", 'greeting = "extra"', 'greeting = "more"')
    small.seter("plan", "--out", str(plan))
    small.edit("small/system.hcl", 'greeting = "more"', 'greeting = "extra"')
    small.seter("rollback", "1", "--yes")
    assert "hello" in greeting(small)
    after = small.containers()
    assert {name for name in before if before[name] != after[name]} == {"w1.web", "w2.web"}
    newest = small.seter("history", "--json").json()[0]
    assert (newest["verb"], newest["origin"], newest["result"]) == ("rollback", "run 1", "done")
    assert small.steps(), "the definitions on disk are as they were"
    assert "the world has moved" in run("seter", "deploy", str(plan), code=7).err
    assert small.seter("plan", "--json", "--recorded").json()["steps"] == small.seter("plan", "--json").json()["steps"]
    assert "runs 1 and 3 are the same" in small.seter("diff", "1").out


def shared_locks(pid: int) -> list[str]:
    """Files that the process has locked and others may want; those of its own have its number in their names."""
    locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    inodes = {words[5].rpartition(":")[2] for words in locks if words[4] == str(pid)}
    files = [path.resolve() for path in Path(f"/proc/{pid}/fd").iterdir()]
    locked = {str(path) for path in files if path.is_file() and str(path.stat().st_ino) in inodes}
    return sorted(path for path in locked if not Path(path).name.startswith(f"{pid}-"))


def put_to_sleep(pid: int) -> None:
    """At a moment when its lease is all that holds others up."""
    for _ in range(50):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.05)
        if not (held := shared_locks(pid)):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.03)
    raise AssertionError(f"process {pid} has locked {held} all the time")


def test_a_run_that_stands_still_loses_its_lease_and_stops_before_its_next_change(small: Shared) -> None:
    """SE-05, and a laptop that slept: its counter does not move, so who waits gets the lease; the sleeper notices."""
    runs = History(open_keep(Deployment("small", "container", small.instance), small.environment["SETER_STATE"]))
    sleeper = small.start("deploy", "--yes")
    try:
        deadline = time.monotonic() + 60
        while all(run.result != RUNNING for run in runs.runs()):
            assert sleeper.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        put_to_sleep(sleeper.pid)
        small.seter("status")
        waited = small.seter("deploy", "--yes", "--wait", "1m")
        assert "its counter stood still for 3 s" in waited.err
        os.kill(sleeper.pid, signal.SIGCONT)
        assert sleeper.wait(timeout=120) == 7
    finally:
        sleeper.kill()
        sleeper.wait()
    assert "no change" in small.seter("deploy", "--yes").out
    number = runs.runs()[0].number
    slept, taken = runs.find(number - 1), runs.find(number)
    assert slept.result.startswith("failed: this run has lost its lease"), slept
    assert "its counter stood still" in taken.words[0] and f"process {sleeper.pid}" in taken.words[0]


def test_what_is_revoked_is_neither_planned_nor_deployed_and_shown_where_it_runs(small: Shared, tmp_path: Path) -> None:
    store = f"file://{tmp_path}/store"
    small.tools("naust", "copy", "container/debian-13", store)
    assert "7 of 7 processes" in small.seter("status", "--affected", "libc6<99", "--store", store).err
    assert "0 of 7 processes" in small.seter("status", "--affected", "libc6<2", "--store", store).err
    small.tools("naust", "revoke", "container/debian-13", "--reason", "a leak", "--store", store)
    for verb in (("plan",), ("plan", "--recorded"), ("deploy", "--yes")):
        assert "a leak" in small.seter(*verb, "--store", store, code=8).err
    shown = small.seter("status", "--json", "--store", store).json()
    assert not shown["converged"]
    assert all("a leak" in " ".join(role["differs"]) for role in shown["roles"])
