"""Tasks run side by side, in the order of their needs, and fail by themselves."""

from __future__ import annotations

import threading
import time

import pytest

from common.errors import Error
from smie.schedule import MEMORY, Skipped, Task, places, run_all


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


@pytest.mark.parametrize(("cores", "memory", "expected"), [(2, 23, 3), (2, 1, 1), (1, 0, 1), (16, 8, 8)])
def test_builds_side_by_side_are_bounded_by_cores_and_memory(cores: int, memory: int, expected: int) -> None:
    assert places(cores, memory * MEMORY or 1) == expected
