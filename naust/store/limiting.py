"""A store that is spared: only so many transfers at once, only so many bytes a second in each direction."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from common.model import Digest
from naust.store.interface import Store, Traits
from naust.store.passing import Passing, PassingCollectable, wrapped
from naust.wire.bodies import read_into

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BURST = 0.1  # seconds; a piece is as long as the limit allows in this time
_SHORTEST = 1 << 10  # bytes of a piece


class Pace:
    """So many bytes a second, shared by all threads that use it."""

    def __init__(
        self, limit: int, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.limit, self._clock, self._sleep = limit, clock, sleep
        self._free_at = 0.0  # when all bytes so far are paid for
        self._lock = threading.Lock()

    @property
    def piece(self) -> int:
        """How many bytes to carry at once, so that the line is never full for long."""
        return max(_SHORTEST, int(self.limit * _BURST))

    def carried(self, count: int) -> None:
        """Wait until `count` bytes that went are paid for."""
        with self._lock:
            now = self._clock()
            self._free_at = max(now, self._free_at) + count / self.limit
            wait = self._free_at - now
        self._sleep(wait)


class Turns:
    """At most `most` threads at once; one that is inside may come in again."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)
        self._mine = threading.local()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and have it while the block runs."""
        depth = getattr(self._mine, "depth", 0)
        if not depth:
            self._free.acquire()
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth -= 1
            if not depth:
                self._free.release()


def limiting(inner: Store, at_once: int, limit: int = 0) -> LimitingStore:
    """The store, spared: `at_once` transfers side by side in each direction, `limit` bytes a second (0: no limit)."""
    return wrapped(LimitingStore, inner)(inner, at_once, limit)


class LimitingStore(Passing):
    """Reads and writes take turns apart from each other, so that a copy within one store cannot wait for itself."""

    def __init__(self, inner: Store, at_once: int, limit: int) -> None:
        super().__init__(inner)
        self._at_once = at_once
        self._reads, self._writes = Turns(at_once), Turns(at_once)
        self._down = Pace(limit) if limit else None
        self._up = Pace(limit) if limit else None

    def traits(self) -> Traits:
        traits = self.inner.traits()
        return replace(traits, streams=max(1, min(traits.streams, self._at_once)))

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        with self._reads.turn(), self.inner.read(name, digest, start, length) as source:
            yield self._slow(source, self._down)

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        with self._writes.turn():
            self.inner.write(name, digest, size, self._slow(source, self._up), mount_from=mount_from)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        with self._writes.turn():
            return self.inner.add(name, self._slow(source, self._up))

    def replace(self, name: str, digest: Digest, size: int, source: BinaryIO) -> None:
        """As `Collectable.replace`; there only if the store within has it."""
        with self._writes.turn():
            cast(PassingCollectable, self.inner).replace(name, digest, size, self._slow(source, self._up))

    def _slow(self, source: BinaryIO, pace: Pace | None) -> BinaryIO:
        return cast(BinaryIO, _Slowed(source, pace)) if pace else source


class _Slowed(io.RawIOBase):
    """Another source at a pace. It has no file number, so nobody reads the file past it."""

    def __init__(self, source: BinaryIO, pace: Pace) -> None:
        self._source, self._pace = source, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")[: self._pace.piece]
        count = read_into(self._source, view) if view else 0
        self._pace.carried(count)
        return count

    def seekable(self) -> bool:
        return self._source.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()
