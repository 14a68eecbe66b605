"""The same work on many things, some of them at once; the first error stops what has not begun.

Ctrl-C and the like reach the main thread alone, and a transfer may go on for hours. So whoever is interrupted while he
waits for others interrupts them too, as if Ctrl-C had hit them (PyThreadState_SetAsyncExc, Python/C API reference,
"Thread State and the Global Interpreter Lock"): they clean up as for any error. What stands still in a system call sees
it when that returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
AT_ONCE = 4  # transfers side by side; a store's own limit may be lower
_LOOK = 0.2  # seconds until a thread that waits for others sees that it is interrupted itself


def each(work: Callable[[Item], object], items: Iterable[Item], at_once: int = AT_ONCE) -> None:
    """Do the work for every item. Raises the first error, after what had begun has ended; so does an interruption,
    after what had begun was interrupted."""
    waiting = list(items)
    if len(waiting) < 2 or at_once < 2:
        for item in waiting:
            work(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    crew = _Crew(work)
    with ThreadPoolExecutor(min(at_once, len(waiting))) as threads:
        try:  # the first may be at work before the last is handed over, and an interruption may come between the two
            begun = [threads.submit(crew.work, item) for item in waiting]
            done = _done(begun)
        except BaseException:
            crew.interrupt()
            raise
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
    for future in done:
        future.result()


def _done(begun: Sequence[Future[None]]) -> set[Future[None]]:
    """Wait until all ended well, or one did not; which ended."""
    from concurrent.futures import FIRST_EXCEPTION, wait

    while True:
        done, rest = wait(begun, _LOOK, FIRST_EXCEPTION)
        if not rest or any(each.exception() for each in done):
            return done


class _Crew(Generic[Item]):
    """Threads that work, and can be interrupted while they do."""

    def __init__(self, work: Callable[[Item], object]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._busy: set[int] = set()
        self._interrupted = False

    def work(self, item: Item) -> None:
        """Do it, unless all were interrupted."""
        own = threading.get_ident()
        with self._changed:
            if self._interrupted:
                return
            self._busy.add(own)
        try:
            self._work(item)
        finally:
            try:
                self._leave(own)
            except KeyboardInterrupt:  # at the last moment: it is noticed here, and not in the pool's own code
                self._leave(own)
                raise

    def _leave(self, own: int) -> None:
        with self._changed:
            self._busy.discard(own)
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Let KeyboardInterrupt be raised in those that work, and wait until they have ended. The pool does not know of
        a thread that was just being started when the interruption came."""
        import ctypes

        with self._changed:
            self._interrupted = True
            for thread in self._busy:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
            self._changed.wait_for(lambda: not self._busy)
