"""Ctrl-C, once. The first signal interrupts; while we clean up, more of them are answered and change nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from common.console import note

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STILL = "cleaning up; this ends by itself"


@contextmanager
def once(still: str = STILL) -> Iterator[None]:
    """In here the first Ctrl-C or SIGTERM raises KeyboardInterrupt in the main thread; to every later one `still` is
    said. After a first one, what is left to be done after the block is done whatever comes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def take(number: int, frame: object) -> None:
        nonlocal interrupted
        if interrupted:
            note(still)
            return
        interrupted = True
        raise KeyboardInterrupt

    # A program that was started in the background ignores Ctrl-C, and goes on doing so.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, take)
    try:
        yield
    finally:
        for number, handler in before.items():
            # Python's own end forgets handlers, and a signal would kill it there; what is ignored stays ignored.
            signal.signal(number, signal.SIG_IGN if interrupted else handler)
