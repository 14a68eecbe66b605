"""What an experiment may cost, and whether it did: extension `seter` of an experiment's file. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from common.errors import BadInput
from common.hcl import Literal
from common.model import Verdict
from common.values import Wrong, as_duration

NAME = "seter"  # of the extension
_KEYS = {"default", "needs", "load", "allow"}
_LOAD = {"seconds", "rate"}
_ALLOW = {"failed", "failed_for", "back_within"}
NEEDS = frozenset({"clock", "disk"})  # what nodes of some kinds do not have of their own
_NAME = re.compile(r"[a-z][a-z0-9-]{0,60}")
LONGEST = 600  # seconds of load
MOST = 300  # requests a second


@dataclass(frozen=True, slots=True)
class Load:
    """New requests all the time, from before the first action until the last is taken back."""

    seconds: int = 20
    rate: int = 40  # a second


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
class Terms:
    """All of the extension. `default` for those that run when none is named."""

    default: bool = False
    needs: tuple[str, ...] = ()
    load: Load = Load()
    allow: Allowance = Allowance()


@dataclass(frozen=True, slots=True)
class Mark:
    """Something was done or taken back: when, as Unix time, and what."""

    at: float
    what: str
    back: bool = False


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
    load, allow = (_mapping(said.get(key, {}), f"{where}: {key}") for key in ("load", "allow"))
    _known(load, _LOAD, f"{where}: load")
    _known(allow, _ALLOW, f"{where}: allow")
    needs = said.get("needs", [])
    if not isinstance(needs, list) or not NEEDS.issuperset(str(each) for each in needs):
        raise BadInput(f"{where}: needs is {needs!r}", resolution=f"Give a list of: {', '.join(sorted(NEEDS))}.")
    default = said.get("default", False)
    if not isinstance(default, bool):
        raise BadInput(f"{where}: default is {default!r}", resolution="Write true or false.")
    return Terms(
        default,
        tuple(str(each) for each in needs),
        Load(
            _count(load.get("seconds", Load().seconds), 1, LONGEST, f"{where}: seconds"),
            _count(load.get("rate", Load().rate), 1, MOST, f"{where}: rate"),
        ),
        Allowance(
            None if "failed" not in allow else _count(allow["failed"], 0, LONGEST * MOST, f"{where}: failed"),
            _duration(allow.get("failed_for", "0s"), f"{where}: failed_for"),
            _duration(allow.get("back_within", "30s"), f"{where}: back_within"),
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


def _duration(value: object, where: str) -> timedelta:
    try:
        literal: Literal = str(value)
        return as_duration(literal)
    except Wrong as wrong:
        raise BadInput(f"{where}: {wrong.message}", resolution=f"{wrong.fix.capitalize()}.") from wrong


def is_name(text: str) -> bool:
    """Whether an experiment may be called so: it is the name of its file."""
    return bool(_NAME.fullmatch(text))


def judge(allowance: Allowance, load: Mapping[str, object], marks: Sequence[Mark]) -> list[Verdict]:
    """What the load says, against what was allowed. `load` is what `s3-client load` prints: `started_at` in Unix time,
    `requests`, and `failures`, each with the second after the start at which it was `planned`."""
    failures, requests, started = load.get("failures"), load.get("requests"), load.get("started_at")
    if not (isinstance(failures, list) and isinstance(requests, int) and isinstance(started, float)):
        return [Verdict("requests", False, str(load.get("error", "nobody counted them")), "a load that goes on")]
    due = [(started + float(each["planned"]), float(each.get("seconds", 0.0))) for each in failures]
    after = [_after(at, seconds, marks) for at, seconds in due]
    late = [each for each in after if each > allowance.failed_for.total_seconds()]
    counted = f"{len(due)} of {requests} failed"
    verdicts = []
    if allowance.failed is not None:
        expected = f"at most {allowance.failed}"
        verdicts.append(Verdict("requests that fail", len(due) <= allowance.failed, counted, expected))
    if allowance.failed != 0:
        last = max(after, default=0.0)
        measured = f"{counted}, the last {last:.2f} s after a change" if due else f"none of {requests} failed"
        expected = f"none {allowance.failed_for.total_seconds():g} s after a change or later"
        verdicts.append(Verdict("time in which requests fail", not late, measured, expected))
    if marks and started + requests / _rate(load) < marks[0].at + allowance.failed_for.total_seconds():
        verdicts.append(
            Verdict("length of the load", False, "it ended before the time that is allowed", "a longer one")
        )
    return verdicts


def _rate(load: Mapping[str, object]) -> float:
    rate = load.get("rate")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else 1.0


def _after(at: float, seconds: float, marks: Sequence[Mark]) -> float:
    """How long after a change a request was due that failed after so many seconds: 0 for one that was under way when
    something was done; what failed before anything was done is as bad as can be."""
    if any(at <= mark.at <= at + seconds for mark in marks):
        return 0.0
    before = [mark.at for mark in marks if mark.at <= at]
    return at - max(before) if before else float("inf")
