"""What the health agent is made of: the check, the verdict, the operator's wish, and what BIRD is told."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bird_control import Bird, Refused
from health_state import State

ADDRESS = ("127.0.0.1", 443)  # Traefik of this node
PATH = "/swift/healthcheck"


@dataclass(frozen=True, slots=True)
class Service:
    """What is checked, announced and withdrawn by itself: a name, its virtual IPs, and BIRD's protocols for them."""

    name: str
    dns_name: str
    vips: tuple[str, ...]
    protocols: tuple[str, ...]
    proof: int = 0  # port on this node where somebody says whether real requests succeed; 0 for nobody

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Service:
        """Raises KeyError, TypeError."""
        return cls(
            str(found["name"]),
            str(found["dns_name"]),
            tuple(str(vip) for vip in found["vips"]),
            tuple(str(name) for name in found["protocols"]),
            int(found.get("proof", 0)),
        )


@dataclass(frozen=True, slots=True)
class Config:
    """What seter wrote. `interval`, `timeout` and `calm` are seconds."""

    services: tuple[Service, ...]
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
                services=tuple(Service.of(each) for each in found["services"]),
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
        numbers = (config.interval, config.timeout, config.fall, config.rise)
        if not config.services or not all(each.protocols for each in config.services) or min(numbers) <= 0:
            raise ValueError(f"{path}: each service has a virtual IP, and interval, timeout, fall and rise are above 0")
        if config.timeout <= 2 * config.connect_within:
            raise ValueError(f"{path}: timeout must be above twice connect_within: a dead RadosGW elsewhere looks slow")
        return config

    @property
    def protocols(self) -> tuple[str, ...]:
        """BIRD's, for all services."""
        return tuple(name for service in self.services for name in service.protocols)


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

    def __init__(self, config: Config, service: Service, address: tuple[str, int] = ADDRESS) -> None:
        self._config = config
        self._name = service.dns_name
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
        self._connection = http.client.HTTPConnection(self._name)
        self._connection.sock = plain  # closed with the connection, whatever becomes of the handshake
        self._connection.sock = context.wrap_socket(plain, server_hostname=self._name)
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


class Neighbours:
    """Whether any router hears this node. One that has lost all its sessions is cut off: what is under way to others
    hangs until TCP tries again, up to seconds after the link is back (RFC 6298, section 5.5)."""

    EVERY = 1.0  # seconds between two questions

    def __init__(self, bird: Bird) -> None:
        self._bird, self._asked, self._heard, self._lost = bird, 0.0, False, False

    def lost(self, now: float) -> bool:
        """No session is left of those that there were; not so before the first one. `now` in seconds, monotonic."""
        if now - self._asked >= self.EVERY:
            self._asked = now
            with suppress(OSError):  # a BIRD that does not answer announces nothing
                up = any(self._bird.sessions().values())
                self._heard, self._lost = self._heard or up, self._heard and not up
        return self._lost


def proven(port: int) -> bool:
    """Whether the last real request to the RadosGW of this node succeeded, by whoever makes them and tells it there.
    Where nobody does, nothing speaks against it."""
    if not port:
        return True
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=0.5) as answer:
            return bool(json.load(answer).get("proven", True))
    except (OSError, ValueError, AttributeError):
        return True


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


class Agent:
    """Of one service. One tick: check, judge, assert."""

    def __init__(
        self,
        config: Config,
        service: Service,
        bird: Bird,
        check: Callable[[], tuple[Outcome, str]],
        wish: Wish,
        ticked: Callable[[str], None],
    ) -> None:
        self._service, self._bird, self._check, self._wish, self._ticked = service, bird, check, wish, ticked
        self.state = State({outcome.value: 0 for outcome in Outcome}, service.vips)
        self._neighbours = Neighbours(bird)
        self._judge = Judge(config.fall, config.rise, config.calm, config.most)
        self._last: bool | None = None  # what this agent asserted last

    def adopt(self) -> None:
        """Start from what BIRD does now, so that an agent that crashed and came back does not make the route flap."""
        try:
            up = self._bird.announced(self._service.protocols)
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
            self._log(f"{'healthy' if healthy else 'not healthy'}{': ' if reason else ''}{reason}")
        self.state.healthy, self.state.reason = healthy, reason
        withdrawn = self._wish.withdrawn()
        if withdrawn != self.state.withdrawn:
            self._log("the operator keeps this node out" if withdrawn else "the operator lets this node in")
        self.state.withdrawn = withdrawn
        self._assert(healthy and not withdrawn)
        self.state.ticks += 1
        self._ticked(self._service.name)

    def withdraw(self) -> None:
        """At the end of the agent: nobody watches any more, so nothing may be announced. Raises OSError."""
        self._bird.disable(self._service.protocols)
        self.state.announced = False
        self._log("withdrawn: the agent ends")

    def _outcome(self) -> tuple[Outcome, str]:
        self.state.cut_off = self._neighbours.lost(time.monotonic())
        if self.state.cut_off:
            return Outcome.BAD, "no router hears this node"
        try:
            outcome, reason = self._check()
            if outcome is Outcome.GOOD and not self._judge.healthy and not proven(self._service.proof):
                return Outcome.SLOW, "its RadosGW answers probes and no requests yet"
        except Exception as fault:
            return Outcome.BAD, f"cannot check: {type(fault).__name__}: {fault}"
        return outcome, reason

    def _assert(self, announce: bool) -> None:
        protocols = self._service.protocols
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
                self._log(f"{fault}; a BIRD that starts again announces nothing by itself")
            self.state.announced = False

    def _set(self, announce: bool) -> None:
        self.state.changes += 1
        if self._last == announce:
            self.state.corrections += 1
        self._last = announce
        if announce:
            self._enable()
        else:
            self._bird.disable(self._service.protocols)
        self._log(f"{'announced' if announce else 'withdrawn'}: {', '.join(self._service.protocols)}")

    def _enable(self) -> None:
        try:
            self._bird.enable(self._service.protocols)
        except Refused:
            self._bird.disable(self._service.protocols)  # all families or none
            raise

    def _log(self, text: str) -> None:
        log(f"{self._service.name}: {text}")


def log(text: str) -> None:
    """One line to stderr."""
    print(f"health: {text}", file=sys.stderr, flush=True)
