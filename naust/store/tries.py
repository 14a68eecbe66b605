"""How often something is asked again that did not answer, and how long is waited before.

Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", 2015), and what the server asks for by
Retry-After. The arithmetic is ours because it is six lines: tenacity knows neither a Retry-After nor a transfer that
goes on, and would be one dependency more.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from common.console import Report
from common.errors import Unavailable
from common.model import Event

PROGRESS = 64 << 10  # bytes; a transfer that got so far since it last broke may break as often again


class GaveUp(Unavailable):
    """It did not answer as often as we asked; nobody else has to try again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how long to wait in all. `sleep` takes seconds."""

    tries: int = 6
    first: timedelta = timedelta(seconds=0.5)  # the longest first wait; doubles
    longest: timedelta = timedelta(seconds=30)
    altogether: timedelta = timedelta(minutes=5)
    sleep: Callable[[float], object] = time.sleep

    def wait(self, number: int, error: Unavailable) -> float:
        """Seconds before the try after failure `number`, which counts from 0."""
        if error.retry_after is not None:
            return error.retry_after.total_seconds()
        return random.uniform(0.0, min(self.longest.total_seconds(), self.first.total_seconds() * 2.0**number))


class Tries:
    """The tries of one piece of work."""

    def __init__(self, patience: Patience, what: str, report: Report) -> None:
        self._patience, self._what, self._report = patience, what, report
        self._failures, self._waited = 0, 0.0

    def failed(self, error: Unavailable) -> None:
        """Wait for the next try. Raises GaveUp when there is none."""
        seconds = self._patience.wait(self._failures, error)
        self._failures += 1
        left = self._patience.altogether.total_seconds() - self._waited
        if isinstance(error, GaveUp):
            raise error
        if self._failures >= self._patience.tries or seconds > left:
            raise self._gave_up(error, seconds if seconds > left else 0.0) from error
        self._report(Event("retry", self._what, f"{error.message}; again in {seconds:.1f} s"))
        self._patience.sleep(seconds)
        self._waited += seconds

    def progressed(self) -> None:
        """It got on since the last failure."""
        self._failures = 0

    def _gave_up(self, error: Unavailable, asked: float) -> GaveUp:
        tried = f"Tried {self._failures} time{'' if self._failures == 1 else 's'}, waited {self._waited:.1f} s"
        wish = f"; it asks for {asked:.0f} s more, which is too long" if asked else ""
        found = GaveUp(
            error.message,
            details="\n".join(filter(None, (error.details, f"{tried}{wish}."))),
            resolution=error.resolution,
        )
        found.retry_after = error.retry_after
        return found
