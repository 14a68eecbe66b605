"""Which flows break when a gateway leaves, fails or comes back, and what it costs to forward them instead.

The model. Flows are spread evenly over all hashes; each belongs to the gateway that it was opened at, and breaks when
the router sends it to another, unless that one forwards. Events, the first three for every gateway:

- **leave**: one is drained. It still serves what it has, if that reaches it.
- **fail**: one is gone. Its own flows are lost whatever anybody does.
- **return**: it comes back. Flows that were opened while it was away, and flows that outlived that, are asked.
- **update**: each in turn is drained and comes back; a flow counts that breaks once or more.

Between leaving and returning, all flows that broke are opened again. Forwarding is the ring of decision 0020: a gateway
that has not got the flow hands the packet to the next one that is there; the number of hops is the distance on that
ring. How long it goes on is how long flows live, exponentially around `lifetime`: after t seconds exp(-t / lifetime) of
those that were sent elsewhere are left.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from seter.simulate.hashing import HASHES, Consistent, Modulo, Resilient, Router, Threshold

HOP_SECONDS = 5e-6  # a hop more on the way of a packet, as measured (decision 0020)
BUSY = 0.5  # share of a resilient router's buckets that had no packet for its idle timer, when one comes back
LEFT = 0.01  # forwarding is said to be over when this share of what it began with is left
WAYS: dict[str, Callable[[random.Random], Router]] = {
    "modulo": lambda draw: Modulo(),
    "threshold": lambda draw: Threshold(),
    "resilient, half idle": lambda draw: Resilient(idle=frozenset(n for n in range(512) if draw.random() < BUSY)),
    "resilient, all busy": lambda draw: Resilient(),
    "consistent": lambda draw: Consistent(),
}
EVENTS = ("leave", "fail", "return", "update")
SINGLE = EVENTS[:3]
RING = "threshold + ring"  # a plain router, and gateways that forward

Shares = Mapping[tuple[int, int], float]


@dataclass(frozen=True, slots=True)
class Broken:
    """Shares of all flows that break: of every gateway's leaving on average, and of the worst one's.

    `moved` is the share that comes to another gateway than it was opened at: what breaks where nobody forwards.
    """

    way: str
    gateways: int
    event: str
    mean: float
    worst: float
    moved: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Of forwarding: share of all packets that are handed on, hops of each on average and at most, seconds that the
    worst adds, seconds until `LEFT` of it is left."""

    gateways: int
    event: str
    share: float
    hops: float
    most: int
    adds: float
    lasts: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """One gateway's leaving: flows as (before, after), by number of gateway."""

    gone: int
    event: str
    pairs: Sequence[tuple[int, int]]

    @property
    def moved(self) -> float:
        """Share of flows that come elsewhere."""
        return sum(before != after for before, after in self.pairs) / len(self.pairs)


def broken(way: str, gateways: int, *, flows: int = 20_000, seed: int = 1) -> list[Broken]:
    """Of all events. `flows` are drawn for all gateways' leaving together, a thousand for each at least."""
    plain = "threshold" if way == RING else way
    seen = _events(plain, gateways, flows, seed)
    found = []
    for event in SINGLE:
        shares = [_lost(each) if way == RING else each.moved for each in seen if each.event == event]
        moved = [each.moved for each in seen if each.event == event]
        found.append(Broken(way, gateways, event, _mean(shares), max(shares), _mean(moved)))
    whole = _updated(plain, gateways, max(1000, flows // gateways), seed)
    share = 0.0 if way == RING else whole
    return [*found, Broken(way, gateways, "update", share, share, whole)]


def forwarding(gateways: int, *, lifetime: float, flows: int = 20_000, seed: int = 1) -> list[Cost]:
    """What the ring costs after each event, with a router that hashes by threshold."""
    found = []
    seen = _events("threshold", gateways, flows, seed)
    for event in SINGLE:
        hops, packets = [], 0
        for each in (one for one in seen if one.event == event):
            packets += len(each.pairs)
            there = [n for n in range(gateways) if event != "fail" or n != each.gone]
            place = {gateway: at for at, gateway in enumerate(there)}
            hops += [
                (place[before] - place[after]) % len(there)
                for before, after in each.pairs
                if before != after and before in place
            ]
        most, share = max(hops, default=0), len(hops) / packets
        lasts = lifetime * math.log(1 / LEFT) if hops else 0.0
        found.append(Cost(gateways, event, share, _mean(hops), most, most * HOP_SECONDS, lasts))
    return found


def _events(way: str, gateways: int, flows: int, seed: int) -> list[_Seen]:
    each = max(1000, flows // gateways)
    return [seen for gone in range(gateways) for seen in _leaving(way, gateways, gone, each, seed)]


def transitions(way: str, gateways: int, gone: int, *, flows: int = 100_000, seed: int = 1) -> dict[str, Shares]:
    """Shares of flows by (gateway before, gateway after), of each event of this one, for comparing with a router."""
    found: dict[str, Shares] = {}
    for seen in _leaving(way, gateways, gone, flows, seed):
        counts = Counter(seen.pairs)
        found[seen.event] = {pair: count / flows for pair, count in counts.items()}
    return found


def _updated(way: str, gateways: int, flows: int, seed: int) -> float:
    """Share of flows that break at least once while all gateways are drained in turn; those are opened again."""
    draw = random.Random(f"{seed}/{way}/{gateways}/update")
    router = WAYS[way](draw)
    router.set(range(gateways))
    hashes = [draw.randrange(HASHES) for _ in range(flows)]
    at = [router.to(hashed) for hashed in hashes]
    broke = [False] * flows
    for gone in range(gateways):
        for there in ([n for n in range(gateways) if n != gone], list(range(gateways))):
            router.set(there)
            now = [router.to(hashed) for hashed in hashes]
            broke = [was or old != new for was, old, new in zip(broke, at, now, strict=True)]
            at = now
    return sum(broke) / flows


def _leaving(way: str, gateways: int, gone: int, flows: int, seed: int) -> list[_Seen]:
    """One gateway leaves, all is quiet, and it comes back."""
    draw = random.Random(f"{seed}/{way}/{gateways}/{gone}")
    router = WAYS[way](draw)
    everyone = range(gateways)
    router.set(everyone)
    hashes = [draw.randrange(HASHES) for _ in range(flows)]
    first = [router.to(hashed) for hashed in hashes]
    router.set([n for n in everyone if n != gone])
    without = [router.to(hashed) for hashed in hashes]
    router.set(everyone)
    again = [router.to(hashed) for hashed in hashes]
    left = list(zip(first, without, strict=True))
    return [
        _Seen(gone, "leave", left),
        _Seen(gone, "fail", left),
        _Seen(gone, "return", list(zip(without, again, strict=True))),
    ]


def _lost(seen: _Seen) -> float:
    """With forwarding: the flows of a gateway that failed, and nothing else."""
    return sum(before == seen.gone for before, _ in seen.pairs) / len(seen.pairs) if seen.event == "fail" else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
