"""What an experiment may cost, and whether it did: extension `seter` of an experiment's file. Pure."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from common.errors import BadInput
from common.hcl import Literal
from common.values import Wrong, as_duration
from seter.report.model import Allowance as Measured

NAME = "seter"  # of the extension
_KEYS = {"default", "needs", "load", "allow", "stop"}
_LOAD = {"seconds", "rate", "connections", "timeout", "operations"}
# As the client's profiles name them (role s3-client).
_OPERATIONS = {"GET", "PUT", "HEAD", "DELETE", "LIST", "MULTIPART", "BUCKET"}
_CONNECTIONS = ("new", "kept")
_STOP = {"percent", "seconds"}
_ALLOW = {"failed", "failed_for", "back_within"}
# What nodes of some kinds do not have of their own; and ROLE.PARAMETER, which the system has to have set.
NEEDS = frozenset({"clock", "disk"})
_SET = re.compile(r"[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,60}")
LONGEST = 600  # seconds of load
MOST = 300  # requests a second


@dataclass(frozen=True, slots=True)
class Load:
    """New requests all the time, from before the first action until the last is taken back."""

    seconds: int = 20
    rate: int = 40  # a second
    connections: str = "new"  # for each request, or "kept" for the next one
    timeout: int = 2  # seconds; what has no answer then has failed
    operations: Mapping[str, int] = field(default_factory=lambda: {"GET": 80, "PUT": 15, "HEAD": 5})  # weights


@dataclass(frozen=True, slots=True)
class Allowance:
    """`failed` of the load's requests may fail at most, None for any number; none that was due later than `failed_for`
    after something was done or taken back; all checks hold `back_within` after the last was taken back."""

    failed: int | None = None
    failed_for: timedelta = timedelta(0)
    back_within: timedelta = timedelta(seconds=30)

    def __str__(self) -> str:
        """As people read it."""
        if self.failed == 0:
            some = "no request fails"
        elif self.failed is None:
            some = f"none fails that is due {self.failed_for.total_seconds():g} s after a change or later"
        else:
            some = f"at most {self.failed} fail, none due {self.failed_for.total_seconds():g} s after a change or later"
        return f"{some}; all is well {self.back_within.total_seconds():g} s after the end"


@dataclass(frozen=True, slots=True)
class Stop:
    """When an experiment is ended early and taken back: more than this share of the requests failed, in each second of
    so many in a row."""

    share: float = 0.5
    seconds: int = 10

    def reached(self, lines: Sequence[Mapping[str, object]]) -> bool:
        """Of the seconds that a load has told so far."""
        last = lines[-self.seconds :]
        return len(last) == self.seconds and all(self._is_bad(each) for each in last)

    def _is_bad(self, second: Mapping[str, object]) -> bool:
        failed, good = _number(second.get("failed")), _number(second.get("ok"))
        return failed > self.share * (failed + good)


@dataclass(frozen=True, slots=True)
class Terms:
    """All of the extension. `default` for those that run when none is named."""

    default: bool = False
    needs: tuple[str, ...] = ()
    load: Load = Load()
    allow: Allowance = Allowance()
    stop: Stop = Stop()


@dataclass(slots=True)
class Mark:
    """Something was done to a node, and taken back, in Unix time; `ended` is None until then."""

    what: str
    node: str
    begun: float
    ended: float | None = None

    def now(self) -> None:
        """It is done now, what came before were preparations."""
        self.begun = time.time()


def read_terms(extensions: object, where: str) -> Terms:
    """The extension `seter` among an experiment's extensions. Raises BadInput."""
    found = [each for each in extensions if isinstance(each, dict)] if isinstance(extensions, list) else []
    ours = next((each for each in found if each.get("name") == NAME), None)
    if ours is None:
        raise BadInput(
            f"{where}: the experiment does not say what it may cost",
            resolution="Add an extension seter with allow; systems/README.md shows one.",
        )
    said = {key: value for key, value in ours.items() if key != "name"}
    _known(said, _KEYS, f"{where}: extension seter")
    load, allow, stop = (_mapping(said.get(key, {}), f"{where}: {key}") for key in ("load", "allow", "stop"))
    _known(stop, _STOP, f"{where}: stop")
    _known(load, _LOAD, f"{where}: load")
    _known(allow, _ALLOW, f"{where}: allow")
    needs = said.get("needs", [])
    if not isinstance(needs, list) or not all(each in NEEDS or _SET.fullmatch(str(each)) for each in needs):
        raise BadInput(
            f"{where}: needs is {needs!r}",
            resolution=f"Give a list of: {', '.join(sorted(NEEDS))}, ROLE.PARAMETER.",
        )
    default = said.get("default", False)
    if not isinstance(default, bool):
        raise BadInput(f"{where}: default is {default!r}", resolution="Write true or false.")
    return Terms(
        default,
        tuple(str(each) for each in needs),
        Load(
            _count(load.get("seconds", Load().seconds), 1, LONGEST, f"{where}: seconds"),
            _count(load.get("rate", Load().rate), 1, MOST, f"{where}: rate"),
            _choice(load.get("connections", Load().connections), _CONNECTIONS, f"{where}: connections"),
            _count(load.get("timeout", Load().timeout), 1, LONGEST, f"{where}: timeout"),
            _weights(load.get("operations", Load().operations), f"{where}: operations"),
        ),
        Allowance(
            None if "failed" not in allow else _count(allow["failed"], 0, LONGEST * MOST, f"{where}: failed"),
            _duration(allow.get("failed_for", "0s"), f"{where}: failed_for"),
            _duration(allow.get("back_within", "30s"), f"{where}: back_within"),
        ),
        Stop(
            _count(stop.get("percent", 50), 0, 100, f"{where}: percent") / 100,
            _count(stop.get("seconds", Stop().seconds), 1, LONGEST, f"{where}: stop"),
        ),
    )


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadInput(f"{where} is {value!r}", resolution="Write keys and values.")
    return {str(key): each for key, each in value.items()}


