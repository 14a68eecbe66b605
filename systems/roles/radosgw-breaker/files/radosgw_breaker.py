#!/usr/bin/python3
"""Takes the RadosGW of this node out of the balancers' pool while it answers probes but not requests.

    radosgw-breaker run             until SIGTERM, which lets it in again
    radosgw-breaker status          JSON; with --closed exit 1 while the RadosGW is out
    radosgw-breaker check-config    exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 out or failed, 2 wrong file or usage.

A circuit breaker for each RadosGW, of which the requests are its own: a small object is written and read, so no client
can open it by what it asks for. It opens by the file that makes RadosGW's health check answer 503 (Ceph's
rgw_healthcheck_disabling_path), which every balancer's probe sees. And it opens for one RadosGW of the fleet at a time,
by a key in etcd that is bound to a lease: when all fail, the storage behind them does, and taking them all out would
turn slow answers into none. Without etcd nobody is taken out, but for one of a node that no router hears (`cut_off` of
the health agent): nobody reaches it, and when the link is back its requests to storage hang until TCP tries again,
while its probe is answered at once.

It opens as well while this node's clock is another one than that of the other nodes (`peers`): signatures of clients
are refused then, and those of the breaker, which has the same clock, are not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from etcd_lead import Lead
from metrics_server import metric, program, serve, until_told
from peer_clocks import Clock, Peers
from traefik_etcd import Etcd, Failed

CONFIG = "/etc/seter/now/radosgw-breaker/radosgw-breaker.json"
BUCKET = "seter-breaker"
KEY = "seter/breaker/out"  # in etcd: the node whose RadosGW is out
LEASE = 10  # seconds after which a node that died while its RadosGW was out no longer keeps others in
WRITE_EVERY = 10  # requests; the others read


@dataclass(frozen=True, slots=True)
class Config:
    """What seter wrote. `interval` and `timeout` are seconds."""

    node: str
    etcd: Etcd
    radosgw: str
    drained: Path
    interval: float
    timeout: float
    fall: int
    rise: int
    metrics_port: int
    metrics_address: str
    agent: int = 0  # port on this node where the health agent tells whether the node is cut off; 0 for nobody
    peers: tuple[str, ...] = ()  # addresses of other nodes' RadosGWs

    @classmethod
    def read(cls, path: str) -> Config:
        """Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            host, _, port = str(found["etcd"]).rpartition(":")
            config = cls(
                node=str(found["node"]),
                etcd=Etcd(host.strip("[]"), int(port), Path(found["secrets"])),
                radosgw=str(found["radosgw"]),
                drained=Path(found["drained"]),
                interval=float(found["interval"]),
                timeout=float(found["timeout"]),
                fall=int(found["fall"]),
                rise=int(found["rise"]),
                metrics_port=int(found["metrics_port"]),
                metrics_address=str(found["metrics_address"]),
                agent=int(found.get("agent", 0)),
                peers=tuple(str(address) for address in found.get("peers", ())),
            )
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault
        if min(config.interval, config.timeout, config.fall, config.rise) <= 0:
            raise ValueError(f"{path}: interval, timeout, fall and rise are above 0")
        return config


class Outcome(StrEnum):
    """How one request ended."""

    GOOD = "good"
    BAD = "bad"  # it was taken, and not done: 5xx, or no answer in time
    OTHER = "other"  # says nothing: nobody listens (the balancers see that, too), or we may not


def outcome_of(status: int, code: int) -> Outcome:
    """From the HTTP status, 0 for none, and curl's exit code (curl(1), "Exit codes")."""
    if code == 28 or status >= 500:  # 28: it took too long
        return Outcome.BAD
    return Outcome.GOOD if code == 0 and 200 <= status < 300 else Outcome.OTHER


class Requests:
    """Writes and reads the object of this node. Signed by curl, which gets the keys on its standard input."""

    def __init__(self, config: Config) -> None:
        self._config, self._count, self._made = config, 0, False

    def ask(self) -> Outcome:
        """One request more; it may be two or three, at first."""
        if not self._made:
            self._made = self._send("PUT", "", "") is Outcome.GOOD
        write = self._count % WRITE_EVERY == 0
        self._count += 1
        name = f"/{self._config.node}"
        return self._send("PUT", name, "alive") if write else self._send("GET", name, "")

    def _send(self, method: str, name: str, body: str) -> Outcome:
        config = self._config
        access, secret = (
            (config.etcd.secrets / f"s3-{key}-key").read_text(encoding="ascii").strip() for key in ("access", "secret")
        )
        lines = [
            f'url = "{config.radosgw}/{BUCKET}{name}"',
            f'request = "{method}"',
            f'user = "{access}:{secret}"',
            'aws-sigv4 = "aws:amz:us-east-1:s3"',
            f"max-time = {config.timeout:g}",
            'write-out = "%{http_code}"',
            'output = "/dev/null"',
            "silent",
            *([f'data-binary = "{body}"'] if method == "PUT" else []),
        ]
        argv = ["curl", "--disable", "--config", "-"]
        done = subprocess.run(argv, input="\n".join(lines), capture_output=True, text=True, timeout=60, check=False)
        return outcome_of(int(done.stdout.strip() or 0), done.returncode)


