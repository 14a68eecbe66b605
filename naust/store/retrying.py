"""A store that asks again when another one does not answer, with rising waits, and goes on where it broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, TypeVar, cast

from common.console import Report
from common.errors import Unavailable
from common.model import Digest
from naust.store.interface import Store
from naust.store.passing import Passing, PassingCollectable, wrapped
from naust.store.resumed import Resumed
from naust.store.tries import Patience, Tries

T = TypeVar("T")


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
        with _Blob(self, self._tries(f"read {digest}"), name, digest, start, length) as source:
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


class _Blob(Resumed):
    """A blob of the store within."""

    def __init__(
        self, store: RetryingStore, tries: Tries, name: str, digest: Digest, start: int, length: int | None
    ) -> None:
        super().__init__(tries, str(digest))
        self._store, self._name, self._digest = store, name, digest
        self._start, self._length = start, length  # positions count from `start`
        self._end: int | None = None  # known once it broke
        try:
            self.begin()
        except BaseException:
            self.close()
            raise

    def opened_at(self, position: int) -> AbstractContextManager[BinaryIO]:
        left = None if self._length is None else max(0, self._length - position)
        return self._store.inner.read(self._name, self._digest, self._start + position, left)

    def end(self) -> int | None:
        return self._end

    def failed(self) -> None:
        """A server that is wrong about what comes next is not taken at its word."""
        if self._position and self._end is None:
            size = self._store.stat(self._name, self._digest)
            left = None if size is None else max(0, size - self._start)
            self._end = min((each for each in (left, self._length) if each is not None), default=None)
