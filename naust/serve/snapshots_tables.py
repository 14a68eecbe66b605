"""Which blob is at which path: made from the manifests of states once for each, and kept as long as there is room.

A table has no object for each file: sorted paths in one string of bytes, digests in another. 60 000 files of a Debian
archive take some 7 MB so, and parts that many snapshots share are there once.
"""

from __future__ import annotations

import json
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from common.errors import Corrupt, NotFound
from common.model import Digest
from naust import manifest as oci
from naust.serve.answer import BYTES
from naust.source import state
from naust.store.interface import Store

ROOM = 64 << 20  # bytes of all tables together
_SNAPSHOTS = 512  # that are remembered; each takes some hundred bytes and what its sources' names take
_HASH = 32  # bytes of a SHA-256
_MOST_TYPES = 256

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """What was made, as long as all of it weighs at most `room`; what was not used for the longest time goes first.
    Any number of threads; what is missing is made by one of them, and the others wait."""

    def __init__(self, room: int, weight: Callable[[V], int] = lambda value: 1) -> None:
        self._room, self._weight = room, weight
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock, self._making = threading.Lock(), threading.RLock()
        self.weight = 0

    def get(self, key: K, make: Callable[[], V]) -> V:
        """What is kept under the key, or is made now. Raises what `make` does."""
        found = self._there(key)
        if found is not None:
            return found
        with self._making:
            found = self._there(key)
            if found is None:
                found = make()
                self._keep(key, found)
            return found

    def _there(self, key: K) -> V | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def _keep(self, key: K, value: V) -> None:
        with self._lock:
            self._kept[key] = value
            self.weight += self._weight(value)
            while self.weight > self._room and len(self._kept) > 1:
                self.weight -= self._weight(self._kept.popitem(last=False)[1])


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path."""

    digest: Digest
    media_type: str


class Table:
    """The files of one part of a state."""

    __slots__ = ("_digests", "_kinds", "_others", "_paths", "_starts", "_types")

    def __init__(self, files: Iterable[state.File]) -> None:
        rows = sorted((each.path.encode(), each.blob.digest, each.blob.media_type) for each in files)
        self._paths = b"".join(path for path, _, _ in rows)
        self._starts = array("I", _starts(rows))
        self._digests = b"".join(bytes.fromhex(digest.hex)[:_HASH] for _, digest, _ in rows)
        self._others = {i: digest for i, (_, digest, _) in enumerate(rows) if digest.algorithm != "sha256"}
        self._types = (BYTES, *sorted({kind for _, _, kind in rows} - {BYTES}))[:_MOST_TYPES]
        number = {kind: i for i, kind in enumerate(self._types)}
        self._kinds = bytes(number.get(kind, 0) for _, _, kind in rows)

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def weight(self) -> int:
        """Bytes of memory, about."""
        return len(self._paths) + len(self) * (self._starts.itemsize + _HASH + 1) + 1000 + 300 * len(self._others)

    def find(self, path: str) -> Found | None:
        """What is at this path."""
        wanted, last = path.encode(), len(self) - 1
        if last < 0 or not self._path(0) <= wanted <= self._path(last):
            return None  # most parts of a large state
        at = bisect_left(range(last), wanted, key=self._path)
        if self._path(at) != wanted:
            return None
        return Found(self._digest(at), self._types[self._kinds[at]])

    def below(self, prefix: str) -> Iterator[str]:
        """The paths that begin with this, sorted by their bytes."""
        wanted = prefix.encode()
        at = bisect_left(range(len(self)), wanted, key=self._path)
        while at < len(self) and (path := self._path(at)).startswith(wanted):
            yield path.decode()
            at += 1

    def _path(self, at: int) -> bytes:
        return self._paths[self._starts[at] : self._starts[at + 1]]

    def _digest(self, at: int) -> Digest:
        return self._others.get(at) or Digest("sha256", self._digests[at * _HASH : (at + 1) * _HASH].hex())


def _starts(rows: list[tuple[bytes, Digest, str]]) -> Iterator[int]:
    at = 0
    yield at
    for path, _, _ in rows:
        at += len(path)
        yield at


@dataclass(frozen=True, slots=True)
class State:
    """One source within a snapshot: the parts that its files are in."""

    source: str
    type: str  # apt, pypi, …; '' if it does not say
    parts: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a tag of a set, or of one source, stands for. A source by itself has one state, without a name."""

    name: str  # snapshot/<set>
    digest: Digest
    states: tuple[State, ...]

    @property
    def is_set(self) -> bool:
        """Whether paths begin with the name of a source."""
        return any(each.source for each in self.states) or not self.states

    def state(self, source: str) -> State | None:
        """The state of this source."""
        return next((each for each in self.states if each.source == source), None)

    def split(self, path: str) -> tuple[State | None, str]:
        """The state that the path leads to, and what is left of the path."""
        if not self.is_set:
            return self.states[0], path
        source, _, rest = path.partition("/")
        return self.state(source), rest


