"""Which gateway a router sends a flow to: the ways of routers, as functions of a flow's hash. Pure.

Gateways are numbers below `of`; those that are there are in order. A hash is a number below 2^31, as Linux has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

HASHES = 1 << 31


class Router(Protocol):
    """Sends flows to gateways. It may remember: gateways leave and come back in an order."""

    def set(self, there: Sequence[int]) -> None:
        """From now on these are announced."""

    def to(self, hashed: int) -> int:
        """Where a packet of this flow goes now."""


@dataclass(slots=True)
class Modulo:
    """The hash modulo the number of next hops: simple switches."""

    _there: Sequence[int] = ()

    def set(self, there: Sequence[int]) -> None:
        """See Router."""
        self._there = there

    def to(self, hashed: int) -> int:
        """See Router."""
        return self._there[hashed % len(self._there)]


@dataclass(slots=True)
class Threshold:
    """Each next hop has an equal share of all hashes, in their order (RFC 2992); Linux's multipath routes.

    The last hash of the n-th of N is round(2^31 * n / N) - 1: `fib_rebalance`, net/ipv4/fib_semantics.c.
    """

    _there: Sequence[int] = ()
    _bounds: Sequence[int] = ()

    def set(self, there: Sequence[int]) -> None:
        """See Router."""
        count = len(there)
        self._there = there
        self._bounds = [(HASHES * (n + 1) + count // 2) // count for n in range(count)]

    def to(self, hashed: int) -> int:
        """See Router."""
        at = hashed * len(self._there) // HASHES
        while hashed >= self._bounds[at]:
            at += 1
        while at and hashed < self._bounds[at - 1]:
            at -= 1
        return self._there[at]


@dataclass(slots=True)
class Resilient:
    """A table of buckets that keep their gateway while it is there: Linux's resilient next-hop groups, and switches'.

    Buckets of one that leaves go to those that have the fewest. When one comes back, buckets go to it until all have
    their share, but only those that `idle` says nobody has used for a while: Documentation/networking/nexthop-group-
    resilient.rst, with `unbalanced_timer 0`.
    """

    buckets: int = 512
    idle: frozenset[int] = frozenset()
    _table: list[int] = field(default_factory=list)

    def set(self, there: Sequence[int]) -> None:
        """See Router."""
        if not self._table:
            self._table = [there[bucket * len(there) // self.buckets] for bucket in range(self.buckets)]
            return
        counts = dict.fromkeys(there, 0)
        homeless = []
        for bucket, gateway in enumerate(self._table):
            if gateway in counts:
                counts[gateway] += 1
            else:
                homeless.append(bucket)
        for bucket in homeless:
            self._give(bucket, counts)
        share = self.buckets // len(there)
        for bucket in sorted(self.idle):
            if counts[self._table[bucket]] > share and min(counts.values()) < share:
                counts[self._table[bucket]] -= 1
                self._give(bucket, counts)

    def _give(self, bucket: int, counts: dict[int, int]) -> None:
        gateway = min(counts, key=lambda each: (counts[each], each))
        self._table[bucket] = gateway
        counts[gateway] += 1

    def to(self, hashed: int) -> int:
        """See Router."""
        return self._table[hashed % self.buckets]


@dataclass(slots=True)
class Consistent:
    """The gateway whose number, hashed with a slot of the flow, is highest (rendezvous hashing).

    Maglev's tables and rings of hashes come close to it; it is the least that any table without memory can move.
    """

    slots: int = 4096
    _there: tuple[int, ...] = ()

    def set(self, there: Sequence[int]) -> None:
        """See Router."""
        self._there = tuple(there)

    def to(self, hashed: int) -> int:
        """See Router."""
        return _highest(hashed % self.slots, self._there)


@lru_cache(maxsize=1 << 20)
def _highest(slot: int, there: tuple[int, ...]) -> int:
    return max(there, key=lambda gateway: _score(slot, gateway))


@lru_cache(maxsize=1 << 20)
def _score(slot: int, gateway: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{slot}/{gateway}".encode(), digest_size=8).digest())
