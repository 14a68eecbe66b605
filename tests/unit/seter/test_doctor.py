"""What doctor finds: each line good, or bad with what to do."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Error, Unavailable
from common.model import Event
from common.system import Deployment
from seter import workplace
from seter.doctor import answers
from seter.finding import GIB, Finding, State, clock, good, space, worst
from seter.keep.folder import FolderCells
from seter.keep.interface import NOTHING, Cell, Cells
from seter.provisioner import engine, examined
from seter.storing import swapped
from seter.workplace import Program, packages, private, program, version_in

HERE = Deployment("lb", "metal")
SAID: dict[str, Any] = {
    "clock": 1000.5, "python": "3.13.5", "user": 0, "release": {"ID": "debian", "VERSION_CODENAME": "trixie"},
    "lacks": [], "spaces": {"/": [20 * GIB, 9]}, "mark": {},
}  # fmt: skip


def quiet(event: Event) -> None:
    """Nobody listens."""


@given(st.floats(-1e6, 1e6), st.floats(0, 100))
def test_a_clock_is_called_wrong_only_as_far_as_that_is_known(offset: float, within: float) -> None:
    found = clock("gw1", offset, within)
    sure = abs(offset) - within
    assert found.state is (State.FAIL if sure >= 60 else State.WARN if sure >= 1 else State.OK)
    assert bool(found.fix) is (found.state is not State.OK)


def test_a_clock_says_which_way_it_is_off() -> None:
    assert "90.0 s before" in clock("gw1", 90, 0.1).says
    assert "90.0 s behind" in clock("gw1", -90, 0.1).says


@pytest.mark.parametrize(
    ("free", "inodes", "state"),
    [(2 * GIB, 7, State.OK), (GIB // 2, 7, State.WARN), (GIB // 20, 7, State.FAIL), (2 * GIB, 0, State.FAIL),
     (2 * GIB, -1, State.OK)],
)  # fmt: skip
def test_space_is_bytes_and_inodes(free: int, inodes: int, state: State) -> None:
    assert space("gw1", "/", free, inodes).state is state


def test_the_worst_of_all_counts() -> None:
    assert worst([]) is State.OK
    assert worst([good("a", "b", "c"), clock("a", 5, 0)]) is State.WARN
    assert worst([clock("a", 5, 0), clock("a", 500, 0)]) is State.FAIL


def test_what_does_not_answer_costs_one_time_out_and_hides_nothing() -> None:
    never = threading.Event()

    def lost() -> tuple[Finding, ...]:
        raise Unavailable("it is gone", details="a\nno route", resolution="Bring it back.")

    def silent() -> tuple[Finding, ...]:
        never.wait(30)
        return ()

    begun = time.monotonic()
    asked = {"a": silent, "b": lost, "c": lambda: (good("c", "it", "well"),), "d": silent}
    found = answers(asked, quiet, timedelta(seconds=0.4))
    assert time.monotonic() - begun < 5
    never.set()
    assert [(each.subject, each.state) for each in found] == [
        ("a", State.FAIL), ("b", State.FAIL), ("c", State.OK), ("d", State.FAIL),
    ]  # fmt: skip
    assert (found[1].says, found[1].fix) == ("it is gone: no route", "Bring it back.")


@pytest.mark.parametrize(
    ("text", "version"),
    [("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.17", (9, 2)), ("Terraform v1.9.8\non linux", (1, 9, 8)),
     ("ansible-playbook [core 2.19.14]", (2, 19, 14)), ("nothing", ())],
)  # fmt: skip
def test_a_version_is_found_in_what_a_program_prints(text: str, version: tuple[int, ...]) -> None:
    assert version_in(text) == version


@given(st.text())
def test_whatever_a_program_prints_is_no_trouble(text: str) -> None:
    assert all(isinstance(part, int) for part in version_in(text))


def test_a_program_is_missing_or_too_old_or_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "tool"
    made.write_text("#!/bin/sh\necho tool 1.2.3\n")
    made.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert program(Program(("other", "tool"), ("--version",), (1, 2))).says == "tool 1.2.3"
    old = program(Program(("tool",), ("--version",), (1, 3)))
    assert (old.state, old.says, old.fix) == (State.FAIL, "tool is 1.2.3", "Install 1.3 or newer.")
    gone = program(Program(("ssh-none", "none"), (), (1,)))
    assert (gone.state, gone.what) == (State.FAIL, "program ssh-none or none")


def test_packages_are_compared_with_what_is_required() -> None:
    assert packages(["typer", 'nothing-like-it; python_version < "3"']).says == "all 1 are as required"
    bad = packages(["typer<0.1", "no-such-package-of-ours"])
    assert bad.state is State.FAIL
    assert "typer is" in bad.says and "no-such-package-of-ours is missing" in bad.says


def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    key = tmp_path / "key"
    wrong = private("key", key)
    assert wrong is not None and "is not there" in wrong.says
    key.write_text("secret")
    key.chmod(0o640)
    wrong = private("key", key)
    assert wrong is not None and wrong.fix == f"chmod 600 {key}"
    key.chmod(0o600)
    assert private("key", key) is None


def test_space_of_one_file_system_is_told_once(tmp_path: Path) -> None:
    found = list(workplace.spaces((tmp_path / "not" / "yet", tmp_path)))
    assert len(found) == 1 and Path(found[0].what.removeprefix("disk ")).is_mount()


def test_a_state_that_lets_both_writers_win_is_found(tmp_path: Path) -> None:
    class Weak(Cells):
        """Swaps without comparing."""

        def read(self, name: str) -> Cell:
            return NOTHING

        def swap(self, name: str, data: bytes, expected: str) -> str:
            return "v"

        def remove(self, name: str) -> None:
            gone.append(name)

    gone: list[str] = []
    assert swapped(Weak(), "there").state is State.FAIL and len(gone) == 1
    assert swapped(FolderCells(tmp_path / "cells"), "there").state is State.OK
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [".guard"]


def test_a_value_that_was_tried_goes_whatever_happens() -> None:
    class Full(Cells):
        """Takes one value."""

        def read(self, name: str) -> Cell:
            return NOTHING

        def swap(self, name: str, data: bytes, expected: str) -> str:
            if data == b"first":
                return "v"
            raise Error("full", resolution="Make room.")

        def remove(self, name: str) -> None:
            gone.append(name)

    gone: list[str] = []
    with pytest.raises(Error, match="full"):
        swapped(Full(), "there")
    assert len(gone) == 1


def of_host(**more: Any) -> dict[str, State]:
    found = examined.findings("gw1", SAID | more, HERE, 1000.0, 1001.0)
    return {each.what: each.state for each in found}


def test_a_host_as_it_should_be() -> None:
    assert set(of_host().values()) == {State.OK}
    assert of_host(mark={"deployment": "lb/metal/main"})["mark"] is State.OK


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"release": {"ID": "debian", "VERSION_CODENAME": "bookworm"}}, "release"),
        ({"lacks": ["systemctl"]}, "release"),
        ({"clock": 2000.0}, "clock"),
        ({"spaces": {"/var/lib": [0, 1]}}, "disk /var/lib"),
        ({"mark": {"deployment": "other/metal/main"}}, "mark"),
    ],
)
def test_what_is_wrong_with_a_host_is_told_line_by_line(more: dict[str, Any], what: str) -> None:
    assert [name for name, state in of_host(**more).items() if state is State.FAIL] == [what]


def test_a_login_that_takes_long_is_told() -> None:
    assert examined.login("gw1", "ops", 0.2).state is State.OK
    assert examined.login("gw1", "ops", 9.0).state is State.WARN


def test_an_engine_is_too_old_or_has_another_time() -> None:
    version = {"Version": "28.2", "ApiVersion": "1.50"}
    said = {"Name": "h", "SystemTime": "1970-01-01T00:16:40.123456789Z", "IPv4Forwarding": True}

    def found(version: dict[str, str], said: dict[str, Any]) -> dict[str, State]:
        return {each.what: each.state for each in engine.findings("e", version, said, 1000.0, 1000.2)}

    assert found(version, said) == {"Docker": State.OK, "clock": State.OK}
    assert found(version | {"ApiVersion": "1.40"}, said)["Docker"] is State.WARN
    late = said | {"SystemTime": "1970-01-01T01:16:40+00:00", "IPv4Forwarding": False}
    assert found(version, late) == {"Docker": State.OK, "clock": State.FAIL, "forwarding": State.WARN}
