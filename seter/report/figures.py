"""What a run comes to, and what is different from an earlier one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from seter.report.model import Allowance, Environment, Experiment, Outcome, Run, Second
from seter.report.text import count, latency, listed, measure

STEADY = 1.1  # times; a latency that moved by less is the same


@dataclass(frozen=True, slots=True)
class Total:
    """All seconds of a run together. Latencies are None where nothing was answered: p50 is the median second's, p99 the
    worst second's."""

    sent: int
    failed: int
    p50: float | None
    p99: float | None
    fewest_routes: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the comparison. `kind` is "better", "worse", "same" or "other"."""

    what: str
    before: str
    now: str
    kind: str


def total(seconds: Sequence[Second]) -> Total:
    """The seconds together."""
    middle = [each.p50 for each in seconds if each.p50 is not None]
    worst = [each.p99 for each in seconds if each.p99 is not None]
    ways = [each.routes for each in seconds if each.routes is not None]
    return Total(
        sum(each.sent for each in seconds),
        sum(each.failed for each in seconds),
        median(middle) if middle else None,
        max(worst, default=None),
        min(ways, default=None),
    )


def verdict(run: Run) -> str:
    """One sentence that says how it came out."""
    if not run.experiments:
        return _distrust(run) or "Nothing was broken on purpose."
    number = {each: sum(one.outcome is each for one in run.experiments) for each in Outcome}
    words = [f"{number[each]} {each.value}" for each in Outcome if number[each]]
    return f"{count(len(run.experiments), 'experiment')}: {listed(words)}. {_distrust(run)}".rstrip()


def _distrust(run: Run) -> str:
    """Why what was measured says nothing; empty if it does."""
    if run.is_trusted:
        return ""
    why = "; ".join(run.invalid) or f"requests were sent late, 99th percentile {latency(run.lag)}"
    return f"What was measured cannot be trusted: {why}."


def reason(experiment: Experiment) -> str:
    """In a line, why it came out as it did."""
    outcome = experiment.outcome
    if outcome is Outcome.HELD:
        return experiment.why or f"all of {count(len(experiment.allowances), 'allowance')} kept"
    if not experiment.undone and outcome is Outcome.BROKEN:
        return " ".join(("what it broke was not mended", experiment.why and f"({experiment.why})")).strip()
    if experiment.deviated and outcome is Outcome.BROKEN:
        return experiment.why or "the steady state was lost"
    if outcome is Outcome.INVALID:
        return experiment.invalid
    missed = "; ".join(f"{each.what}: {exceeded(each)}" for each in experiment.allowances if not each.is_kept)
    return missed if outcome is Outcome.BROKEN else experiment.why or experiment.status


def exceeded(allowance: Allowance) -> str:
    """Measured and allowed, beside each other."""
    word = "at least" if allowance.at_least else "at most"
    return f"{measure(allowance.measured, allowance.unit)}, {word} {measure(allowance.allowed, allowance.unit)}"


def compared(run: Run, earlier: Run) -> tuple[Change, ...]:
    """Line by line: experiments with their allowances, then the load."""
    return (*_experiments(run, earlier), *_load(run, earlier))


def moved(run: Run, earlier: Run) -> tuple[Change, ...]:
    """What is different about where and with what they ran."""
    now, before = _environment(run.environment), _environment(earlier.environment)
    names = dict.fromkeys((*before, *now))
    return tuple(
        Change(name, before.get(name, "none"), now.get(name, "none"), "other")
        for name in names
        if before.get(name) != now.get(name)
    )


def _environment(environment: Environment) -> Mapping[str, str]:
    pairs = (*environment.versions, *environment.artefacts, *environment.machine)
    return {"seter": environment.seter, "definitions": environment.definitions, **dict(pairs)}


def _experiments(run: Run, earlier: Run) -> Iterator[Change]:
    now = {each.name: each for each in run.experiments}
    before = {each.name: each for each in earlier.experiments}
    for name in dict.fromkeys((*now, *before)):
        one, other = now.get(name), before.get(name)
        yield Change(
            name,
            other.outcome.value if other else "not there",
            one.outcome.value if one else "not there",
            _kind(other.outcome if other else None, one.outcome if one else None),
        )
        if one and other:
            old = {each.what: each for each in other.allowances}
            yield from (_allowance(name, each, old[each.what]) for each in one.allowances if each.what in old)


def _kind(before: Outcome | None, now: Outcome | None) -> str:
    if before is now:
        return "same"
    if before is None or now is None or Outcome.SKIPPED in (before, now):
        return "other"
    if before.is_good == now.is_good:
        return "other"
    return "better" if now.is_good else "worse"


def _allowance(name: str, now: Allowance, before: Allowance) -> Change:
    what = f"{name}: {now.what}"
    shown = (measure(before.measured, before.unit), measure(now.measured, now.unit))
    if now.measured is None or before.measured is None or now.unit != before.unit:
        return Change(what, *shown, "other")
    return Change(what, *shown, _trend(before.measured, now.measured, more_is_better=now.at_least))


def _trend(before: float, now: float, *, more_is_better: bool = False) -> str:
    low, high = sorted((abs(before), abs(now)))
    if before == now or (low > 0 and high / low < STEADY):
        return "same"
    return "better" if (now > before) == more_is_better else "worse"


def _load(run: Run, earlier: Run) -> Iterator[Change]:
    if not run.seconds or not earlier.seconds:
        return
    now, before = total(run.seconds), total(earlier.seconds)
    yield Change("requests sent", f"{before.sent:,}", f"{now.sent:,}", "other" if before.sent != now.sent else "same")
    yield Change("requests failed", f"{before.failed:,}", f"{now.failed:,}", _trend(before.failed, now.failed))
    for what, old, new in (
        ("median latency (p50 of the median second)", before.p50, now.p50),
        ("worst latency (p99 of the worst second)", before.p99, now.p99),
    ):
        kind = "other" if old is None or new is None else _trend(old, new)
        yield Change(what, latency(old), latency(new), kind)
