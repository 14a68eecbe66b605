"""Waiting for what has to come true by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def soon(holds: Callable[[], bool], seconds: float, what: str, every: float = 0.1) -> float:
    """Seconds until it held, asked every so many seconds. Raises AssertionError when it does not hold in time."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(every)
    return time.monotonic() - started
