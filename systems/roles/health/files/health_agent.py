"""What the health agent is made of: the check, the verdict, the operator's wish, and what BIRD is told."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bird_control import Bird, Refused, beat

ADDRESS = ("127.0.0.1", 443)  # Traefik of this node
PATH = "/swift/healthcheck"


@dataclass(frozen=True, slots=True)
class Config:
    """What seter wrote. `interval`, `timeout` and `calm` are seconds."""

    dns_name: str
    protocols: tuple[str, ...]
    interval: float
    timeout: float
    connect_within: float
    fall: int
    rise: int
    calm: float
    most: int
    fresh_every: int
    ca: Path
    bird: str
    folder: Path
    metrics_port: int
    metrics_address: str
    trust: str = ""  # PEM

    @classmethod
    def read(cls, path: str) -> Config:
        """Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            config = cls(
                dns_name=str(found["dns_name"]),
                protocols=tuple(str(name) for name in found["protocols"]),
                interval=float(found["interval"]),
                timeout=float(found["timeout"]),
                connect_within=float(found["connect_within"]),
                fall=int(found["fall"]),
                rise=int(found["rise"]),
                calm=float(found["calm"]),
                most=int(found["most"]),
                fresh_every=int(found["fresh_every"]),
                ca=Path(found["ca"]),
                trust=str(found.get("trust", "")),
                bird=str(found["bird"]),
                folder=Path(found["folder"]),
                metrics_port=int(found["metrics_port"]),
                metrics_address=str(found["metrics_address"]),
            )
        except (OSError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault
        if not config.protocols or min(config.interval, config.timeout, config.fall, config.rise) <= 0:
            raise ValueError(f"{path}: there has to be a virtual IP, and interval, timeout, fall and rise are above 0")
        if config.timeout <= 2 * config.connect_within:
            raise ValueError(f"{path}: timeout must be above twice connect_within: a dead RadosGW elsewhere looks slow")
        return config


class Outcome(StrEnum):
    """How one check ended. Slow is not dead: a busy node answers late, a dead one refuses or answers wrongly."""

    GOOD = "good"
    SLOW = "slow"
    BAD = "bad"


@dataclass(slots=True)
class Judge:
    """Outcomes give a verdict: `bad` counts at once, `slow` after `fall` in a row, `good` after `rise` in a row.

    A node that falls again within `calm` seconds has to do well for twice as long as before, at most for `most` checks:
    one that comes and goes moves flows each time (compare RFC 2439 on route flap damping)."""

    fall: int
    rise: int
    calm: float = 60.0
    most: int = 300
    healthy: bool = False
    needed: int = 0  # good outcomes in a row; 0 before the first
    _good: int = 0
    _slow: int = 0
    _fell: float | None = None

    def hear(self, outcome: Outcome, now: float = 0.0) -> bool:
        """Take one outcome into account; returns whether the node is healthy. `now` in seconds, monotonic."""
        self._good = self._good + 1 if outcome is Outcome.GOOD else 0
        self._slow = self._slow + 1 if outcome is Outcome.SLOW else 0
        if outcome is Outcome.BAD or self._slow >= self.fall:
            if self.healthy:
                self._fall(now)
            self.healthy = False
        elif self._good >= max(self.needed, self.rise):
            self.healthy = True
        return self.healthy

    def _fall(self, now: float) -> None:
        again = self._fell is not None and now - self._fell < self.calm
        self.needed = min(max(self.needed, self.rise) * 2, max(self.most, self.rise)) if again else self.rise
        self._fell = now


class Probe:
    """Asks the service as a client would, over one connection that it makes anew every `fresh_every` checks."""

    def __init__(self, config: Config, address: tuple[str, int] = ADDRESS) -> None:
        self._config = config
        self._address = address
        self._connection: http.client.HTTPConnection | None = None
        self._asked = 0
        self._context: ssl.SSLContext | None = None
        self._authority = ""

    def check(self) -> tuple[Outcome, str]:
        """One check; the text says what was wrong. Never raises for anything that the network or the service does."""
        kept = self._connection is not None and self._asked < self._config.fresh_every
        outcome, reason = self._try(fresh=not kept)
        if kept and outcome is Outcome.BAD and not reason.startswith("answer"):
            # A connection that was kept open may have been closed for its age: that says nothing about the service.
            outcome, reason = self._try(fresh=True)
        return outcome, reason

    def _try(self, *, fresh: bool) -> tuple[Outcome, str]:
        try:
            if fresh:
                self._open()
            status = self._ask()
        except TimeoutError:
            self._close()
            return Outcome.SLOW, f"no answer within {self._config.timeout:g} s"
        except (OSError, http.client.HTTPException) as fault:
            self._close()
            return Outcome.BAD, f"{type(fault).__name__}: {fault}"
        return (Outcome.GOOD, "") if status == 200 else (Outcome.BAD, f"answer {status} to {PATH}")

    def _verifying(self) -> ssl.SSLContext:
        """By the CAs that clients may trust: the deployment's, read anew since it may have been exchanged, public ones,
        and what the operator names. Raises OSError."""
        authority = self._config.ca.read_text(encoding="utf-8")
        if self._context is None or self._authority != authority:
            self._context, self._authority = ssl.create_default_context(), authority
            self._context.load_verify_locations(cadata=authority + self._config.trust)
        return self._context

    def _open(self) -> None:
        self._close()
        context = self._verifying()
        plain = socket.create_connection(self._address, timeout=self._config.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = http.client.HTTPConnection(self._config.dns_name)
        self._connection.sock = plain  # closed with the connection, whatever becomes of the handshake
        self._connection.sock = context.wrap_socket(plain, server_hostname=self._config.dns_name)
        self._asked = 0

    def _ask(self) -> int:
        assert self._connection is not None
        self._asked += 1
        self._connection.request("GET", PATH, headers={"User-Agent": "seter-health"})
        answer = self._connection.getresponse()
        answer.read(64 * 1024)
        if answer.will_close:
            self._close()
        return answer.status

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@dataclass(slots=True)
class Wish:
    """What the operator wants: kept in a file, so it outlives the agent, but not the node (or its namespace)."""

    path: Path
    life: str = field(default_factory=lambda: node_life())

    def withdrawn(self) -> bool:
        """True while the operator keeps the node out. An unreadable wish counts as one to stay out."""
        try:
            wish, _, life = self.path.read_text(encoding="utf-8").strip().partition(" ")
        except FileNotFoundError:
            return False
        except (OSError, UnicodeDecodeError):
            return True
        return wish == "withdrawn" and life == self.life

    def withdraw(self) -> None:
        """From now on the node stays out."""
        self._write(f"withdrawn {self.life}\n")

    def admit(self) -> None:
        """From now on the checks decide."""
        self._write(f"admitted {self.life}\n")

    def _write(self, text: str) -> None:
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self.path)


def node_life() -> str:
    """Tells one life of a node from the next: the boot of a host, the network namespace of a container node."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/net').stat().st_ino}"


@dataclass(slots=True)
class State:
    """What the agent knows; read by the metrics thread, written by the checking one."""

    healthy: bool = False
    withdrawn: bool = False
    announced: bool = False
    reason: str = "not checked yet"
    seconds: float = 0.0
    checked_at: float = 0.0
    ticks: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: {outcome.value: 0 for outcome in Outcome})
    changes: int = 0
    corrections: int = 0
    bird_failures: int = 0
    needed: int = 0

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
            "settled": self.ticks > 0 and self.announced == (not self.withdrawn),
        }

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        lines = [
            *_metric("health_announced", "gauge", "1 while BIRD announces the virtual IPs", int(self.announced)),
            *_metric("health_healthy", "gauge", "1 while this node serves S3", int(self.healthy)),
            *_metric("health_withdrawn", "gauge", "1 while the operator keeps this node out", int(self.withdrawn)),
            *_metric("health_check_seconds", "gauge", "Duration of the last check", f"{self.seconds:.6f}"),
            *_metric("health_checked_timestamp_seconds", "gauge", "When it was", f"{self.checked_at:.3f}"),
            *_metric("health_changes_total", "counter", "Times that the announcement was changed", self.changes),
            *_metric("health_corrections_total", "counter", "Of them, against what BIRD had done", self.corrections),
            *_metric("health_bird_failures_total", "counter", "Ticks in which BIRD did not answer", self.bird_failures),
            *_metric("health_needed_checks", "gauge", "Good checks in a row that admit this node", self.needed),
            "# HELP health_checks_total Checks by their outcome",
            "# TYPE health_checks_total counter",
            *(f'health_checks_total{{outcome="{name}"}} {count}' for name, count in self.outcomes.items()),
        ]
        return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, summary: str, value: object) -> tuple[str, str, str]:
    return f"# HELP {name} {summary}", f"# TYPE {name} {kind}", f"{name} {value}"


class Agent:
    """One tick: check, judge, assert."""

    def __init__(
        self, config: Config, bird: Bird, check: Callable[[], tuple[Outcome, str]], wish: Wish, state: State
    ) -> None:
        self._config, self._bird, self._check, self._wish, self.state = config, bird, check, wish, state
        self._judge = Judge(config.fall, config.rise, config.calm, config.most)
        self._last: bool | None = None  # what this agent asserted last

    def adopt(self) -> None:
        """Start from what BIRD does now, so that an agent that crashed and came back does not make the route flap."""
        try:
            up = self._bird.announced(self._config.protocols)
        except OSError:
            return
        self._judge.healthy = all(up.values())

    def tick(self) -> None:
        """Never raises: what keeps the check from running counts as a bad outcome."""
        started = time.monotonic()
        outcome, reason = self._outcome()
        self.state.seconds, self.state.checked_at = time.monotonic() - started, time.time()
        self.state.outcomes[outcome.value] += 1
        healthy = self._judge.hear(outcome, time.monotonic())
        self.state.needed = self._judge.needed
        if healthy != self.state.healthy or (reason and reason != self.state.reason):
            log(f"{'healthy' if healthy else 'not healthy'}{': ' if reason else ''}{reason}")
        self.state.healthy, self.state.reason = healthy, reason
        withdrawn = self._wish.withdrawn()
        if withdrawn != self.state.withdrawn:
            log("the operator keeps this node out" if withdrawn else "the operator lets this node in")
        self.state.withdrawn = withdrawn
        self._assert(healthy and not withdrawn)
        self.state.ticks += 1
        beat()

    def withdraw(self) -> None:
        """At the end of the agent: nobody watches any more, so nothing may be announced. Raises OSError."""
        self._bird.disable(self._config.protocols)
        self.state.announced = False
        log("withdrawn: the agent ends")

    def _outcome(self) -> tuple[Outcome, str]:
        try:
            return self._check()
        except Exception as fault:
            return Outcome.BAD, f"cannot check: {type(fault).__name__}: {fault}"

    def _assert(self, announce: bool) -> None:
        protocols = self._config.protocols
        try:
            up = self._bird.announced(protocols)
            if set(up.values()) != {announce}:
                self._set(announce)
                up = self._bird.announced(protocols)
            self.state.announced = any(up.values())
        except OSError as fault:
            self.state.bird_failures += 1
            self._last = None
            if self.state.announced or self.state.bird_failures == 1:
                log(f"{fault}; a BIRD that starts again announces nothing by itself")
            self.state.announced = False

    def _set(self, announce: bool) -> None:
        self.state.changes += 1
        if self._last == announce:
            self.state.corrections += 1
        self._last = announce
        if announce:
            self._enable()
        else:
            self._bird.disable(self._config.protocols)
        log(f"{'announced' if announce else 'withdrawn'}: {', '.join(self._config.protocols)}")

    def _enable(self) -> None:
        try:
            self._bird.enable(self._config.protocols)
        except Refused:
            self._bird.disable(self._config.protocols)  # all families or none
            raise


def log(text: str) -> None:
    """One line to stderr."""
    print(f"health: {text}", file=sys.stderr, flush=True)
