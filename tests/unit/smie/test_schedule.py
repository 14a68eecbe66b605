"""Tasks run side by side, in the order of their needs, and fail by themselves."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Error
from smie.schedule import Skipped, Task, places, run_all


def test_needs_come_first_and_the_heaviest_of_the_free_before_others() -> None:
    order: list[str] = []

    def task(name: str, *needs: str, weight: int = 0) -> Task[str, None]:
        return Task(lambda: order.append(name), needs, weight)

    tasks = {"c": task("c", "a"), "b": task("b", weight=1), "a": task("a", weight=2), "d": task("d", "c", "elsewhere")}
    run_all(tasks, 1, threading.Event())
    assert order == ["a", "b", "c", "d"]


def test_as_many_run_at_once_as_there_are_places() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def act() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    run_all({number: Task(act) for number in range(9)}, 3, threading.Event())
    assert most == 3


def test_a_failure_takes_its_dependents_and_nobody_else_with_it() -> None:
    def fail() -> str:
        raise Error("no", resolution="")

    tasks = {
        "bad": Task(fail),
        "on bad": Task(lambda: "x", ("bad",)),
        "on that": Task(lambda: "x", ("on bad",)),
        "good": Task(lambda: "y"),
    }
    done = run_all(tasks, 2, threading.Event())
    assert isinstance(done["bad"], Error)
    assert done["on bad"] == Skipped("bad")
    assert done["on that"] == Skipped("on bad")
    assert done["good"] == "y"


def test_a_surprise_halts_everything_and_is_raised_when_all_have_ended() -> None:
    halt, ended = threading.Event(), threading.Event()

    def surprise() -> None:
        raise ZeroDivisionError

    def patient() -> None:
        halt.wait(10)
        ended.set()

    with pytest.raises(ZeroDivisionError):
        run_all({"a": Task(patient), "b": Task(surprise)}, 2, halt)
    assert halt.is_set() and ended.is_set()


@pytest.mark.parametrize(("cores", "expected"), [(1, 2), (2, 3), (16, 17)])
def test_builds_side_by_side_are_bounded_by_cores(cores: int, expected: int) -> None:
    assert places(cores) == expected


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.booleans()), max_size=12),
    workers=st.integers(1, 4),
    budget=st.integers(1, 10),
)
@settings(deadline=None, max_examples=60)
def test_the_budget_of_memory_is_never_exceeded_and_all_is_done(
    sizes: list[tuple[int, int, bool]], workers: int, budget: int
) -> None:
    """Each needs one of those before it, or none; what needs more than there is runs alone."""
    running: list[int] = []
    lock, alone = threading.Lock(), True

    def act(memory: int) -> int:
        nonlocal alone
        with lock:
            running.append(memory)
            assert len(running) <= workers
            if sum(running) > budget:
                alone = alone and sum(each > 0 for each in running) == 1
        time.sleep(0.0005)
        with lock:
            running.remove(memory)
        return memory

    tasks = {
        number: Task(partial(act, memory), (back % number,) if number and needs else (), back, memory)
        for number, (memory, back, needs) in enumerate(sizes)
    }
    done = run_all(tasks, workers, threading.Event(), memory=budget)
    assert done == {number: memory for number, (memory, _, _) in enumerate(sizes)}
    assert alone


def test_what_needs_nothing_goes_beside_what_needs_all() -> None:
    together = threading.Barrier(2, timeout=5)
    tasks = {"all": Task(together.wait, memory=9), "nothing": Task(together.wait)}
    assert set(run_all(tasks, 2, threading.Event(), memory=5)) == {"all", "nothing"}


def test_who_interrupts_learns_what_was_done_before() -> None:
    done: dict[str, str | Error | Skipped] = {}
    halt = threading.Event()

    def interrupted() -> str:
        raise KeyboardInterrupt

    def finishing() -> str:
        halt.wait(10)
        return "finished"

    tasks = {"first": Task(lambda: "x", weight=9), "bad": Task(interrupted), "late": Task(finishing)}
    with pytest.raises(KeyboardInterrupt):
        run_all(tasks, 3, halt, done=done)
    assert done == {"first": "x", "late": "finished"}
