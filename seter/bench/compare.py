"""What the measurements say: which strategies no other beats, which one to take, and how sure that is. Pure.

A strategy's figure is the median of its rounds, its spread the lowest and highest. Under each condition it has three
costs: failed requests, the 99th percentile of the latency, and the share of requests that a gateway handed to another
node. One strategy beats another when it is worse in none of them under any condition, and better in one. What is within
the spread of both is not a difference.

Recommended is, of those that none beats, the one with the fewest failures, then the lowest sum of its 99th percentiles
over all conditions, each relative to the best there. How sure: the share of pairs of rounds (one of each) in which it
was better than the next one, which is 1/2 where they are alike (the probability of superiority).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import median


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the client. Latencies in seconds; `fairness` is Jain's index over the backends that answered, 1 when
    all had as much to do; `cross` the share of requests that another node than the gateway's answered, None when nobody
    can say; `invalid` why the figures do not count."""

    strategy: str
    condition: str
    round: int
    throughput: float
    p50: float
    p99: float
    p999: float
    failed: int
    sent: int
    fairness: float
    cross: float | None
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and the lowest and highest of all rounds."""

    median: float
    low: float
    high: float

    def is_below(self, other: Figure) -> bool:
        """By more than both spread."""
        return self.high < other.low


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy under one condition."""

    strategy: str
    condition: str
    rounds: int
    throughput: Figure
    p50: Figure
    p99: Figure
    p999: Figure
    failed: Figure
    fairness: Figure
    cross: Figure | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What to take. `sure` is from 0 to 1, None when there is nothing to compare with, `over` the next best."""

    strategy: str
    over: str
    sure: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """All of it; `unbeaten` are the strategies on the Pareto front."""

    rows: tuple[Row, ...]
    unbeaten: tuple[str, ...]
    advice: Advice | None
    measured: tuple[Measured, ...] = field(default=())


def measured_of(
    strategy: str,
    condition: str,
    number: int,
    drive: Mapping[str, object],
    gateways: Mapping[str, str],
    names: Mapping[str, str],
) -> Measured:
    """From what the client printed. `gateways` is the node at each address, `names` that of each backend, by what its
    answers call it. Raises KeyError, TypeError or ValueError for what is no such document."""
    latency, ways = drive["latency"], drive["ways"]
    if not isinstance(latency, Mapping) or not isinstance(ways, Mapping):
        raise TypeError("latency and ways are objects")
    counts: dict[str, int] = {}
    answered = elsewhere = 0
    for address, found in ways.items():
        for backend, count in found.items():
            if backend:
                node = names.get(backend, backend)
                counts[node] = counts.get(node, 0) + count
                if address in gateways:
                    answered += count
                    elsewhere += count if node != gateways[address] else 0
    invalid = drive["invalid"]
    return Measured(
        strategy=strategy,
        condition=condition,
        round=number,
        throughput=_number(drive["throughput"]),
        p50=_number(latency["p50"]),
        p99=_number(latency["p99"]),
        p999=_number(latency["p999"]),
        failed=int(_number(drive["failed"])),
        sent=int(_number(drive["sent"])),
        fairness=jain(list(counts.values()), max(len(set(names.values())), len(counts))),
        cross=elsewhere / answered if answered and not strangers(drive, names) else None,
        invalid=tuple(map(str, invalid)) if isinstance(invalid, list) else (),
    )


def strangers(drive: Mapping[str, object], names: Mapping[str, str]) -> set[str]:
    """Backends that answered, and whose node nobody knows."""
    ways = drive.get("ways")
    told = {backend for found in ways.values() for backend in found} if isinstance(ways, Mapping) else set()
    return told - {"", *names}


def jain(counts: Sequence[int], many: int) -> float:
    """Jain's index of `many` shares, of which those that are missing are 0: 1 when all are alike, 1/many when one has
    all."""
    squares = sum(count * count for count in counts)
    return sum(counts) ** 2 / (many * squares) if squares else 1.0


def compare(measured: Sequence[Measured]) -> Compared:
    """Runs that are not valid are left out, unless there are no others."""
    valid = [each for each in measured if not each.invalid] or list(measured)
    names = list(dict.fromkeys(each.strategy for each in valid))
    conditions = list(dict.fromkeys(each.condition for each in valid))
    rows = {}
    for name, condition in product(names, conditions):
        some = [each for each in valid if (each.strategy, each.condition) == (name, condition)]
        if some:
            rows[name, condition] = _row(some)
    whole = [name for name in names if all((name, condition) in rows for condition in conditions)]
    unbeaten = tuple(
        name for name in whole if not any(_beats(other, name, conditions, rows) for other in whole if other != name)
    )
    return Compared(tuple(rows.values()), unbeaten, _advice(unbeaten, whole, conditions, rows, valid), tuple(measured))


def _row(some: Sequence[Measured]) -> Row:
    crossed = [each.cross for each in some if each.cross is not None]
    return Row(
        strategy=some[0].strategy,
        condition=some[0].condition,
        rounds=len(some),
        throughput=_figure([each.throughput for each in some]),
        p50=_figure([each.p50 for each in some]),
        p99=_figure([each.p99 for each in some]),
        p999=_figure([each.p999 for each in some]),
        failed=_figure([each.failed for each in some]),
        fairness=_figure([each.fairness for each in some]),
        cross=_figure(crossed) if crossed else None,
    )


def _figure(values: Sequence[float]) -> Figure:
    return Figure(median(values), min(values), max(values))


Rows = Mapping[tuple[str, str], Row]


def _beats(one: str, other: str, conditions: Sequence[str], rows: Rows) -> bool:
    pairs = [
        (mine, theirs)
        for condition in conditions
        for mine, theirs in zip(_costs(rows[one, condition]), _costs(rows[other, condition]), strict=True)
    ]
    better = any(mine.is_below(theirs) for mine, theirs in pairs)
    return better and not any(theirs.is_below(mine) for mine, theirs in pairs)


def _costs(row: Row) -> tuple[Figure, ...]:
    return (row.failed, row.p99, row.cross or Figure(0.0, 0.0, 0.0))


def _advice(
    unbeaten: Sequence[str], whole: Sequence[str], conditions: Sequence[str], rows: Rows, valid: Sequence[Measured]
) -> Advice | None:
    if not unbeaten:
        return None
    best = {condition: min(rows[name, condition].p99.median for name in whole) for condition in conditions}

    def score(name: str) -> tuple[float, float]:
        failed = sum(rows[name, condition].failed.median for condition in conditions)
        return failed, sum(rows[name, condition].p99.median / (best[condition] or 1.0) for condition in conditions)

    first = min(unbeaten, key=score)
    others = sorted((name for name in whole if name != first), key=score)
    if not others:
        return Advice(first, "", None, "it was the only one")
    sure = superiority(_totals(first, best, valid), _totals(others[0], best, valid))
    failed, slow = score(first)
    reason = f"{failed:g} failed requests, and p99 {slow / len(conditions):.2f} times the best of each condition"
    return Advice(first, others[0], sure, reason)


def _totals(name: str, best: Mapping[str, float], valid: Sequence[Measured]) -> list[tuple[float, float]]:
    """For each round: failures, and the sum of p99 over the best."""
    rounds: dict[int, tuple[float, float]] = {}
    for each in valid:
        if each.strategy == name:
            failed, slow = rounds.get(each.round, (0.0, 0.0))
            rounds[each.round] = failed + each.failed, slow + each.p99 / (best[each.condition] or 1.0)
    return list(rounds.values())


def superiority(ones: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> float | None:
    """The share of pairs in which the first is less; equal ones count as half. None without a pair."""
    pairs = list(product(ones, others))
    return sum(1.0 if a < b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs) if pairs else None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value
