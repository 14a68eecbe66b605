"""All models for one set of assumptions, as numbers and as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.system import Rollout
from seter.simulate.capacity import Room, needed, room
from seter.simulate.durations import Takes, takes
from seter.simulate.flows import EVENTS, RING, WAYS, Broken, Cost, broken, forwarding
from seter.simulate.pictures import Axis, chart

GATEWAYS = (2, 3, 4, 8, 16, 32, 64)
NODES = (10, 30, 100, 300, 1000, 3000, 10_000)
LOADS = (1, 2, 4, 8, 16, 32)  # in what one gateway can carry
AWAY = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the models are told. `flows` under way at once in all, their `lifetime` and a node's `step` in seconds;
    `measured` says whether the step is from a history."""

    gateways: Sequence[int] = GATEWAYS
    flows: int = 10_000
    variation: float = 1.0
    limit: float = 0.8
    lifetime: float = 60.0
    step: float = 30.0
    measured: bool = False
    rules: Rollout = field(default_factory=Rollout)
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """What came out. `needed` is by (load, away)."""

    assumed: Assumed
    broken: Sequence[Broken]
    forwarding: Sequence[Cost]
    room: Sequence[Room]
    needed: Mapping[tuple[int, int], int]
    takes: Sequence[Takes]


def simulate(assumed: Assumed) -> Found:
    """Everything. The same assumptions give the same numbers. Pure."""
    flows, variation, limit, seed = assumed.flows, assumed.variation, assumed.limit, assumed.seed
    some, together = assumed.gateways, sorted({assumed.rules.at_once, 10, 100})
    return Found(
        assumed,
        [each for way in (*WAYS, RING) for n in some for each in broken(way, n, seed=seed)],
        [each for n in some for each in forwarding(n, lifetime=assumed.lifetime, seed=seed)],
        [room(n, away, flows=flows, variation=variation, limit=limit) for away in AWAY for n in some],
        {
            (load, away): needed(load, away, flows=flows, variation=variation, limit=limit)
            for load in LOADS
            for away in AWAY
        },
        [takes(nodes, assumed.rules, assumed.step, at_once) for at_once in together for nodes in NODES],
    )


def pictures(found: Found) -> dict[str, str]:
    """SVG by the names of their files. Pure."""
    return {
        **{f"flows-{event}.svg": _flows(found, event) for event in EVENTS},
        "forwarding.svg": _forwarding(found),
        "capacity.svg": _capacity(found),
        "roll-out.svg": _rollout(found),
    }


def _across(found: Found) -> Axis:
    some = found.assumed.gateways
    return Axis("gateways", min(some), max(max(some), min(some) + 1), [(n, str(n)) for n in some], log=True)


def _percent(name: str, last: float = 1.0) -> Axis:
    return Axis(name, 0.0, last, [(last * n / 4, f"{100 * last * n / 4:.0f} %") for n in range(5)])


def _flows(found: Found, event: str) -> str:
    words = {
        "leave": "Flows that break when one of the gateways is drained",
        "fail": "Flows that break when one of the gateways fails",
        "return": "Flows that break when it comes back",
        "update": "Flows that break when all are drained in turn, once or more",
    }
    lines = {
        way: [(each.gateways, each.mean) for each in found.broken if (each.way, each.event) == (way, event)]
        for way in (*WAYS, RING)
    }
    return chart(words[event], _across(found), _percent("of all flows"), lines)


def _forwarding(found: Found) -> str:
    lines = {
        f"{name}: {event}": [(each.gateways, value(each)) for each in found.forwarding if each.event == event]
        for name, value in (("packets handed on", lambda each: each.share), ("hops / gateways", _of_the_ring))
        for event in ("leave", "return")
    }
    return chart("What the ring costs while flows live that were moved", _across(found), _percent("share"), lines)


def _of_the_ring(each: Cost) -> float:
    return each.hops / each.gateways


def _capacity(found: Found) -> str:
    lines = {
        f"{away} away" if away else "none away": [
            (each.gateways, each.usable) for each in found.room if each.away == away
        ]
        for away in AWAY
    }
    return chart("How far gateways may be used in normal times", _across(found), _percent("of what they carry"), lines)


def _rollout(found: Found) -> str:
    ticks = [(60.0, "1 min"), (600.0, "10 min"), (3600.0, "1 h"), (36_000.0, "10 h"), (86_400.0 * 10, "10 days")]
    across = Axis("nodes", NODES[0], NODES[-1], [(nodes, f"{nodes:,}") for nodes in NODES], log=True)
    lines = {
        f"{at_once} at once": [(each.nodes, each.seconds) for each in found.takes if each.at_once == at_once]
        for at_once in sorted({each.at_once for each in found.takes})
    }
    return chart("How long a roll-out takes", across, Axis("time", 60.0, 86_400.0 * 10, ticks, log=True), lines)