def cut_off(port: int) -> bool:
    """Whether the health agent says that no router hears this node."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=1) as answer:
            return bool(port and json.load(answer).get("cut_off", False))
    except (OSError, ValueError, AttributeError):
        return False


class Holds(Protocol):
    """What of etcd_lead.Lead is needed."""

    @property
    def mine(self) -> bool:
        """Ours is the one that is out."""
        ...

    def hold(self) -> None:
        """Get it, or keep it. Raises Failed."""
        ...

    def end(self) -> None:
        """Give it back. Raises Failed."""
        ...


@dataclass(slots=True)
class State:
    """What is known; written by one thread, read by those of the server."""

    out: bool = False
    wanted: bool = False
    failures: int = 0  # in a row
    good: int = 0  # in a row
    bad: int = 0  # ever
    opened: int = 0
    off: float = 0.0  # seconds that the clock is ahead of the others'
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """For `status`."""
        why = self.clock or "it answers probes and fails requests"
        said = f"out: {why}" if self.out else self.reason or "in"
        return {"ok": not self.out and not self.wanted, "summary": said, "proven": not self.failures, **self._counts()}

    @property
    def clock(self) -> str:
        """What is wrong with it; empty if nothing is."""
        way = "ahead of" if self.off > 0 else "behind"
        return f"the node's clock is {abs(self.off):.0f} s {way} the others'" if self.off else ""

    def _counts(self) -> dict[str, int]:
        return {"failures": self.failures, "good": self.good}

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        rows = (
            ("radosgw_breaker_out", "gauge", "1 while the RadosGW is taken out", int(self.out)),
            ("radosgw_breaker_wanted", "gauge", "1 while it fails but may not be taken out", int(self.wanted)),
            ("radosgw_breaker_failed_requests_total", "counter", "Requests of our own that failed", self.bad),
            ("radosgw_breaker_clock_off_seconds", "gauge", "By how much the clock is wrong, 0 if good", self.off),
            ("radosgw_breaker_opened_total", "counter", "Times that it was taken out", self.opened),
        )
        lines = [line for name, kind, about, value in rows for line in metric(name, kind, about, [({}, value)])]
        return "\n".join(lines) + "\n"


class Breaker:
    """Judges outcomes, and takes the RadosGW out or lets it in."""

    def __init__(self, config: Config, lock: Holds, state: State, alone: Callable[[], bool] = lambda: False) -> None:
        """`alone` says whether the node is cut off."""
        self._config, self._lock, self.state, self._alone = config, lock, state, alone

    def hear(self, outcome: Outcome, off: float = 0.0) -> None:
        """Take one outcome into account, and that the clock is off by so many seconds. Never raises for what etcd
        does."""
        state = self.state
        state.off = off
        if off or outcome is Outcome.BAD:
            state.failures, state.good = state.failures + 1, 0
            state.bad += outcome is Outcome.BAD  # a wrong clock is no request that failed
        elif outcome is Outcome.GOOD:
            state.failures, state.good = 0, state.good + 1
        if state.out:
            self._stay_out()
        elif off or state.failures >= self._config.fall or (state.failures and self._alone()):
            self._open()
        else:
            state.wanted = False

    def _open(self) -> None:
        state = self.state
        state.wanted = True
        if self._held():
            self._config.drained.touch()
            state.out, state.wanted, state.opened = True, False, state.opened + 1
            log(f"out: {state.clock or f'{state.failures} requests in a row failed'}")

    def _stay_out(self) -> None:
        if self.state.good >= self._config.rise:
            self.close("it does its work again")
        elif self._held():
            self._config.drained.touch()  # a RadosGW that was started anew has taken it away
        else:
            self.close(self.state.reason)

    def _held(self) -> bool:
        if self._alone():
            return True
        try:
            self._lock.hold()
        except (Failed, KeyError, ValueError) as fault:
            self._say(f"stays in: {fault}")
        else:
            self._say("" if self._lock.mine else "stays in: another RadosGW is out")
        return self._lock.mine

    def _say(self, reason: str) -> None:
        if reason and reason != self.state.reason:
            log(reason)
        self.state.reason = reason

    def close(self, reason: str) -> None:
        """Let it in. Raises OSError when the file cannot be taken away."""
        if self.state.out:
            self._config.drained.unlink(missing_ok=True)
            log(f"in: {reason}")
        self.state.out, self.state.failures = False, 0
        try:
            self._lock.end()
        except (Failed, KeyError, ValueError) as fault:
            log(f"others stay in until the lease has run out: {fault}")


def run(config: Config) -> int:
    """Until SIGTERM or SIGINT. Raises OSError."""
    ending = until_told()
    state = State()
    serve(config.metrics_port, state, config.metrics_address)
    breaker = Breaker(config, Lead(config.etcd, config.node, LEASE, KEY), state, lambda: cut_off(config.agent))
    peers = Peers(config.peers, config.etcd.secrets / "ca.crt")
    keep_asking(Requests(config).ask, breaker, config.interval, ending, Clock(peers.ask).off)
    if state.out:
        breaker.close("nobody watches it any more")
    return 0


def keep_asking(
    ask: Callable[[], Outcome],
    breaker: Breaker,
    interval: float,
    ending: threading.Event,
    off: Callable[[], float] = lambda: 0.0,
) -> None:
    """Requests start every `interval` seconds; one that took longer is followed by the next at once. `off` says by how
    much the clock is wrong."""
    due = time.monotonic()
    while not ending.wait(max(0.0, due - time.monotonic())):
        breaker.hear(ask(), off())
        due = max(due + interval, time.monotonic())


def log(text: str) -> None:
    """One line to stderr."""
    print(f"radosgw-breaker: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    return program(__doc__, CONFIG, argv, Config.read, run, strict="--closed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
