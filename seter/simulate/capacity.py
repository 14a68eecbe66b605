"""How many gateways a load needs when some of them may be away. Pure.

The model. Load is spread by flow, so gateways get unequal shares: the flows of one are binomial, and their rates
differ, by `variation` (standard deviation over mean; 1 is exponential). Of N gateways the fullest gets at most the mean
and z standard deviations, with z so that all N stay below it 99 times of 100. No gateway is to be used above `limit`
of what it can carry, also while `away` of them are gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

SURE = 0.99
MOST = 4096  # gateways; what needs more than these is said to need none


@dataclass(frozen=True, slots=True)
class Room:
    """Of so many gateways: the fullest one's share over the mean, and how far all of them may be used on average, while
    none is away, so that `limit` holds when `away` are."""

    gateways: int
    away: int
    uneven: float
    usable: float


def uneven(gateways: int, flows: int, variation: float) -> float:
    """The fullest gateway's share over the mean: 1 is evenly spread."""
    if gateways < 2:
        return 1.0
    share = 1 / gateways
    z = NormalDist().inv_cdf(SURE ** (1 / gateways))
    deviation = math.sqrt(flows * share * (1 - share) * (1 + variation * variation))
    return 1 + z * deviation / (flows * share)


def room(gateways: int, away: int, *, flows: int, variation: float, limit: float) -> Room:
    """None may be used when as many are away as there are."""
    left = gateways - away
    worst = uneven(left, flows, variation)
    return Room(gateways, away, worst, left / gateways * limit / worst if left > 0 else 0.0)


def needed(load: float, away: int, *, flows: int, variation: float, limit: float) -> int:
    """The fewest gateways; `load` is what one gateway can carry, times this number. 0 when none are enough: then there
    are too few flows to fill them evenly."""
    for gateways in range(away + 1, MOST + 1):
        if gateways * room(gateways, away, flows=flows, variation=variation, limit=limit).usable >= load:
            return gateways
    return 0
