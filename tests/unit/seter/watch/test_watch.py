"""Sources that are asked side by side: a slow one keeps nobody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from common.errors import Unavailable
from seter.watch.model import Row
from seter.watch.watch import Source, _pictures

EVERY = 0.05
ROW = Row("a", "1")


@contextmanager
def asked(*sources: Source) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=source.run, args=(stop, EVERY)) for source in sources]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def soon(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_source_is_asked_again_and_again() -> None:
    asks: list[float] = []

    def ask() -> Sequence[Row]:
        asks.append(time.monotonic())
        return [ROW]

    with asked(source := Source("nodes", ask)):
        soon(lambda: len(asks) > 3)
        section = source.section(EVERY)
    assert section.rows == (ROW,) and section.problem == "" and section.age is not None
    assert asks[3] - asks[0] >= 3 * EVERY * 0.9


def test_one_that_fails_keeps_what_it_had_and_says_why_until_it_is_back() -> None:
    fails = threading.Event()

    def ask() -> Sequence[Row]:
        if fails.is_set():
            raise Unavailable("the engine does not answer", resolution="Start it.")
        return [ROW]

    with asked(source := Source("nodes", ask)):
        soon(lambda: source.has_answered)
        fails.set()
        soon(lambda: source.section(EVERY).problem == "the engine does not answer")
        assert source.section(EVERY).rows == (ROW,)
        fails.clear()
        soon(lambda: source.section(EVERY).problem == "")


def test_one_that_hangs_is_said_to_and_costs_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seter.watch.watch.PATIENCE", 0.1)
    monkeypatch.setattr("seter.watch.watch.FIRST", 0.3)
    free = threading.Event()
    hangs, quick = Source("slow", lambda: [ROW] if free.wait(20) else []), Source("quick", lambda: [ROW])
    try:
        with asked(hangs, quick):
            pictures = _pictures("x", [hangs, quick], EVERY)
            begun = time.monotonic()
            found = [next(pictures) for _ in range(6)]
            took = time.monotonic() - begun
            assert took < 0.3 + 6 * EVERY + 0.5
            slow, other = found[-1].sections
            assert "no answer for" in slow.problem and slow.age is None and other.rows == (ROW,)
            free.set()
    finally:
        free.set()


def test_a_fault_of_ours_is_not_hidden() -> None:
    def ask() -> Sequence[Row]:
        raise ZeroDivisionError

    with asked(source := Source("nodes", ask)):
        soon(lambda: source.has_answered)
        with pytest.raises(ZeroDivisionError):
            source.section(EVERY)


def test_pictures_come_at_their_interval() -> None:
    source = Source("quick", lambda: [ROW])
    with asked(source):
        pictures = _pictures("x", [source], EVERY)
        next(pictures)
        begun = time.monotonic()
        for _ in range(4):
            next(pictures)
        assert 4 * EVERY * 0.7 <= time.monotonic() - begun < 4 * EVERY + 0.5
