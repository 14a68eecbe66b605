"""Runs tasks side by side: at most so many at once and in so much memory, each after what it needs, the heaviest of
those that can go first.

A task that fails takes those that need it with it and lets all others go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import Generic, TypeVar

from common.errors import Error

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Task(Generic[K, T]):
    """Something to do after other things. `weight` orders those that could start, `memory` is what it needs (bytes)."""

    act: Callable[[], T]
    needs: tuple[K, ...] = ()
    weight: int = 0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A task that was not done because of another."""

    because: Hashable


def run_all(
    tasks: Mapping[K, Task[K, T]],
    workers: int,
    halt: Event,
    *,
    memory: int | None = None,
    done: dict[K, T | Error | Skipped] | None = None,
) -> dict[K, T | Error | Skipped]:
    """How each task came out, put into `done` as they end. Needs that are not tasks count as done. What needs more than
    all of `memory` runs alone.

    On KeyboardInterrupt, or when a task raises anything but an Error, `halt` is set, what runs is waited for, and the
    exception goes on.
    """
    done = {} if done is None else done
    running: dict[Future[T], K] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            while len(done) < len(tasks):
                for key in _ready(tasks, done, tuple(running.values()), workers, memory):
                    running[pool.submit(tasks[key].act)] = key
                if running:
                    _collect(running, done)
        except BaseException:
            halt.set()
            wait(running)
            done.update({key: future.result() for future, key in running.items() if not future.exception()})
            raise
    return done


def _ready(
    tasks: Mapping[K, Task[K, T]],
    done: dict[K, T | Error | Skipped],
    running: Sequence[K],
    workers: int,
    memory: int | None,
) -> list[K]:
    """What can start now; what never can is put among the done."""
    open_ = [key for key in tasks if key not in done and key not in running]
    for key in open_:
        failed = next((need for need in tasks[key].needs if isinstance(done.get(need), Error | Skipped)), None)
        if failed is not None:
            done[key] = Skipped(failed)
    free = [key for key in open_ if key not in done and all(n in done or n not in tasks for n in tasks[key].needs)]
    starting: list[K] = []
    for key in sorted(free, key=lambda key: -tasks[key].weight):
        there = [*running, *starting]
        used = sum(tasks[each].memory for each in there)
        fits = memory is None or not tasks[key].memory or used + tasks[key].memory <= memory or not used
        if fits and len(there) < workers:
            starting.append(key)
    return starting


def _collect(running: dict[Future[T], K], done: dict[K, T | Error | Skipped]) -> None:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        key = running.pop(future)
        try:
            done[key] = future.result()
        except Error as error:
            done[key] = error


def places(cores: int | None = None) -> int:
    """How many builds this machine carries: one more than it has cores, for they wait a lot."""
    return (cores or len(os.sched_getaffinity(0))) + 1
