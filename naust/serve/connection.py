"""One connection of a client: what came in too early, the body of a request, and what goes out.

While it waits for a request, naust.serve.door reads it without blocking; while a request is served, one worker has it
for itself and every wait has an end.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from naust.serve.head import END, LONGEST_HEAD, Head, Refused

PIECE = 1 << 18  # bytes read and written at once: still in the processor's cache when they are hashed and written
SILENCE = 30.0  # seconds that a peer may say nothing within a request
LEAST = 1024  # bytes a second, on average, once a transfer is GRACE old
GRACE = 60.0
_DRAINING = 1.0  # seconds for the rest of a body that nobody wants
_LINE = 1024  # longest line of chunked coding
_TRAILERS = 8 << 10
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_READ = 64 << 10
_THROWN = 32 << 20  # bytes that are read and thrown away after the last answer


_own = threading.local()


def buffer() -> memoryview:
    """The buffer of the running thread. One use at a time."""
    found: memoryview | None = getattr(_own, "buffer", None)
    if found is None:
        found = _own.buffer = memoryview(bytearray(PIECE))
    return found


class Gone(Exception):
    """The client is not there any more, or too slow. `who` it was, if that was known."""

    who = "-"


class Pace:
    """How fast a peer is: a transfer has to keep to LEAST once it is GRACE old. `done`: bytes so far; `within`: seconds
    that all of it has."""

    def __init__(self, done: Callable[[], int], within: float = float("inf")) -> None:
        self._done, self._within = done, within
        self._started, self._before = time.monotonic(), done()

    def check(self) -> None:
        """Raises Gone if that is too little by now."""
        age = time.monotonic() - self._started
        if age > self._within or (age > GRACE and self._done() - self._before < (age - GRACE) * LEAST):
            raise Gone("the client is too slow")


class Connection:
    """A socket and what was read from it before it was wanted."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.address = address
        self.deadline = 0.0  # time.monotonic() at which the doorkeeper gives up
        self.shaken = not isinstance(sock, ssl.SSLSocket)  # TLS is agreed on
        self.leaving = False  # it got its last answer
        self._thrown = 0  # bytes that came after that
        self._early = bytearray()
        self.received = self.sent = 0

    @property
    def secure(self) -> bool:
        """Whether it is TLS."""
        return isinstance(self.sock, ssl.SSLSocket)

    # For the doorkeeper: nothing here waits

    def fill(self) -> bool:
        """Take what has come. False at its end. Raises BlockingIOError or ssl.SSLWantReadError when there is no more
        for now, OSError if the connection broke."""
        data = self.sock.recv(_READ)
        if self.leaving:
            self._thrown += len(data)
        else:
            self._early += data
            self.received += len(data)
        return bool(data)

    def leave(self) -> None:
        """Nothing more is said to the client, and nothing more that it says is kept."""
        self.leaving = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    @property
    def full(self) -> bool:
        """Whether enough has come to tell whether it is a head, or to lose patience with one who leaves."""
        return self._thrown >= _THROWN if self.leaving else len(self._early) >= LONGEST_HEAD

    @property
    def begun(self) -> bool:
        """Whether a request has begun to come."""
        return bool(self._early)

    def head(self) -> bytes | None:
        """The head of the next request, if all of it is there. Raises Refused when it is too long."""
        if self._early.startswith(b"\r\n"):  # RFC 9112, 2.2: some clients end a body with one too many
            del self._early[:2]
        if self._early and self._early != b"\r" and self._early[:1] not in _LETTERS:
            # Before the end of the head, which may never come: docker tries TLS first, and waits for an answer.
            raise Refused(400, "the request line is malformed; plain HTTP/1.1 is spoken here")
        end = self._early.find(END)
        if end < 0 and len(self._early) < LONGEST_HEAD:
            return None
        if end < 0 or end > LONGEST_HEAD:
            raise Refused(431, f"the head of the request is longer than {LONGEST_HEAD} bytes")
        data = bytes(self._early[: end + len(END)])
        del self._early[: end + len(END)]
        return data

    # For a worker: everything here may wait, but not for ever

    def take(self, view: memoryview) -> int:
        """Read some bytes into the view; 0 at the end of the connection. Raises Gone."""
        if self._early:
            count = min(len(self._early), len(view))
            view[:count] = self._early[:count]
            del self._early[:count]
            return count
        try:
            count = self.sock.recv_into(view)
        except OSError as error:
            raise Gone(str(error)) from error
        self.received += count
        return count

    def line(self, pace: Pace) -> bytes:
        """One line of chunked coding, without its end. Raises Refused, Gone."""
        while (end := self._early.find(b"\r\n")) < 0:
            if len(self._early) > _LINE:
                raise Refused(400, "a line of the chunked body is too long")
            self._more()
            pace.check()
        if end > _LINE:
            raise Refused(400, "a line of the chunked body is too long")
        found = bytes(self._early[:end])
        del self._early[: end + 2]
        return found

    def _more(self) -> None:
        try:
            data = self.sock.recv(_LINE)
        except OSError as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("the connection ended within a body")
        self._early += data
        self.received += len(data)

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it. Raises Gone."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone(str(error)) from error
        self.sent += len(data)

    def close(self) -> None:
        """End it at once."""
        with suppress(OSError):
            self.sock.close()

    def linger(self, seconds: float = 2.0) -> None:
        """End it so that the client can still read the last answer: what it sends meanwhile is thrown away for a
        short while, because a socket that is closed over unread bytes takes the answer back (RFC 9112, 9.6)."""
        end, left = time.monotonic() + seconds, _THROWN
        with suppress(OSError, ValueError):
            self.sock.settimeout(0.2)
            self.sock.shutdown(socket.SHUT_WR)
            while time.monotonic() < end and left > 0 and (data := self.sock.recv(_READ)):
                left -= len(data)
        self.close()


