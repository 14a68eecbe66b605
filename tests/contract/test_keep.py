"""What every place for a deployment's state promises (seter/keep/interface.py), and the lease and history in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, NotFound
from common.system import Deployment
from seter.history import DONE, RUNNING, History, Run, refuse_used
from seter.keep import Keep
from seter.keep.folder import FolderCells
from seter.keep.interface import NOTHING, Cells
from seter.keep.store import StoreCells
from seter.lease import Claim, Lost, change, held, holders
from tests.lab.stores import COLLECTABLE, REGISTRIES, STORES

NAME = "deployment/s.t.i"


class Kept(Keep):
    """Somewhere in particular."""

    def __init__(self, cells: Cells, store: object) -> None:
        super().__init__(Deployment("s", "t", "i"), "https://somewhere")
        self.__dict__ |= {"cells": cells, "store": store}


@pytest.fixture(params=["folder", *COLLECTABLE])
def keep(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keep]:
    with STORES["directory" if request.param == "folder" else request.param](tmp_path) as store:
        cells = FolderCells(tmp_path / "i") if request.param == "folder" else StoreCells(store, f"{NAME}.state")
        yield Kept(cells, store)


def silent(event: object) -> None:
    pass


def test_what_was_swapped_in_comes_out_until_it_is_removed(keep: Keep) -> None:
    assert keep.cells.read("lease") == NOTHING
    first = keep.cells.swap("lease", b"one", "")
    assert (keep.cells.read("lease").data, keep.cells.read("lease").version) == (b"one", first)
    assert keep.cells.swap("lease", b"one", "") == first, "twice is once"
    keep.cells.swap("lease", b"two", first)
    assert keep.cells.read("lease").data == b"two"
    for _ in range(2):
        keep.cells.remove("lease")
        assert keep.cells.read("lease") == NOTHING


def test_who_believes_what_is_no_longer_true_changes_nothing(keep: Keep) -> None:
    first = keep.cells.swap("lease", b"one", "")
    keep.cells.swap("lease", b"two", first)
    for stale in ("", first):
        with pytest.raises(Conflict):
            keep.cells.swap("lease", b"three", stale)
    assert keep.cells.read("lease").data == b"two"


def test_of_many_writers_at_once_none_is_lost(keep: Keep) -> None:
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(lambda _: change(keep.cells, lambda book: replace(book, runs=book.runs + 1)), range(12)):
            pass
    assert change(keep.cells, lambda book: book).runs == 12


def test_one_run_at_a_time_has_the_lease_and_others_are_told_who(keep: Keep) -> None:
    with held(keep.cells, "s/t/i", (), Claim(reason="deploy s/t/i"), silent) as lease:
        lease.check()
        refusing = pytest.raises(Conflict, match=r"is held by .*@.*, process \d+, since .*: deploy s/t/i")
        with refusing as refused, held(keep.cells, "s/t/i", ("gateways",), Claim(), silent):
            pass
        assert "--wait" in refused.value.resolution
        assert "its counter moved last at 20" in refused.value.details
        assert [each.reason for each in holders(keep.cells)] == ["deploy s/t/i"]
    assert holders(keep.cells) == ()


def test_runs_on_different_groups_need_not_wait_for_each_other(keep: Keep) -> None:
    with (
        held(keep.cells, "s/t/i", ("a",), Claim(), silent),
        held(keep.cells, "s/t/i", ("b",), Claim(), silent) as other,
    ):
        other.check()
        for groups in ((), ("a",), ("b", "c")):
            with pytest.raises(Conflict), held(keep.cells, "s/t/i", groups, Claim(), silent):
                pass


def test_who_waits_gets_it_when_it_is_given_back(keep: Keep) -> None:
    got = threading.Event()

    def wait_for_it() -> None:
        with held(keep.cells, "s/t/i", (), Claim(wait=timedelta(seconds=30)), silent):
            got.set()

    with ThreadPoolExecutor(1) as threads:
        with held(keep.cells, "s/t/i", (), Claim(), silent):
            waiting = threads.submit(wait_for_it)
            assert not got.wait(0.3)
        waiting.result(timeout=30)
    assert got.is_set()


def test_a_lease_that_was_taken_is_lost_to_its_first_holder_who_learns_by_whom_and_why(
    keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETER_LEASE", "1s")
    cells, taking = keep.cells, Claim(take_over="ann's desk burned")
    with held(cells, "s/t/i", (), Claim(), silent) as first, held(cells, "s/t/i", (), taking, silent) as second:
        with pytest.raises(Lost, match="ann's desk burned"):
            while True:
                first.check()
        second.check()
        assert "ann's desk burned" in second.words[0]
        first.release()
        second.check()
        assert len(holders(cells)) == 1, "who lost it does not give back the other's"


def run(**more: object) -> Run:
    return replace(Run("s/t/i", "deploy", {"container/web": "container/web:1@sha256:00"}, ("a: start",)), **more)


def test_a_run_is_in_the_history_from_its_begin_to_its_end(keep: Keep) -> None:
    history = History(keep)
    assert history.runs() == ()
    begun = history.begin(run(reason="ticket 7"), {"definition": b"text"})
    assert [(each.number, each.result, each.seconds) for each in history.runs()] == [(1, RUNNING, None)]
    ended = history.conclude(begun, DONE, {"after": b"states"})
    assert history.find(1) == ended
    assert (ended.steps, ended.reason, ended.is_done) == (("a: start",), "ticket 7", True)
    assert ended.artifacts == {"container/web": "container/web:1@sha256:00"}
    assert (history.part(1, "definition"), history.part(1, "after")) == (b"text", b"states")


def test_runs_are_numbered_and_the_newest_comes_first(keep: Keep) -> None:
    history = History(keep)
    for result in (DONE, "failed: a check does not hold"):
        history.conclude(history.begin(run(), {}), result, {})
    history.begin(run(verb="rollback", origin="run 1"), {})
    found = [(each.number, each.verb, each.result, each.origin) for each in history.runs()]
    assert found == [
        (3, "rollback", RUNNING, "run 1"),
        (2, "deploy", "failed: a check does not hold", ""),
        (1, "deploy", DONE, ""),
    ]
    assert history.last() == history.runs()[0]
    with pytest.raises(NotFound, match="no run 4") as missing:
        history.find(4)
    assert "3, 2, 1" in missing.value.resolution


def test_a_saved_plan_is_carried_out_once(keep: Keep) -> None:
    history = History(keep)
    refuse_used(history, "id")
    history.begin(run(plan="id"), {})
    with pytest.raises(Conflict, match="run 1"):
        refuse_used(history, "id")
    refuse_used(history, "")


def test_a_history_that_was_forgotten_begins_anew(keep: Keep) -> None:
    history = History(keep)
    history.begin(run(), {})
    history.forget()
    keep.cells.remove("lease")
    assert history.runs() == ()
    assert history.begin(run(), {}).run.number == 1


@pytest.mark.parametrize("name", REGISTRIES[:1])
def test_a_store_that_cannot_compare_and_swap_is_refused(name: str, tmp_path: Path) -> None:
    with STORES[name](tmp_path) as store, pytest.raises(BadInput, match="cannot compare and swap"):
        StoreCells(store, f"{NAME}.state")
