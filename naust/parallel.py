"""The same work on many things, some of them at once; the first error stops what has not begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
AT_ONCE = 4  # transfers side by side; a store's own limit may be lower


def each(work: Callable[[Item], object], items: Iterable[Item], at_once: int = AT_ONCE) -> None:
    """Do the work for every item. Raises the first error, after what had begun has ended."""
    waiting = list(items)
    if len(waiting) < 2 or at_once < 2:
        for item in waiting:
            work(item)
        return
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(min(at_once, len(waiting))) as threads:
        begun = [threads.submit(work, item) for item in waiting]
        try:
            done, _ = wait(begun, return_when=FIRST_EXCEPTION)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    for future in done:
        future.result()
