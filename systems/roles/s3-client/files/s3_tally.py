"""What became of the requests of a drive: a line a second while it goes on, and one document at its end.

The line (`--stream`), about the requests that ended within that second:
    {"at": 1764460800.0, "second": 3, "sent": 300, "ok": 299, "failed": 1, "late": 0, "p50": 0.002, "p99": 0.01,
     "p999": 0.02, "max": 0.03, "received": 1048576, "stored": 4096, "gateways": {"4137": {"ok": 150, "failed": 0}}}
The document is the same in its parts; all that it has is in `document`. Times are seconds, sizes bytes, moments seconds
since 1970; `planned`, `second` are seconds since the start. `ways` counts, for each address, who answered. Latencies
count from the planned time. Histograms are those of s3_hdr.py, in microseconds, so several runs' can be added. A
percentile of no requests is null.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field

from s3_hdr import Histogram, summary

FORMAT = 1
LAG_AT_MOST = 0.005  # seconds of the 99th percentile; above it the machine of the client is measured, not the service
TOLD = 10_000  # requests that are told one by one; what is above is a number
UNKNOWN = ""  # the gateway of a request that nobody answered


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request. `seconds` from the planned time to the end, `lag` to the start; `reason` is empty when it was good.

    `gateway` is who answered: the RadosGW's number in the answer's identifier, or the name given to that, or the name
    given to the address. `identifier` is what Traefik's access log has as `request_Amz-Sdk-Invocation-Id`.
    """

    number: int
    planned: float
    lag: float
    seconds: float
    operation: str
    address: str
    gateway: str = UNKNOWN
    received: int = 0
    stored: int = 0
    reason: str = ""
    identifier: str = ""


@dataclass(slots=True)
class Counted:
    """Requests that belong together. `late` ones are good, too."""

    ok: int = 0
    failed: int = 0
    late: int = 0
    received: int = 0
    stored: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def hear(self, one: Outcome, late: bool) -> None:
        """A request that failed counts with its time as well: it is a wait that somebody had."""
        self.ok += not one.reason
        self.failed += bool(one.reason)
        self.late += late
        self.received += one.received
        self.stored += one.stored
        self.latency.record(one.seconds)

    def counts(self) -> dict[str, int]:
        """Without the times."""
        return {"ok": self.ok, "failed": self.failed, "late": self.late}


class Tally:
    """Hears every outcome, in any order. `late` is seconds from which on a good answer is told as late."""

    def __init__(self, late: float) -> None:
        self.late = late
        self.all, self.lag = Counted(), Histogram()
        self.operations: dict[str, Counted] = {}
        self.gateways: dict[str, Counted] = {}
        self._seconds: dict[int, tuple[Counted, dict[str, Counted]]] = {}
        self._now, self._gateways_now = Counted(), dict[str, Counted]()
        self.ways: dict[str, Counter[str]] = {}
        self._told: list[tuple[Outcome, str]] = []
        self._untold: Counter[str] = Counter()

    def hear(self, one: Outcome) -> None:
        """One request ended."""
        late = not one.reason and one.seconds > self.late
        second, gateways = self._seconds.setdefault(int(one.planned), (Counted(), {}))
        for counted in (
            self.all, self._now, second,
            self.operations.setdefault(one.operation, Counted()),
            self.gateways.setdefault(one.gateway, Counted()),
            self._gateways_now.setdefault(one.gateway, Counted()),
            gateways.setdefault(one.gateway, Counted()),
        ):  # fmt: skip
            counted.hear(one, late)
        self.lag.record(one.lag)
        self.ways.setdefault(one.address, Counter())[one.gateway] += 1
        if one.reason or late:
            self._tell(one, "failed" if one.reason else "late")

    def _tell(self, one: Outcome, what: str) -> None:
        if len(self._told) < TOLD:
            self._told.append((one, what))
        else:
            self._untold[what] += 1

    def line(self, second: int, sent: int, now: float) -> dict[str, object]:
        """Of what ended since the last one; `sent` is how many began in that time, `now` seconds since 1970."""
        counted, gateways = self._now, self._gateways_now
        self._now, self._gateways_now = Counted(), {}
        who = {name: {"ok": each.ok, "failed": each.failed} for name, each in sorted(gateways.items())}
        sizes = {"received": counted.received, "stored": counted.stored}
        return {"at": round(now, 3), "second": second, "sent": sent, **_brief(counted), **sizes, "gateways": who}

    def timeline(self) -> list[dict[str, object]]:
        """By the second in which requests were planned."""
        return [
            {
                "second": second,
                "planned": counted.ok + counted.failed,
                **_brief(counted),
                "received": counted.received,
                "stored": counted.stored,
                "gateways": {name: each.counts() for name, each in sorted(gateways.items())},
            }
            for second, (counted, gateways) in sorted(self._seconds.items())
        ]

    def told(self, what: str) -> list[dict[str, object]]:
        """Those that `failed` or were `late`, in the order in which they were planned."""
        chosen = sorted((one for one, which in self._told if which == what), key=lambda one: one.number)
        return [
            {
                **{name: value for name, value in asdict(one).items() if name not in ("received", "stored")},
                **{name: round(getattr(one, name), 6) for name in ("planned", "lag", "seconds")},
            }
            for one in chosen
        ]

    def untold(self, what: str) -> int:
        """How many more there were."""
        return self._untold[what]