def _known(said: Mapping[str, object], known: set[str], where: str) -> None:
    if unknown := sorted(set(said) - known):
        raise BadInput(f"{where} has {unknown[0]!r}", resolution=f"It may have: {', '.join(sorted(known))}.")


def _count(value: object, least: int, most: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInput(f"{where} is {value!r}", resolution=f"Write a whole number from {least} to {most}.")
    return value


def _choice(value: object, known: Sequence[str], where: str) -> str:
    if value not in known:
        raise BadInput(f"{where} is {value!r}", resolution=f"Write one of: {', '.join(known)}.")
    return str(value)


def _weights(value: object, where: str) -> Mapping[str, int]:
    said = _mapping(value, where)
    _known(said, _OPERATIONS, where)
    weights = {name: _count(weight, 0, MOST, f"{where}: {name}") for name, weight in said.items()}
    if not any(weights.values()):
        raise BadInput(f"{where} have no weight above 0", resolution="Give one of them a weight.")
    return weights


def _duration(value: object, where: str) -> timedelta:
    try:
        literal: Literal = str(value)
        return as_duration(literal)
    except Wrong as wrong:
        raise BadInput(f"{where}: {wrong.message}", resolution=f"{wrong.fix.capitalize()}.") from wrong


def is_name(text: str) -> bool:
    """Whether an experiment may be called so: it is the name of its file."""
    return bool(_NAME.fullmatch(text))


def judge(
    allowance: Allowance, load: Mapping[str, object], marks: Sequence[Mark], back: float | None
) -> tuple[Measured, ...]:
    """What was measured against what is allowed. `load` is what `s3-client drive` prints; `back` is in how many seconds
    all was well again, None if it was not. Where nobody can say, nothing was measured."""
    failures = load.get("failures")
    measured: list[Measured] = []
    due = _due(load, failures) if isinstance(failures, list) else None
    if allowance.failed is not None:
        measured.append(Measured("requests that fail", allowance.failed, None if due is None else len(due), "requests"))
    if allowance.failed != 0:
        longest = None
        if due is not None:
            longest = max((_after(at, seconds, marks) for at, seconds in due), default=0.0)
        before = longest is None or math.isinf(longest)
        what = "how long after a change requests fail"
        allowed = allowance.failed_for.total_seconds()
        measured.append(Measured(what, allowed, None if before else longest, "s"))
    measured.append(Measured("until all is well again", allowance.back_within.total_seconds(), back, "s"))
    return tuple(measured)


def distrusted(allowance: Allowance, load: Mapping[str, object], marks: Sequence[Mark]) -> str:
    """Why what the load says proves nothing; empty if it does."""
    if "failures" not in load:
        return f"there was no load: {load.get('error', 'it said nothing')}"
    reasons = load.get("invalid")
    found = [str(each) for each in reasons] if isinstance(reasons, list) else []
    started, seconds = _number(load.get("started_at")), _number(load.get("seconds"))
    if marks and started + seconds < marks[0].begun + allowance.failed_for.total_seconds():
        found.append("it ended before the time that is allowed")
    return "; ".join(found)


def _due(load: Mapping[str, object], failures: Iterable[object]) -> list[tuple[float, float]]:
    """When each request that failed was due, in Unix time, and how long it took until then."""
    started = _number(load.get("started_at"))
    said = [each for each in failures if isinstance(each, dict)]
    return [(started + _number(each.get("planned")), _number(each.get("seconds"))) for each in said]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _after(at: float, seconds: float, marks: Sequence[Mark]) -> float:
    """How long after a change a request was due that failed after so many seconds: 0 for one that was under way when
    something was done; what failed before anything was done is as bad as can be."""
    changes = [moment for mark in marks for moment in (mark.begun, mark.ended) if moment is not None]
    if any(at <= moment <= at + seconds for moment in changes):
        return 0.0
    before = [moment for moment in changes if moment <= at]
    return at - max(before) if before else math.inf
