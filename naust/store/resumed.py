"""Bytes that come from elsewhere, opened when they are read, and anew where they broke or somebody goes back."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from common.errors import Unavailable
from naust.store.tries import PROGRESS, Tries
from naust.wire.bodies import broke, read_into

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")


class Reopened(io.RawIOBase):
    """Opened by the first read. It can seek, so that what is read here can be written elsewhere twice; that opens it
    anew."""

    def __init__(self) -> None:
        self._position = 0
        self._open = ExitStack()
        self._source: BinaryIO | None = None

    @abstractmethod
    def opened_at(self, position: int) -> AbstractContextManager[BinaryIO]:
        """What there is from this byte on."""

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
            raise io.UnsupportedOperation("where it ends is not known before")
        if offset != self._position:
            self._shut()
            self._position = offset
        return offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = read_into(self._opened(), view) if len(view) else 0
        self._position += count
        return count

    def close(self) -> None:
        self._shut()
        super().close()

    def _opened(self) -> BinaryIO:
        if self._source is None:
            self._source = self._open.enter_context(self.opened_at(self._position))
        return self._source

    def _shut(self) -> None:
        self._source = None
        self._open.close()


class Resumed(Reopened):
    """Patient, by these tries; `what` is what it is called when it breaks. Reading raises GaveUp, and what opening
    raises."""

    def __init__(self, tries: Tries, what: str) -> None:
        super().__init__()
        self._tries, self._what = tries, what
        self._got = 0  # bytes since it last broke

    @abstractmethod
    def end(self) -> int | None:
        """At which byte it ends, if that is known."""

    def failed(self) -> None:
        """It broke, and will be opened anew."""

    def begin(self) -> None:
        """Open it, so that what its source says of it is known."""
        self._patiently(self._opened)

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if not len(view) or (self._source is None and self._position == self.end()):
            return 0
        count = self._patiently(lambda: self._some(view))
        self._position += count
        self._got += count
        if self._got >= PROGRESS:
            self._tries.progressed()
        return count

    def _some(self, view: memoryview) -> int:
        count, end = read_into(self._opened(), view), self.end()
        if not count and end is not None and end > self._position:
            raise broke(self._what, f"{end - self._position} bytes are missing")
        return count

    def _patiently(self, act: Callable[[], T]) -> T:
        while True:
            try:
                return act()
            except Unavailable as error:
                self._shut()
                self._got = 0
                self._tries.failed(error)
                self.failed()
