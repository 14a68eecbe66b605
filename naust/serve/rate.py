"""How many requests a second one client may make: a bucket for each, which fills up steadily."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST = 4  # seconds' worth that a bucket holds
_MOST = 10_000  # buckets; beyond that the full ones, which say nothing, are thrown away


class Rate:
    """`each` requests a second; 0 is no limit."""

    def __init__(self, each: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each = each
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # client → tokens left, when that was

    def wait(self, client: str) -> int:
        """0 if the client may go on, else the whole seconds after which it may try again."""
        if not self._each:
            return 0
        with self._lock:
            now = self._clock()
            left, when = self._buckets.get(client, (float(self._each * _BURST), now))
            left = min(float(self._each * _BURST), left + (now - when) * self._each)
            if left >= 1:
                self._buckets[client] = left - 1, now
                self._forget(now)
                return 0
            self._buckets[client] = left, now
            return max(1, round((1 - left) / self._each))

    def _forget(self, now: float) -> None:
        if len(self._buckets) > _MOST:
            self._buckets = {key: entry for key, entry in self._buckets.items() if now - entry[1] < _BURST}
            if len(self._buckets) > _MOST:  # an attack from everywhere; nobody is punished for it for long
                self._buckets.clear()