class Body:
    """The body of a request, decoded. Iterates in views of one buffer: use each before the next."""

    def __init__(self, connection: Connection, head: Head, limit: int = 1 << 62) -> None:
        self._connection = connection
        self._chunked = head.length is None
        self._left = head.length or 0
        self.limit = limit  # bytes; more is refused
        self._expected = "100-continue" in head.header("expect").lower() and head.modern
        self._pace = Pace(lambda: connection.received)
        self._first = True
        self.ended = not head.has_body
        self.size = 0  # bytes so far

    @property
    def connection(self) -> Connection:
        """What it comes by."""
        return self._connection

    @property
    def unasked(self) -> bool:
        """Whether the client still waits to be told that it may send."""
        return self._expected and not self.ended

    def read(self, most: int) -> bytes:
        """All of it, where that is at most `most` bytes. Raises Refused, Gone."""
        self.limit, found = min(self.limit, most), bytearray()
        if self._left > self.limit:
            raise Refused(413, f"the body is larger than {self.limit} bytes")
        for piece in self.pieces(memoryview(bytearray(256 << 10))):
            found += piece
        return bytes(found)

    def pieces(self, buffer: memoryview) -> Iterator[memoryview]:
        """The body, each time as much of it as the buffer holds; what came before the connection broke comes out too.

        Raises Refused if it is malformed or too large, Gone if the client went or is too slow.
        """
        count = 0
        try:
            while not self.ended and (more := self._some(buffer[count:])):
                count += more
                if count == len(buffer):
                    yield buffer
                    count = 0
        except Gone:
            if count:
                yield buffer[:count]
            raise
        if count:
            yield buffer[:count]

    def drained(self, most: int = 64 << 10) -> bool:
        """Throw the rest away, if it is short and comes at once; whether the connection can be used again."""
        if self.unasked or self._left > most:
            return self.ended
        connection, before, view = self._connection, self.size, memoryview(bytearray(16 << 10))
        silence, self._pace = connection.sock.gettimeout(), Pace(lambda: connection.received, _DRAINING)
        try:
            connection.sock.settimeout(_DRAINING)
            while not self.ended and self._some(view) and self.size - before <= most:
                pass
        except (Refused, Gone, OSError):
            return False
        finally:
            with suppress(OSError):
                connection.sock.settimeout(silence)
        return self.ended

    def _some(self, view: memoryview) -> int:
        if self._expected:
            self._expected = False
            self._connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._chunked and not self._left and not self._next_chunk():
            return 0
        count = self._connection.take(view[: self._left])
        if not count:
            raise Gone("the connection ended within a body")
        self._left -= count
        self.size += count
        self.ended = not self._chunked and not self._left
        self._check()
        return count

    def _check(self) -> None:
        if self.size > self.limit:
            raise Refused(413, f"the body is larger than {self.limit} bytes")
        self._pace.check()

    def _next_chunk(self) -> bool:
        if not self._first and self._connection.line(self._pace):
            raise Refused(400, "a chunk of the body does not end where it said")
        self._first = False
        found = _SIZE.fullmatch(self._connection.line(self._pace))
        if found is None:
            raise Refused(400, "a chunk of the body has no proper size")
        self._left = int(found[1], 16)
        if not self._left:
            self._trailers()
        return bool(self._left)

    def _trailers(self) -> None:
        size = 0
        while line := self._connection.line(self._pace):
            size += len(line)
            if size > _TRAILERS:
                raise Refused(431, "the trailer is too long")
        self.ended = True
