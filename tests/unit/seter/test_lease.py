"""When a lease may be taken, and what its holder learns: told by counters, never by another machine's clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Error, Unavailable
from common.model import Event
from seter import lease as module
from seter.fenced import Fenced
from seter.keep.folder import FolderCells
from seter.keep.interface import LEASE, Cell
from seter.lease import Book, Claim, Holder, Lost, Unsure, change, held, holders, read_book, write_book

HOLD = """
import sys, time
from pathlib import Path
from seter.keep.folder import FolderCells
from seter.lease import Claim, held
with held(FolderCells(Path(sys.argv[1])), "s/t/i", (), Claim(reason="deploy"), print):
    print("held", flush=True)
    time.sleep(60)
"""
FAR = Holder("far", "ann", "desk", 7, "boot ns 1", (), "deploy", "2026-01-01T00:00:00+00:00", "", 0.6, 3)
OLD, AHEAD = "2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderCells:
    monkeypatch.setenv("SETER_LEASE", "600ms")
    return FolderCells(tmp_path / "i")


def silent(event: object) -> None:
    pass


def hold_elsewhere(cells: FolderCells, seen: str) -> None:
    change(cells, lambda book: replace(book, holders=(replace(FAR, seen=seen),)))


def take(cells: FolderCells, claim: Claim | None = None) -> tuple[str, ...]:
    with held(cells, "s/t/i", (), claim or Claim(), silent) as mine:
        return mine.words


def test_a_killed_holder_on_this_machine_holds_nothing(cells: FolderCells, tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "i")], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(Conflict, match=f"process {other.pid}"):
            take(cells)
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert holders(cells) == ()
        assert "its process is gone" in take(cells)[0]
    finally:
        other.kill()
        other.wait()


def test_a_holder_that_stands_still_has_it_until_the_lease_runs_out(cells: FolderCells, tmp_path: Path) -> None:
    """A stopped process is there and moves no counter; when it goes on, it finds that it has lost the lease."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "i")],
        stdout=subprocess.PIPE,
        env=os.environ | {"SETER_LEASE": "2s"},
    )
    try:
        assert other.stdout is not None and other.stdout.readline()
        other.send_signal(signal.SIGSTOP)
        with pytest.raises(Conflict):
            take(cells)
        started = time.monotonic()
        assert "its counter stood still for 2 s" in take(cells, Claim(wait=timedelta(seconds=30)))[0]
        assert time.monotonic() - started > 2
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("seen", [OLD, AHEAD])
def test_a_wrong_clock_never_ends_a_lease_whose_counter_moves(
    cells: FolderCells, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_elsewhere(cells, seen)
    begun, sleep = time.monotonic(), time.sleep

    def meanwhile(seconds: float) -> None:
        sleep(0.1)
        change(cells, lambda book: replace(book, holders=tuple(replace(e, beat=e.beat + 1) for e in book.holders)))

    monkeypatch.setattr(module.time, "sleep", meanwhile)
    with pytest.raises(Conflict, match="ann@desk"):
        take(cells, Claim(wait=timedelta(seconds=2)))
    assert time.monotonic() - begun > 2


def test_who_has_been_silent_for_long_is_watched_until_that_is_certain_without_being_asked_for(
    cells: FolderCells,
) -> None:
    hold_elsewhere(cells, OLD)
    begun = time.monotonic()
    assert "its counter stood still" in take(cells)[0]
    assert time.monotonic() - begun > FAR.length


def test_a_clock_that_runs_ahead_keeps_nobody_out_who_waits(cells: FolderCells) -> None:
    hold_elsewhere(cells, AHEAD)
    with pytest.raises(Conflict):
        take(cells)
    assert "its counter stood still" in take(cells, Claim(wait=timedelta(seconds=10)))[0]


def test_who_waits_is_told_for_whom_and_how_long_still(cells: FolderCells) -> None:
    told: list[Event] = []
    hold_elsewhere(cells, AHEAD)
    with held(cells, "s/t/i", (), Claim(wait=timedelta(seconds=9)), told.append):
        pass
    assert told[0].kind == "waiting"
    assert "9 s left; it is held by ann@desk" in told[0].message


class Flaky(FolderCells):
    """Does not answer when told so."""

    silent = False

    def read(self, name: str) -> Cell:
        if self.silent:
            raise Unavailable("the store does not answer", resolution="")
        return super().read(name)


def test_a_holder_whose_state_does_not_answer_waits_and_then_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETER_LEASE", "600ms")
    monkeypatch.setattr(module, "PATIENCE", timedelta(seconds=1))
    cells, told = Flaky(tmp_path), list[Event]()
    with held(cells, "s/t/i", (), Claim(), told.append) as mine:
        cells.silent = True
        with pytest.raises(Unsure, match="the store does not answer"):
            while True:
                mine.check()
        assert "s left" in told[0].message
        cells.silent = False
        mine.check()


def test_acts_of_a_run_that_lost_its_lease_are_not_done(cells: FolderCells) -> None:
    from tests.unit.seter.test_rollout import Diary

    diary = Diary()
    with held(cells, "s/t/i", (), Claim(), silent) as mine:
        acts = Fenced(diary, mine)
        acts.make_network("front")
        take(cells, Claim(take_over="words"))
        time.sleep(0.4)
        for act in (
            lambda: acts.make_network("back"), lambda: acts.prepare(["a"], [], keep=True), lambda: acts.start([]),
            lambda: acts.owe_cluster("g", "r"), lambda: acts.reload([]), lambda: acts.withdraw(["a"]),
            lambda: acts.admit(["a"]), lambda: acts.remove_node("a"), lambda: acts.remove_network("back"),
            lambda: acts.go_back(["a"]), lambda: acts.cluster_back("g", "r", again=True), lambda: acts.forget(["a"]),
        ):  # fmt: skip
            with pytest.raises(Lost):
                act()
        acts.check(["a"])
    assert diary.lines == ["network front", "check a"]


def test_what_an_earlier_version_left_is_no_lease(cells: FolderCells) -> None:
    assert read_book(Cell(b'{"user": "ann", "pid": 1}', "x")) == Book()


def test_what_cannot_be_read_is_no_free_lease() -> None:
    for text in (b"x", b'{"format": 1}', b'{"format": 1, "holders": [{}], "taken": [], "runs": 0}', b"[]", b"1"):
        with pytest.raises(Error):
            read_book(Cell(text, "x"))
    with pytest.raises(BadInput, match="newer"):
        read_book(Cell(b'{"format": 99}', "x"))


def test_what_was_written_is_read() -> None:
    book = Book((FAR,), (), 4)
    assert read_book(Cell(write_book(book), "x")) == book


def test_a_length_that_is_none_is_refused(cells: FolderCells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETER_LEASE", "soon")
    with pytest.raises(BadInput, match="SETER_LEASE"):
        take(cells)


def test_a_forgotten_lease_stays_forgotten(cells: FolderCells) -> None:
    with held(cells, "s/t/i", (), Claim(), silent):
        cells.remove(LEASE)
    assert not cells.read(LEASE).data