def _brief(counted: Counted) -> dict[str, object]:
    found = counted.latency
    shares = {"p50": 50.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
    times = {name: found.percentile(share) for name, share in shares.items()}
    return {**counted.counts(), **times}


@dataclass(frozen=True, slots=True)
class Run:
    """What a document says of the run as a whole. `unsent` requests were planned and never begun."""

    service: str
    addresses: tuple[str, ...]
    profile: dict[str, object]
    started_at: float
    seconds: float
    planned: int
    unsent: int
    faults: tuple[str, ...] = ()


def invalid(tally: Tally, run: Run) -> list[str]:
    """Why the figures do not count; empty when they do."""
    found = list(run.faults)
    lag = tally.lag.percentile(99)
    if lag is None:
        found.append("no request was sent")
    elif lag > LAG_AT_MOST:
        found.append(
            f"p99 of the lag behind the plan is {lag * 1e3:.1f} ms, above {LAG_AT_MOST * 1e3:g} ms: "
            "this machine is too busy for the rate; lower it, or drive from several"
        )
    if run.unsent:
        found.append(f"{run.unsent} planned requests were not sent")
    return found


def document(tally: Tally, run: Run) -> dict[str, object]:
    """All that is known at the end. Pure."""
    reasons = invalid(tally, run)
    return {
        "kind": "drive",
        "format": FORMAT,
        "valid": not reasons,
        "invalid": reasons,
        "service": run.service,
        "addresses": list(run.addresses),
        "started_at": round(run.started_at, 3),
        "seconds": round(run.seconds, 3),
        "late_after": tally.late,
        "profile": run.profile,
        "planned": run.planned,
        "sent": run.planned - run.unsent,
        **tally.all.counts(),
        "throughput": round(tally.all.ok / run.seconds, 3) if run.seconds else 0.0,
        "received": tally.all.received,
        "stored": tally.all.stored,
        "lag": summary(tally.lag),
        "latency": summary(tally.all.latency),
        "operations": {name: _whole(each) for name, each in sorted(tally.operations.items())},
        "gateways": {name: _whole(each) for name, each in sorted(tally.gateways.items())},
        "ways": {address: dict(sorted(found.items())) for address, found in sorted(tally.ways.items())},
        "timeline": tally.timeline(),
        "failures": tally.told("failed"),
        "failures_untold": tally.untold("failed"),
        "late_requests": tally.told("late"),
        "late_untold": tally.untold("late"),
    }


def _whole(counted: Counted) -> dict[str, object]:
    sizes = {"received": counted.received, "stored": counted.stored}
    return {**counted.counts(), **sizes, "latency": summary(counted.latency)}


def as_text(found: Tally, run: Run) -> str:
    """For people: the verdict, one line for each operation, one for each failure up to twenty."""
    lines = [f"not valid: {reason}" for reason in invalid(found, run)]
    lines.append(
        f"{run.planned} planned, {found.all.ok} good, {found.all.failed} failed, {found.all.late} late; "
        f"{found.all.ok / run.seconds if run.seconds else 0:.1f}/s; lag p99 {_ms(found.lag, 99)}"
    )
    for name, each in sorted(found.operations.items()):
        times = ", ".join(f"{word} {_ms(each.latency, share)}" for word, share in _WORDS)
        lines.append(f"  {name:9} {each.ok:7} good {each.failed:5} failed  {times}")
    failures = found.told("failed")
    for one in failures[:20]:
        who = f" ({one['gateway']})" if one["gateway"] else ""
        lines.append(f"  at {one['planned']} s {one['operation']} over {one['address']}{who}: {one['reason']}")
    more = len(failures) - 20 + found.untold("failed")
    return "\n".join(lines + ([f"  and {more} more; --json tells them"] if more > 0 else []))


_WORDS = (("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0))


def _ms(histogram: Histogram, share: float) -> str:
    found = histogram.percentile(share)
    return "-" if found is None else f"{found * 1e3:.1f} ms"


def tell(line: dict[str, object]) -> None:
    """On stdout at once, on one line."""
    print(json.dumps(line), flush=True)


def now() -> float:
    """Seconds since 1970."""
    return time.time()
