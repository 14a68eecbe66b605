"""What a load measured, as seconds of a run. Pure.

Input is what `s3-client drive --json` prints (`"kind": "drive", "format": 1`): a line for each second already, so an
hour needs no more memory than its 3,600 seconds. It comes from a node, so it is read with care.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from common.errors import BadInput
from seter.report.model import Request, Second

FORMAT = 1
GREATEST = 1e15  # no time and no count is greater


@dataclass(frozen=True, slots=True)
class Load:
    """A load in seconds of a run; fields as in `seter.report.model.Run`."""

    seconds: tuple[Second, ...]
    requests: tuple[Request, ...]
    untold: int
    lag: float
    profile: str
    invalid: tuple[str, ...]


def load_of(drive: Mapping[str, object], began: float) -> Load:
    """What was measured, on the clock of a run that began at `began` (Unix time). Raises BadInput."""
    if drive.get("kind") != "drive" or drive.get("format") != FORMAT:
        raise BadInput(
            "this is not what a load measured",
            resolution=f'Its kind has to be "drive" and its format {FORMAT}; deploy first, so that versions agree.',
        )
    try:
        shift = _number(drive["started_at"]) - began
        listed = (*_objects(drive["failures"]), *_objects(drive["late_requests"]))
        return Load(
            tuple(_second(each, shift) for each in _objects(drive["timeline"])),
            tuple(sorted((_request(each, shift) for each in listed), key=lambda each: each.at)),
            round(_number(drive["failures_untold"]) + _number(drive["late_untold"])),
            _number(_object(drive["lag"])["p99"]),
            _profile(_object(drive["profile"])),
            tuple(map(str, _list(drive["invalid"]))),
        )
    except KeyError as missing:
        raise _wrong(f"it does not say {missing}") from missing


def together(loads: Sequence[Load]) -> Load:
    """Loads that ran one after the other, as one. Raises BadInput when there is none."""
    if not loads:
        raise BadInput("there was no load", resolution="Start one first.")
    return Load(
        tuple(sorted((second for load in loads for second in load.seconds), key=lambda each: each.at)),
        tuple(request for load in loads for request in load.requests),
        sum(load.untold for load in loads),
        max(load.lag for load in loads),
        "; ".join(dict.fromkeys(load.profile for load in loads)),
        tuple(dict.fromkeys(each for load in loads for each in load.invalid)),
    )


def with_routes(seconds: Iterable[Second], looked: Iterable[tuple[float, int]]) -> tuple[Second, ...]:
    """The seconds with the fewest next hops that were seen in each; seconds in which nothing was sent are added.
    `looked` is when, and how many."""
    routes = sorted(looked)
    found: list[Second] = []
    at = 0
    for second in sorted(seconds, key=lambda each: each.at):
        before, at = at, _until(routes, at, second.at)
        found += _only_routes(routes[before:at])
        before, at = at, _until(routes, at, second.at + 1)
        fewest = min((count for _, count in routes[before:at]), default=None)
        found.append(second if fewest is None else replace(second, routes=fewest))
    return (*found, *_only_routes(routes[at:]))


def _until(routes: Sequence[tuple[float, int]], at: int, end: float) -> int:
    """Index of the first look that is not before `end`."""
    while at < len(routes) and routes[at][0] < end:
        at += 1
    return at


def _only_routes(routes: Iterable[tuple[float, int]]) -> Iterator[Second]:
    fewest: dict[int, int] = {}
    for when, count in routes:
        second = math.floor(when)
        fewest[second] = min(count, fewest.get(second, count))
    return (Second(second, routes=count) for second, count in fewest.items())


def _second(each: Mapping[str, object], shift: float) -> Second:
    sent, ok, failed = (round(_number(each[name])) for name in ("planned", "ok", "failed"))
    middle, high = (None if each[name] is None else _number(each[name]) for name in ("p50", "p99"))
    return Second(round(_number(each["second"]) + shift, 3), sent, ok, failed, middle, high)


def _request(each: Mapping[str, object], shift: float) -> Request:
    at, took = _number(each["planned"]) + shift, _number(each["seconds"])
    return Request(round(at, 3), took, str(each["operation"]), str(each["gateway"]), str(each["reason"]))


def _profile(profile: Mapping[str, object]) -> str:
    """In a line what was sent, such as `50 requests/s (poisson), 70 % GET, 20 % PUT; seed 1`."""
    shares = {name: _number(share) for name, share in _object(profile["operations"]).items()}
    whole = sum(shares.values()) or 1
    mix = ", ".join(f"{100 * share / whole:.0f} % {name}" for name, share in shares.items() if share)
    return f"{_number(profile['rate']):g} requests/s ({profile['arrival']}), {mix}; seed {profile['seed']}"


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < GREATEST:
        raise _wrong(f"{value!r} is no number")
    return float(value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _wrong("something is no list that should be one")
    return value


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _wrong("something is no object that should be one")
    return value


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    return map(_object, _list(value))


def _wrong(what: str) -> BadInput:
    return BadInput(
        f"what a load measured cannot be read: {what}",
        resolution="Deploy first, so that the client's programs and seter are of one version.",
    )
