"""A store that asks again when another one does not answer, with rising waits, and goes on where it broke.

Exponential back-off with full jitter (Brooker, "Exponential Backoff And Jitter", 2015), and what the server asks for by
Retry-After. The arithmetic is ours because it is six lines: tenacity knows neither a Retry-After nor a transfer that
goes on, and would be one dependency more.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from common.console import Report
from common.errors import Unavailable
from common.model import Digest, Event
from naust.store.interface import Store
from naust.store.passing import Passing, PassingCollectable, wrapped
from naust.wire.bodies import broke, read_into

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")
PROGRESS = 64 << 10  # bytes; a transfer that got so far since it last broke may break as often again


class GaveUp(Unavailable):
    """It did not answer as often as we asked; nobody else has to try again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how long to wait in all. `sleep` takes seconds."""

    tries: int = 6
    first: timedelta = timedelta(seconds=0.5)  # the longest first wait; doubles
    longest: timedelta = timedelta(seconds=30)
    altogether: timedelta = timedelta(minutes=5)
    sleep: Callable[[float], object] = time.sleep

    def wait(self, number: int, error: Unavailable) -> float:
        """Seconds before the try after failure `number`, which counts from 0."""
        if error.retry_after is not None:
            return error.retry_after.total_seconds()
        return random.uniform(0.0, min(self.longest.total_seconds(), self.first.total_seconds() * 2.0**number))


class Tries:
    """The tries of one piece of work."""

    def __init__(self, patience: Patience, what: str, report: Report) -> None:
        self._patience, self._what, self._report = patience, what, report
        self._failures, self._waited = 0, 0.0

    def failed(self, error: Unavailable) -> None:
        """Wait for the next try. Raises GaveUp when there is none."""
        seconds = self._patience.wait(self._failures, error)
        self._failures += 1
        left = self._patience.altogether.total_seconds() - self._waited
        if isinstance(error, GaveUp):
            raise error
        if self._failures >= self._patience.tries or seconds > left:
            raise self._gave_up(error, seconds if seconds > left else 0.0) from error
        self._report(Event("retry", self._what, f"{error.message}; again in {seconds:.1f} s"))
        self._patience.sleep(seconds)
        self._waited += seconds

    def progressed(self) -> None:
        """It got on since the last failure."""
        self._failures = 0

    def _gave_up(self, error: Unavailable, asked: float) -> GaveUp:
        tried = f"Tried {self._failures} time{'' if self._failures == 1 else 's'}, waited {self._waited:.1f} s"
        wish = f"; it asks for {asked:.0f} s more, which is too long" if asked else ""
        found = GaveUp(
            error.message,
            details="\n".join(filter(None, (error.details, f"{tried}{wish}."))),
            resolution=error.resolution,
        )
        found.retry_after = error.retry_after
        return found


def retrying(inner: Store, report: Report, patience: Patience | None = None) -> RetryingStore:
    """The store, made patient. `report` hears of each new try."""
    return wrapped(RetryingStore, inner)(inner, report, patience or Patience())


class RetryingStore(Passing):
    """Tries again what is Unavailable: a write if its source can seek; a read goes on at the byte where it broke."""

    def __init__(self, inner: Store, report: Report, patience: Patience) -> None:
        super().__init__(inner)
        self._report, self._patience = report, patience

    def _tries(self, what: str) -> Tries:
        return Tries(self._patience, what, self._report)

    def _ask(self, what: str, act: Callable[[], T]) -> T:
        tries = self._tries(what)
        while True:
            try:
                return act()
            except Unavailable as error:
                tries.failed(error)

    def _list(self, what: str, make: Callable[[], Iterator[T]], key: Callable[[T], object]) -> Iterator[T]:
        tries, seen = self._tries(what), set[int]()
        while True:
            try:
                for each in make():
                    mark = hash(key(each))
                    if mark not in seen:
                        yield each
                        seen.add(mark)
                        tries.progressed()
                return
            except Unavailable as error:
                tries.failed(error)

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        with _Resumed(self, self._tries(f"read {digest}"), name, digest, start, length) as source:
            yield cast(BinaryIO, source)

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        def act() -> None:
            self.inner.write(name, digest, size, source, mount_from=mount_from)

        self._from_source(f"write {digest}", source, act)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        return self._from_source(f"write to {name}", source, lambda: self.inner.add(name, source))

    def replace(self, name: str, digest: Digest, size: int, source: BinaryIO) -> None:
        """As `Collectable.replace`; there only if the store within has it."""
        inner = cast(PassingCollectable, self.inner)
        self._from_source(f"write {digest}", source, lambda: inner.replace(name, digest, size, source))

    def _from_source(self, what: str, source: BinaryIO, act: Callable[[], T]) -> T:
        if not source.seekable():
            return act()
        begin = source.tell()

        def again() -> T:
            source.seek(begin)
            return act()

        return self._ask(what, again)


class _Resumed(io.RawIOBase):
    """A blob's bytes, opened anew where they broke. It can seek, so that what is read here can be written elsewhere
    twice; that opens it anew too."""

    def __init__(
        self, store: RetryingStore, tries: Tries, name: str, digest: Digest, start: int, length: int | None
    ) -> None:
        self._store, self._tries, self._name, self._digest = store, tries, name, digest
        self._start, self._length = start, length
        self._position = 0  # from `start`
        self._got = 0  # bytes since it last broke
        self._end: int | None = None  # from `start`; known once it broke
        self._open = ExitStack()
        self._source: BinaryIO | None = None
        try:
            self._patiently(self._opened)
        except BaseException:
            self._open.close()
            raise

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence != io.SEEK_SET:
            raise io.UnsupportedOperation("where a blob ends is not known before")
        if offset != self._position:
            self._shut()
            self._position = offset
        return offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = self._patiently(lambda: self._some(view)) if view else 0
        self._position += count
        self._got += count
        if self._got >= PROGRESS:
            self._tries.progressed()
        return count

    def close(self) -> None:
        self._shut()
        super().close()

    def _some(self, view: memoryview) -> int:
        count = read_into(self._opened(), view)
        if not count and self._end is not None and self._position < self._end:
            raise broke(str(self._digest), f"{self._end - self._position} bytes are missing")
        return count

    def _opened(self) -> BinaryIO:
        if self._source is None:
            left = None if self._length is None else max(0, self._length - self._position)
            inner, start = self._store.inner, self._start + self._position
            self._source = self._open.enter_context(inner.read(self._name, self._digest, start, left))
        return self._source

    def _patiently(self, act: Callable[[], T]) -> T:
        while True:
            try:
                return act()
            except Unavailable as error:
                self._shut()
                self._got = 0
                self._tries.failed(error)
                if self._position and self._end is None:
                    self._end = self._measured()

    def _measured(self) -> int | None:
        """Where it ends, so that a server that is wrong about what comes next is not taken at its word."""
        size = self._store.stat(self._name, self._digest)
        if size is None:
            return self._length
        return max(0, size - self._start) if self._length is None else min(self._length, max(0, size - self._start))

    def _shut(self) -> None:
        self._source = None
        self._open.close()