class Tables:
    """All snapshots of a store, as far as somebody asked for them."""

    def __init__(self, store: Store, room: int = ROOM) -> None:
        self._store = store
        self.tables: Bounded[Digest, Table] = Bounded(room, lambda table: table.weight)
        self._snapshots: Bounded[tuple[str, Digest], Snapshot] = Bounded(_SNAPSHOTS)
        # One thread makes all: malloc(3) keeps an arena for each thread, and what is read for a table is much larger
        # than the table. With 32 workers that would be 80 MB more.
        self._maker = ThreadPoolExecutor(1, "tables")

    def snapshot(self, name: str, digest: Digest) -> Snapshot:
        """The snapshot with this digest. Raises NotFound, Corrupt."""
        return self._snapshots.get((name, digest), lambda: self._read(name, digest))

    def find(self, name: str, state: State, path: str) -> Found | None:
        """The blob at a path of a state. Raises Corrupt if a manifest is damaged or gone."""
        for part in state.parts:
            found = self._table(name, part).find(path)
            if found is not None:
                return found
        return None

    def below(self, name: str, state: State, prefix: str) -> Iterator[str]:
        """The paths of a state that begin with this; sorted within each part. Raises Corrupt."""
        for part in state.parts:
            yield from self._table(name, part).below(prefix)

    def size(self, name: str, state: State) -> int:
        """How many files a state has. Raises Corrupt."""
        return sum(len(self._table(name, part)) for part in state.parts)

    def _table(self, name: str, part: Digest) -> Table:
        def make() -> Table:
            # What a file is as a package is none of the server's business, so the configuration is not read.
            return Table(state.files_of(self._manifest(name, part), b"", f"{name}@{part}"))

        return self.tables.get(part, lambda: self._maker.submit(make).result())

    def _read(self, name: str, digest: Digest) -> Snapshot:
        data = self._store.manifest(name, str(digest))
        if json.loads(data).get("artifactType") != state.SNAPSHOT:
            return Snapshot(name, digest, (self._state(name, digest, data, ""),))
        children = state.children_of(data, f"{name}@{digest}")
        states = (
            self._state(name, child.digest, self._manifest(name, child.digest), said.get(state.SOURCE, ""))
            for child, said in children
        )
        return Snapshot(name, digest, tuple(states))

    def _state(self, name: str, digest: Digest, data: bytes, source: str) -> State:
        what = f"{name}@{digest}"
        read = oci.parse(data, what)
        kind = dict(read.annotations).get(state.TYPE, "")
        if read.artifact_type != state.STATE:
            raise NotFound(f"{what} is no state of a source", resolution="`naust mirror` makes states.")
        parts = tuple(child.digest for child in read.children) if read.media_type in oci.INDEXES else (digest,)
        return State(source, kind, parts)

    def _manifest(self, name: str, digest: Digest) -> bytes:
        try:
            return self._store.manifest(name, str(digest))
        except NotFound as error:
            raise Corrupt(
                f"a part of {name} is gone: {digest}", resolution="Run `naust fsck`, then mirror the source again."
            ) from error
