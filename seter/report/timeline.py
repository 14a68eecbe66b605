"""Where things lie in the pictures: seconds and values as places. Pure; the template draws them as SVG.

A picture is as wide as its page: places on the time axis are per cent of the width, or thousandths in lines, which are
stretched; places on the other axis are pixels from the top. So letters and strokes have one size on a phone and on a
desk. What is more than COLUMNS wide is drawn together: of failures and latencies the worst, of routes the fewest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from seter.report.model import Fault, Second
from seter.report.text import clock, figure, latency

HEIGHT = 110  # pixels of a panel
LANE = 18  # pixels of a row of faults
COLUMNS = 600
MARKERS = 12  # so many on each line, so that lines can be told apart without colour
TICKS = 6
LANES = 6  # faults at the same time; more share the last row
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)

Value = Callable[[Second], float | None]


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis: per cent from the left, or pixels from the top. `anchor` is SVG's text-anchor."""

    place: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Line:
    """Values over time. `style` is "solid", "dashed" or "dotted", `shape` that of its markers: "circle", "square", or
    "" for none. `pieces` are lists of points as in SVG, `marks` are places in per cent and pixels."""

    name: str
    style: str
    shape: str
    pieces: tuple[str, ...]
    marks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A column, in per cent and pixels."""

    left: float
    width: float
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Band:
    """A fault over time, in per cent; `number` is the one in the list of faults, `top` its row in pixels."""

    number: int
    left: float
    width: float
    top: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `told` says in words what it shows."""

    title: str
    told: str
    ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """Pictures above each other, with one time axis. `depth` is the height of the rows of faults in pixels."""

    ticks: tuple[Tick, ...]
    bands: tuple[Band, ...]
    depth: int
    panels: tuple[Panel, ...]


