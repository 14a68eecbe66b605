"""What a server counts, in Prometheus' text format 0.0.4."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import accumulate

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)  # seconds
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Metrics:
    """Counters and a histogram of one server. Any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str], int] = {}
        self._received = self._sent = 0
        self._seconds = [0] * (len(_BOUNDS) + 1)
        self._total = 0.0
        self._gauges: dict[str, tuple[str, Callable[[], int]]] = {}

    def gauge(self, name: str, help: str, value: Callable[[], int]) -> None:
        """Show a number that somebody else knows."""
        self._gauges[name] = help, value

    def count(self, method: str, status: int, received: int, sent: int, seconds: float) -> None:
        """One request that came to its end."""
        key = method if method in _METHODS else "other", f"{status // 100}xx"
        slot = next((index for index, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))
        with self._lock:
            self._requests[key] = self._requests.get(key, 0) + 1
            self._received += received
            self._sent += sent
            self._seconds[slot] += 1
            self._total += seconds

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        with self._lock:
            requests, seconds = dict(self._requests), list(self._seconds)
            received, sent, total = self._received, self._sent, self._total
        lines = [
            "# HELP naust_requests_total Requests by method and class of status.",
            "# TYPE naust_requests_total counter",
        ]
        lines += [f'naust_requests_total{{method="{m}",status="{s}"}} {n}' for (m, s), n in sorted(requests.items())]
        lines += _single("naust_received_bytes_total", "Bytes of requests.", "counter", received)
        lines += _single("naust_sent_bytes_total", "Bytes of bodies of answers.", "counter", sent)
        lines += ["# HELP naust_request_seconds Time from head to end.", "# TYPE naust_request_seconds histogram"]
        bounds = [*(f"{bound:g}" for bound in _BOUNDS), "+Inf"]
        pairs = zip(bounds, accumulate(seconds), strict=True)
        lines += [f'naust_request_seconds_bucket{{le="{bound}"}} {count}' for bound, count in pairs]
        lines += [f"naust_request_seconds_sum {total:.6f}", f"naust_request_seconds_count {sum(seconds)}"]
        for name, (help, value) in sorted(self._gauges.items()):
            lines += _single(name, help, "gauge", value())
        return "\n".join(lines) + "\n"


def _single(name: str, help: str, kind: str, value: int) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}", f"{name} {value}"]
