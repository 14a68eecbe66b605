"""What the health agent knows of each service, as its verb `status` and Prometheus get it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from metrics_server import metric


@dataclass(slots=True)
class State:
    """Of one service; read by the metrics thread, written by the checking one."""

    outcomes: dict[str, int] = field(default_factory=dict)
    vips: tuple[str, ...] = ()
    healthy: bool = False
    withdrawn: bool = False
    announced: bool = False
    reason: str = "not checked yet"
    seconds: float = 0.0
    checked_at: float = 0.0
    ticks: int = 0
    changes: int = 0
    corrections: int = 0
    bird_failures: int = 0
    needed: int = 0
    cut_off: bool = False

    def report(self) -> dict[str, Any]:
        """For `health status`."""
        return {
            "announced": self.announced,
            "healthy": self.healthy,
            "wanted": "withdrawn" if self.withdrawn else "admitted",
            "reason": self.reason,
            "check_seconds": round(self.seconds, 4),
            "checked_at": self.checked_at,
            "ticks": self.ticks,
            "needed": self.needed,
            "cut_off": self.cut_off,
            "settled": self.ticks > 0 and self.announced == (not self.withdrawn),
        }


# Name, type, what it is, and how it is read.
_OF_A_SERVICE: tuple[tuple[str, str, str, Callable[[State], float]], ...] = (
    ("health_announced", "gauge", "1 while BIRD announces the virtual IPs", lambda state: state.announced),
    ("health_healthy", "gauge", "1 while this node serves S3", lambda state: state.healthy),
    ("health_withdrawn", "gauge", "1 while the operator keeps this node out", lambda state: state.withdrawn),
    ("health_check_seconds", "gauge", "Duration of the last check", lambda state: state.seconds),
    ("health_checked_timestamp_seconds", "gauge", "When it was", lambda state: state.checked_at),
    ("health_changes_total", "counter", "Times that the announcement was changed", lambda state: state.changes),
    ("health_corrections_total", "counter", "Of them, against what BIRD had done", lambda state: state.corrections),
    ("health_bird_failures_total", "counter", "Ticks in which BIRD did not answer", lambda state: state.bird_failures),
    ("health_cut_off", "gauge", "1 while no router hears this node", lambda state: state.cut_off),
    ("health_needed_checks", "gauge", "Good checks in a row that admit this node", lambda state: state.needed),
)


class States:
    """Of all services, the first one first."""

    def __init__(self, states: Mapping[str, State]) -> None:
        self._states = states

    def report(self) -> dict[str, Any]:
        """The first one's, settled when all are; with more than one all by their names, and a line about them."""
        reports = {name: state.report() for name, state in self._states.items()}
        first = next(iter(reports.values()))
        if len(reports) == 1:
            return first
        told = ", ".join(f"{name} {'announced' if each['announced'] else 'out'}" for name, each in reports.items())
        settled = all(each["settled"] for each in reports.values())
        return {**first, "settled": settled, "summary": told, "services": reports}

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        lines = [
            line
            for name, kind, summary, read in _OF_A_SERVICE
            for line in metric(name, kind, summary, [({"service": each}, read(state)) for each, state in self._all()])
        ]
        outcomes = [
            ({"service": each, "outcome": outcome}, count)
            for each, state in self._all()
            for outcome, count in state.outcomes.items()
        ]
        lines += metric("health_checks_total", "counter", "Checks by their outcome", outcomes)
        ways = [({"prefix": prefix_of(vip)}, state.announced) for _, state in self._all() for vip in state.vips]
        lines += metric("health_prefix_announced", "gauge", "1 while BIRD announces this virtual IP", ways)
        return "\n".join(lines) + "\n"

    def _all(self) -> Iterable[tuple[str, State]]:
        return self._states.items()


def prefix_of(vip: str) -> str:
    """As routers know the address."""
    return f"{vip}/{128 if ':' in vip else 32}"


class Chorus:
    """Says that the agent lives when each service was checked since it last did: a check that hangs is not hidden by
    the others."""

    def __init__(self, services: Iterable[str], beat: Callable[[], None]) -> None:
        self._services, self._beat = frozenset(services), beat
        self._heard: set[str] = set()
        self._lock = threading.Lock()

    def hear(self, service: str) -> None:
        """This one was checked."""
        with self._lock:
            self._heard.add(service)
            if self._heard < self._services:
                return
            self._heard.clear()
        self._beat()