def make_timeline(seconds: Sequence[Second], faults: Sequence[tuple[int, Fault]], begin: float, end: float) -> Timeline:
    """What lies between `begin` and `end`. Faults come with their numbers."""
    axis = _Axis(begin, max(end, begin + 1))
    shown = _columns([each for each in seconds if axis.has(each)], axis)
    bands = tuple(_bands(axis, faults))
    depth = max((int(band.top) + LANE for band in bands), default=0)
    return Timeline(axis.ticks(), bands, depth, tuple(_panels(axis, shown)))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Of time."""

    begin: float
    end: float

    def has(self, second: Second) -> bool:
        return self.begin - 1 < second.at < self.end

    def place(self, at: float) -> float:
        """Per cent, kept within the picture."""
        return round(100 * min(max((at - self.begin) / (self.end - self.begin), 0), 1), 2)

    def ticks(self) -> tuple[Tick, ...]:
        span = self.end - self.begin
        step = next((each for each in _STEPS if span / each <= TICKS), 86400 * math.ceil(span / 86400 / TICKS))
        first = math.ceil(self.begin / step)
        places = [(first + number) * step for number in range(TICKS + 1)]
        return tuple(self._tick(at) for at in places if at <= self.end)

    def _tick(self, at: float) -> Tick:
        place = self.place(at)
        return Tick(place, clock(at), "start" if place < 4 else "end" if place > 96 else "middle")


def _columns(seconds: Sequence[Second], axis: _Axis) -> list[tuple[float, float, Second]]:
    """Begin, width and what happened, at most COLUMNS of them."""
    width = max(1, math.ceil((axis.end - axis.begin) / COLUMNS))
    grouped = groupby(seconds, key=lambda each: math.floor((each.at - axis.begin) / width))
    return [(_first.at, width, _joined(_first, rest)) for _, (_first, *rest) in grouped]


def _joined(first: Second, rest: Sequence[Second]) -> Second:
    """Counts a second, worst latencies, fewest routes."""
    if not rest:
        return first
    every = (first, *rest)

    def found(value: Value) -> list[float]:
        return [each for each in map(value, every) if each is not None]

    routes = [each.routes for each in every if each.routes is not None]
    return Second(
        first.at,
        round(sum(each.sent for each in every) / len(every)),
        round(sum(each.ok for each in every) / len(every)),
        max(each.failed for each in every),
        max(found(lambda each: each.p50), default=None),
        max(found(lambda each: each.p99), default=None),
        min(routes, default=None),
    )


def _bands(axis: _Axis, faults: Iterable[tuple[int, Fault]]) -> Iterator[Band]:
    """Each in the first row that is free when it begins."""
    free: list[float] = []
    for number, fault in sorted(faults, key=lambda each: each[1].begin):
        end = axis.end if fault.end is None else max(fault.end, fault.begin)
        if end < axis.begin or fault.begin > axis.end:
            continue
        row = next((at for at, until in enumerate(free) if until <= fault.begin), min(len(free), LANES - 1))
        free[row : row + 1] = [end]
        left = axis.place(fault.begin)
        width = max(round(axis.place(end) - left, 2), 0.3)
        yield Band(number, left, width, row * LANE, fault.end is not None)


# The four panels -----------------------------------------------------------------------------------------------------


def _panels(axis: _Axis, seconds: list[tuple[float, float, Second]]) -> Iterator[Panel]:
    if any(each.sent or each.ok or each.failed for _, _, each in seconds):
        yield _requests(axis, seconds)
        yield _failures(axis, seconds)
    if any(each.p99 is not None or each.p50 is not None for _, _, each in seconds):
        yield _latencies(axis, seconds)
    if any(each.routes is not None for _, _, each in seconds):
        yield _routes(axis, seconds)


def _requests(axis: _Axis, seconds: list[tuple[float, float, Second]]) -> Panel:
    scale = _linear(max(max(each.sent, each.ok) for _, _, each in seconds))
    answered = min(seconds, key=lambda each: each[2].ok)
    told = (
        f"At most {figure(max(each.sent for _, _, each in seconds))} requests were sent in a second; the fewest that "
    )
    told += f"went well were {figure(answered[2].ok)}, at {clock(answered[0])}."
    lines = (
        _line("sent", "dotted", "", axis, seconds, lambda each: each.sent, scale.place),
        _line("went well", "solid", "circle", axis, seconds, lambda each: each.ok, scale.place),
    )
    return Panel("Requests a second", told, scale.ticks, lines)


def _failures(axis: _Axis, seconds: list[tuple[float, float, Second]]) -> Panel:
    worst = max(seconds, key=lambda each: each[2].failed)
    told = f"The most that failed in a second are {figure(worst[2].failed)}, at {clock(worst[0])}."
    scale = _linear(worst[2].failed)
    bars = tuple(
        Bar(
            axis.place(at),
            max(round(axis.place(at + width) - axis.place(at), 2), 0.2),
            scale.place(each.failed),
            round(HEIGHT - scale.place(each.failed), 1),
        )
        for at, width, each in seconds
        if each.failed
    )
    return Panel("Failed requests a second", told if bars else "None failed.", scale.ticks, bars=bars)


def _latencies(axis: _Axis, seconds: list[tuple[float, float, Second]]) -> Panel:
    found = [value for _, _, each in seconds for value in (each.p50, each.p99) if value is not None]
    scale = _logarithmic(min(found), max(found))
    worst, begun = max((each.p99 or each.p50 or 0, at) for at, _, each in seconds)
    lines = (
        _line("p99", "solid", "circle", axis, seconds, lambda each: each.p99, scale.place),
        _line("p50", "dashed", "square", axis, seconds, lambda each: each.p50, scale.place),
    )
    told = f"The longest is {latency(worst)}, at {clock(begun)}. The scale is logarithmic."
    return Panel("Latency", told, scale.ticks, lines)


def _routes(axis: _Axis, seconds: list[tuple[float, float, Second]]) -> Panel:
    known = [(each.routes, at) for at, _, each in seconds if each.routes is not None]
    fewest, at = min(known)
    most = max(count for count, _ in known)
    scale = _linear(most, whole=True)
    line = _line("next hops", "solid", "", axis, seconds, lambda each: each.routes, scale.place, steps=True)
    told = f"The router with the fewest has {fewest} to {most} next hops; the fewest first at {clock(at)}."
    return Panel("Routes: next hops", told, scale.ticks, (line,))


def _line(
    name: str,
    style: str,
    shape: str,
    axis: _Axis,
    seconds: list[tuple[float, float, Second]],
    value: Value,
    place: Callable[[float], float],
    *,
    steps: bool = False,
) -> Line:
    """Broken where nothing is known."""
    pieces: list[list[tuple[float, float]]] = []
    last = -math.inf
    for at, width, each in seconds:
        found = value(each)
        if found is None:
            last = -math.inf
            continue
        if at - last > width * 1.5:
            pieces.append([])
        elif steps:
            pieces[-1].append((axis.place(at), pieces[-1][-1][1]))
        pieces[-1].append((axis.place(at if steps else at + width / 2), place(found)))
        if steps:
            pieces[-1].append((axis.place(at + width), place(found)))
        last = at
    points = [point for piece in pieces for point in piece]
    alone = [piece[0] for piece in pieces if len(piece) == 1]
    marks = [*points[:: max(1, len(points) // MARKERS)], *alone] if shape else alone
    drawn = (" ".join(f"{x * 10:g},{y:g}" for x, y in piece) for piece in pieces if len(piece) > 1)
    return Line(name, style, shape, tuple(drawn), tuple(dict.fromkeys(marks)))


# Scales ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scale:
    """Of values: `place` gives pixels from the top."""

    place: Callable[[float], float]
    ticks: tuple[Tick, ...]


def _linear(most: float, *, whole: bool = False) -> _Scale:
    """From 0 to a round number above `most`."""
    size = 10.0 ** math.floor(math.log10(max(most, 1)))
    top = next(size * each for each in (1, 2, 4, 6, 8, 10) if most <= size * each)
    parts = 2
    if whole and most <= 4:
        top = max(1.0, math.ceil(most))
        parts = round(top)

    def place(value: float) -> float:
        return round(HEIGHT - HEIGHT * min(max(value / top, 0), 1), 1)

    values = [top * part / parts for part in range(parts + 1)]
    return _Scale(place, tuple(Tick(place(value), figure(value)) for value in values))


def _logarithmic(least: float, most: float) -> _Scale:
    """Whole powers of ten around both; what is 0 or less lies at the bottom."""
    low = math.floor(math.log10(max(least, 1e-6)))
    high = max(math.ceil(math.log10(max(most, 1e-6))), low + 1)

    def place(value: float) -> float:
        part = (math.log10(max(value, 1e-9)) - low) / (high - low)
        return round(HEIGHT - HEIGHT * min(max(part, 0), 1), 1)

    step = math.ceil((high - low) / 4)
    return _Scale(place, tuple(Tick(place(10.0**power), latency(10.0**power)) for power in range(low, high + 1, step)))
