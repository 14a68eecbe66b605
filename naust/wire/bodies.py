"""What requests and answers carry: bytes that are sent from a file or another source, and bytes that arrive.

An answer that ends early is never taken for a whole one (RFC 9112, section 8, Handling Incomplete Messages).
"""

from __future__ import annotations

import http.client
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from common.errors import Corrupt, Unavailable
from common.files import CHUNK
from naust.wire.connections import Connection, plain_socket

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DRAINED = 1 << 16  # bytes; so much is read to its end to keep the connection, more is not worth it


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The body of a request: the next `size` bytes of `source`, or all of them if that is None. `seen` gets each piece
    before it is sent, and keeps the kernel from sending a file by itself."""

    source: BinaryIO
    size: int | None
    seen: Callable[[memoryview], object] | None = None

    def send(self, connection: Connection) -> None:
        """Send it, after the head of the request. Raises Corrupt if the source is shorter than it should be,
        Unavailable if it cannot be read; OSError is the connection's."""
        if self.size is not None and self.seen is None and self._sent_by_kernel(connection, self.size):
            return
        buffer = memoryview(bytearray(CHUNK if self.size is None else min(CHUNK, self.size)))
        left = self.size
        # Each piece is sent as it comes: a slow source must not look like silence.
        while left != 0 and (count := some(self.source, buffer if left is None else buffer[:left])):
            if self.seen is not None:
                self.seen(buffer[:count])
            if left is None:
                connection.line.send(f"{count:x}\r\n".encode())
            send_all(connection, buffer[:count])
            if left is None:
                connection.line.send(b"\r\n")
            left = None if left is None else left - count
        if left:
            raise too_short(self.size or 0, left)
        if left is None:
            connection.line.send(b"0\r\n\r\n")

    def _sent_by_kernel(self, connection: Connection, size: int) -> bool:
        socket = plain_socket(connection.line)
        if socket is None or size < CHUNK or not is_file(self.source):
            return False
        begin = self.source.tell()
        sent = socket.sendfile(self.source, begin, size)
        if sent < size:
            raise too_short(size, size - sent)
        return True


def is_file(source: BinaryIO) -> bool:
    """Whether the source is a regular file of the operating system, read without a buffer of ours in between."""
    if not isinstance(source, io.FileIO | io.BufferedReader):
        return False
    if isinstance(source, io.BufferedReader) and not isinstance(source.raw, io.FileIO):
        return False
    return stat.S_ISREG(os.fstat(source.fileno()).st_mode)


def filled(source: BinaryIO, buffer: memoryview) -> int:
    """Fill the buffer as far as the source goes; how many bytes that were. Raises Unavailable if it cannot be read."""
    count = 0
    while count < len(buffer) and (more := some(source, buffer[count:])):
        count += more
    return count


def some(source: BinaryIO, buffer: memoryview) -> int:
    """Read what comes next; how many bytes that were. Raises Unavailable if it cannot be read."""
    try:
        return read_into(source, buffer)
    except OSError as error:
        raise Unavailable(
            "what was to be sent could not be read to its end",
            details=str(error),
            resolution="Nothing was stored. See that the source can be read, then run the command again.",
        ) from error


def read_into(source: BinaryIO, buffer: memoryview) -> int:
    """Read what comes next, at most as much as the buffer holds; how many bytes that were."""
    if hasattr(source, "readinto"):
        return source.readinto(buffer) or 0
    data = source.read(len(buffer))
    buffer[: len(data)] = data
    return len(data)


def send_all(connection: Connection, data: memoryview) -> None:
    """Send all of it. `sendall` would count its time-out over the whole, not since the last byte that went."""
    socket = connection.line.sock
    while data:
        data = data[socket.send(data) :]


def too_short(size: int, missing: int) -> Corrupt:
    """The error of a source that ends early."""
    return Corrupt(
        f"what was to be sent ended {missing} bytes early",
        details=f"Expected were {size} bytes.",
        resolution="Nothing was stored. The source changed or is damaged: make it anew.",
    )


class Received(io.RawIOBase):
    """The body of an answer. `readinto` fills the whole buffer, unless the end or trouble comes first; trouble raises
    Unavailable once all that came before it was given out, so that a reader can go on at that place.

    `done` is told at the end whether the connection can be used again.
    """

    def __init__(self, response: http.client.HTTPResponse, what: str, done: Callable[[bool], None]) -> None:
        self._response, self._what, self._done = response, what, done
        self.left = response.length  # None: only the end of the chunks or of the connection tells
        self._held = True  # whether bytes may lie in the response's buffer, as those that came with the head do
        self._trouble: Unavailable | None = None
        self._over = False
        if response.isclosed() or self.left == 0:
            self._finish(not response.will_close)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if self.left is not None:
            view = view[: self.left]
        count = 0
        while count < len(view) and not self._over and (more := self._some(view[count:])):
            count += more
        if count == 0 and self._trouble is not None:
            raise self._trouble
        return count

    def _some(self, view: memoryview) -> int:
        try:
            # As much as there is, so that nothing is lost that came before the connection broke.
            count = self._response.readinto(view) if self.left is None else self._next(view)
        except (OSError, http.client.HTTPException) as error:
            return self._broken(error)
        if self.left is not None:
            self.left -= count
            if count == 0:
                return self._broken(f"{self.left} bytes are missing")
        if self.left == 0 or count == 0:
            self._finish(not self._response.will_close)
        return count

    def _next(self, view: memoryview) -> int:
        """One read. `readinto1` of a buffer larger than its own waits for more than it holds, and loses that if nothing
        comes; so what it holds is fetched first."""
        if self._held or len(view) < io.DEFAULT_BUFFER_SIZE:
            view = view[: io.DEFAULT_BUFFER_SIZE]
        count = self._response.fp.readinto1(view)
        self._held = count == len(view) < io.DEFAULT_BUFFER_SIZE
        return count

    def _broken(self, reason: object) -> int:
        self._finish(False)
        self._trouble = broke(self._what, reason)
        return 0

    def _finish(self, keep: bool) -> None:
        if not self._over:
            self._over = True
            self._response.close()
            self._done(keep)

    def close(self) -> None:
        """Give the connection back if little is left, else give it up."""
        if not self._over and self.left is not None and self.left <= DRAINED:
            while not self._over and self._some(memoryview(bytearray(self.left))):
                pass
        self._finish(False)
        super().close()


class Part(io.RawIOBase):
    """`length` bytes of another body (None: all) after the first `skip`. Raises Unavailable if it ends before
    `length` of them, where `exact`."""

    def __init__(self, body: io.RawIOBase, what: str, *, skip: int, length: int | None, exact: bool) -> None:
        self._body, self._what, self._skip, self._left, self._exact = body, what, skip, length, exact

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while self._skip:
            count = self._body.readinto(memoryview(bytearray(min(self._skip, CHUNK))))
            if not count:
                self._skip = self._left = 0
            self._skip -= count or 0
        if self._left is not None:
            view = view[: self._left]
        count = self._body.readinto(view) if view else 0
        if self._left is not None:
            self._left -= count or 0
            if view and not count and self._exact:
                raise broke(self._what, f"{self._left} bytes are missing")
        return count or 0


def broke(what: str, reason: object) -> Unavailable:
    """The error of a connection that ended or fell silent in the middle of something."""
    if isinstance(reason, TimeoutError):
        reason = "It said nothing for too long."
    return Unavailable(
        f"the connection broke at {what}",
        details=str(reason) or type(reason).__name__,
        resolution="Try again later; what is there already is not sent twice.",
    )
