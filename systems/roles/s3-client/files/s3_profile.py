"""What a drive asks for: a profile, as JSON, and the requests that follow from it and its seed.

    {"format": 1, "rate": 300, "arrival": "poisson", "seed": 1, "objects": 200, "exponent": 0.9,
     "operations": {"GET": 70, "PUT": 20, "HEAD": 5, "DELETE": 3, "LIST": 1, "MULTIPART": 1},
     "sizes": [{"at_least": 1024, "at_most": 65536, "weight": 9}, {"at_least": 65537, "at_most": 1048576, "weight": 1}],
     "connections": "kept", "timeout": 10}

`rate` is requests a second; `arrival` is when they are due: `constant` or `poisson`. Weights are shares. A size in
bytes is drawn from one of `sizes`, each of its powers being as likely as another (log-uniform). Reads ask for one of
`objects` keys, the n-th as often as 1/n^exponent (0: all alike). Each of `connections` is `kept` for the next request,
or `new` for each. BUCKET makes, finds and removes a bucket, in one. A request that has not ended `timeout` seconds
after its start has failed.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from bisect import bisect
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FORMAT = 1
OPERATIONS = ("GET", "PUT", "HEAD", "DELETE", "LIST", "MULTIPART", "BUCKET")
ARRIVALS = ("constant", "poisson")
CONNECTIONS = ("kept", "new")
SIZE_AT_MOST = 1 << 30  # bytes
SETTLED = 5.0  # seconds after which a key that was stored may be removed: both are not under way at once


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes, from one to the other, both included."""

    at_least: int
    at_most: int
    weight: float


@dataclass(frozen=True, slots=True)
class Profile:
    """See the top of this file."""

    rate: float = 100.0
    arrival: str = "poisson"
    seed: int = 1
    objects: int = 200
    exponent: float = 0.9
    operations: Mapping[str, float] = field(default_factory=lambda: {"GET": 80.0, "PUT": 15.0, "HEAD": 5.0})
    sizes: tuple[Sizes, ...] = (Sizes(1024, 1024, 1.0),)
    connections: str = "kept"
    timeout: float = 10.0

    @classmethod
    def parsed(cls, text: str) -> Profile:
        """Raises ValueError with every reason."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as fault:
            raise ValueError(f"no JSON: {fault}") from fault
        if not isinstance(found, dict):
            raise ValueError("a profile is a JSON object")
        return _Reader(found).profile()

    def document(self) -> dict[str, object]:
        """As `parsed` takes it."""
        return {
            "format": FORMAT,
            "rate": self.rate,
            "arrival": self.arrival,
            "seed": self.seed,
            "objects": self.objects,
            "exponent": self.exponent,
            "operations": dict(self.operations),
            "sizes": [{"at_least": one.at_least, "at_most": one.at_most, "weight": one.weight} for one in self.sizes],
            "connections": self.connections,
            "timeout": self.timeout,
        }


class _Reader:
    """Reads one profile and gathers what is wrong."""

    def __init__(self, found: dict[str, object]) -> None:
        self._found, self._wrong = found, list[str]()

    def profile(self) -> Profile:
        default = Profile()
        known = {*default.document()}
        self._wrong += [
            f"{name!r} is unknown; there is {', '.join(sorted(known))}" for name in self._found.keys() - known
        ]
        if self._found.get("format", FORMAT) != FORMAT:
            self._wrong.append(f"format is {self._found['format']!r}; this program reads {FORMAT}")
        profile = Profile(
            rate=self._number("rate", default.rate, 0.001, 100_000),
            arrival=self._choice("arrival", default.arrival, ARRIVALS),
            seed=int(self._number("seed", default.seed, 0, 2**53, whole=True)),
            objects=int(self._number("objects", default.objects, 1, 10_000_000, whole=True)),
            exponent=self._number("exponent", default.exponent, 0, 10),
            operations=self._operations(default.operations),
            sizes=self._sizes(default.sizes),
            connections=self._choice("connections", default.connections, CONNECTIONS),
            timeout=self._number("timeout", default.timeout, 0.001, 3600),
        )
        if self._wrong:
            raise ValueError("; ".join(self._wrong))
        return profile

    def _number(self, name: str, default: float, lowest: float, highest: float, *, whole: bool = False) -> float:
        return self._checked(name, self._found.get(name, default), lowest, highest, whole=whole)

    def _checked(self, name: str, value: object, lowest: float, highest: float, *, whole: bool = False) -> float:
        good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if good and isinstance(value, (int, float)) and lowest <= value <= highest:
            return value
        self._wrong.append(
            f"{name} is {value!r}, not a {'whole ' if whole else ''}number from {lowest:g} to {highest:g}"
        )
        return lowest

    def _choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self._found.get(name, default)
        if not isinstance(value, str) or value not in choices:
            self._wrong.append(f"{name} is {value!r}, not one of {', '.join(choices)}")
            return default
        return value

    def _operations(self, default: Mapping[str, float]) -> Mapping[str, float]:
        value = self._found.get("operations", default)
        if not isinstance(value, Mapping):
            self._wrong.append(f"operations is {value!r}, not an object of weights")
            return default
        unknown = [name for name in value if name not in OPERATIONS]
        self._wrong += [f"operation {name!r} is unknown; there is {', '.join(OPERATIONS)}" for name in unknown]
        found = {name: self._checked(name, weight, 0, 1e9) for name, weight in value.items() if name in OPERATIONS}
        if sum(found.values()) <= 0:
            self._wrong.append("operations have no weight above 0")
        return found

    def _sizes(self, default: tuple[Sizes, ...]) -> tuple[Sizes, ...]:
        value = self._found.get("sizes", None)
        if value is None:
            return default
        if not isinstance(value, list) or not value:
            self._wrong.append("sizes is not a list of at_least, at_most and weight")
            return default
        found = [self._one_size(each) for each in value]
        if sum(one.weight for one in found) <= 0:
            self._wrong.append("sizes have no weight above 0")
        return tuple(found)

    def _one_size(self, each: object) -> Sizes:
        if not isinstance(each, dict) or each.keys() - {"at_least", "at_most", "weight"}:
            self._wrong.append(f"a size is {each!r}, not an object of at_least, at_most and weight")
            return Sizes(0, 0, 1.0)
        at_least = int(self._checked("at_least", each.get("at_least"), 0, SIZE_AT_MOST, whole=True))
        at_most = int(self._checked("at_most", each.get("at_most"), at_least, SIZE_AT_MOST, whole=True))
        return Sizes(at_least, at_most, self._checked("weight", each.get("weight", 1), 0, 1e9))


@dataclass(frozen=True, slots=True)
class Planned:
    """One request: when it is due, in seconds since the start, and what it does to which key.

    `size` in bytes is that of what is stored; 0 for all else.
    """

    number: int
    due: float
    operation: str
    key: str
    size: int = 0


class Plan:
    """The requests of a profile, in the order in which they are due; the same seed gives the same ones. Pure.

    Reads and what overwrites share the keys `k0`, `k1`, …, which are there from the start. What DELETE removes has
    been stored by an earlier request under a key of its own (`n0`, `n1`, …), which nobody reads, so that no answer
    depends on which of two requests came first.
    """

    def __init__(self, profile: Profile, seconds: float) -> None:
        self._profile, self._seconds = profile, seconds
        self._random = random.Random(profile.seed)
        self._operations = tuple(profile.operations)
        self._weights = [profile.operations[name] for name in self._operations]
        self._popular = list(itertools.accumulate((n + 1) ** -profile.exponent for n in range(profile.objects)))
        stores = profile.operations.get("PUT", 0.0)
        self._fresh = min(1.0, profile.operations.get("DELETE", 0.0) / stores) if stores else 0.0
        self._new: deque[tuple[float, str]] = deque()
        self._count, self._buckets = itertools.count(), itertools.count()

    def prepared(self) -> Iterator[tuple[str, int]]:
        """Each key that is there from the start, with the size of its first version."""
        draw = random.Random(self._profile.seed + 1)
        return ((f"k{number}", self._size(draw)) for number in range(self._profile.objects))

    def requests(self) -> Iterator[Planned]:
        """One by one; none is due at or after the end."""
        for number, due in enumerate(self._arrivals()):
            yield self._request(number, due)

    def _arrivals(self) -> Iterator[float]:
        rate = self._profile.rate
        if self._profile.arrival == "constant":
            yield from itertools.takewhile(lambda due: due < self._seconds, (n / rate for n in itertools.count()))
            return
        due = self._random.expovariate(rate)
        while due < self._seconds:
            yield due
            due += self._random.expovariate(rate)

    def _request(self, number: int, due: float) -> Planned:
        operation = self._random.choices(self._operations, self._weights)[0]
        if operation == "MULTIPART":
            return Planned(number, due, operation, self._stored(due), self._size(self._random))
        if operation == "PUT":
            key = self._stored(due) if self._random.random() < self._fresh else self._read()
            return Planned(number, due, operation, key, self._size(self._random))
        if operation == "DELETE":
            return Planned(number, due, operation, self._removed(due))
        if operation == "BUCKET":
            return Planned(number, due, operation, f"b{next(self._buckets)}")
        return Planned(number, due, operation, "" if operation == "LIST" else self._read())

    def _read(self) -> str:
        return f"k{bisect(self._popular, self._random.random() * self._popular[-1])}"

    def _stored(self, due: float) -> str:
        key = f"n{next(self._count)}"
        self._new.append((due, key))
        return key

    def _removed(self, due: float) -> str:
        """The oldest that has been there for a while, or one that never was: S3 says the same of both."""
        if self._new and self._new[0][0] < due - SETTLED:
            return self._new.popleft()[1]
        return f"n{next(self._count)}"

    def _size(self, draw: random.Random) -> int:
        sizes = self._profile.sizes
        one = draw.choices(sizes, [each.weight for each in sizes])[0]
        low, high = math.log(one.at_least + 1), math.log(one.at_most + 2)
        return min(one.at_most, max(one.at_least, int(math.exp(draw.uniform(low, high))) - 1))
