"""HTTP/1.1 over TLS without a thread for each request: connections that are kept or not, and one request on them.

The standard library has asyncio's streams and no HTTP client on them. Only what S3 servers answer is read: a length,
chunks, or until the connection's end (RFC 9112, section 6.3).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PIECE = 64 * 1024  # bytes that are read or written at a time
HEAD_AT_MOST = 64 * 1024  # bytes of an answer's header section
ANSWER_AT_MOST = 1 << 20  # bytes of an answer that is kept whole: lists and errors


class WireError(Exception):
    """The answer is no HTTP, or ended too early."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` of what nobody else took, `received` its bytes. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: int


@dataclass(frozen=True, slots=True)
class Request:
    """Method, path with query, headers; `body` in pieces, whose bytes `headers` state."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: Iterable[bytes] = ()

    def head(self) -> bytes:
        """The request line and headers. Raises ValueError when one has a line of its own in it. Pure."""
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header with the end of a line in it")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(slots=True)
class Connection:
    """To one address; `answers` that it gave so far."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answers: int = 0
    reusable: bool = False

    async def exchange(self, request: Request, take: Callable[[bytes], None] | None = None) -> Answer:
        """Send and read; `take` gets the body of an answer 200 in pieces. Raises OSError, WireError."""
        self.reusable = False
        self.writer.write(request.head())
        for number, piece in enumerate(request.body):
            if number:
                await asyncio.sleep(0)  # `drain` waits only when the socket is full: others' time would pass meanwhile
            self.writer.write(piece)
            await self.writer.drain()
        try:
            status, headers = await self._head()
            body, received = await self._body(request.method, status, headers, take if status == 200 else None)
        except asyncio.IncompleteReadError as fault:
            raise WireError(f"the connection ended within an answer, after {len(fault.partial)} bytes") from fault
        except (asyncio.LimitOverrunError, ValueError) as fault:
            raise WireError(f"no answer of HTTP: {fault}") from fault
        self.answers += 1
        return Answer(status, headers, body, received)

    async def _head(self) -> tuple[int, dict[str, str]]:
        while True:
            status, headers = head_of(await self.reader.readuntil(b"\r\n\r\n"))
            if status >= 200:  # those below announce the answer (RFC 9110, 15.2)
                return status, headers

    async def _body(
        self, method: str, status: int, headers: Mapping[str, str], take: Callable[[bytes], None] | None
    ) -> tuple[bytes, int]:
        kept = bytearray()

        def keep(piece: bytes) -> None:
            if len(kept) + len(piece) > ANSWER_AT_MOST:
                raise ValueError(f"more than {ANSWER_AT_MOST} bytes")
            kept.extend(piece)

        received, give = 0, take or keep
        ends = "close" not in headers.get("connection", "").lower()
        if method == "HEAD" or status in (204, 304):
            pass
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            async for piece in self._chunks():
                received += len(piece)
                give(piece)
        elif "content-length" in headers:
            async for piece in self._exactly(int(headers["content-length"])):
                received += len(piece)
                give(piece)
        else:
            ends = False
            while piece := await self.reader.read(PIECE):
                received += len(piece)
                give(piece)
        self.reusable = ends
        return bytes(kept), received

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        left = size
        while left > 0:
            piece = await self.reader.read(min(PIECE, left))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int((await self.reader.readuntil(b"\r\n")).partition(b";")[0].strip(), 16):
            async for piece in self._exactly(size):
                yield piece
            await self.reader.readexactly(2)
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers

    def close(self) -> None:
        """At once: nothing more is sent or awaited."""
        self.writer.transport.abort()


def head_of(text: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers; of two alike, both with a comma between. Raises ValueError. Pure."""
    first, *lines = text.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit() and len(code) == 3):
        raise ValueError(f"it begins with {first[:40]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        if not line:
            continue
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError(f"a header {line[:40]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(code), headers


@dataclass(slots=True)
class Pool:
    """Connections to the service by its addresses. `tls` None is plain HTTP; `keep` whether one is used again."""

    name: str
    port: int
    tls: ssl.SSLContext | None
    keep: bool
    _idle: dict[str, list[Connection]] = field(default_factory=dict)

    @asynccontextmanager
    async def connection(self, address: str) -> AsyncIterator[Connection]:
        """An idle one, the last used first, or a new one; whatever goes wrong closes it. Raises OSError."""
        found = self._free(address) or await self._new(address)
        good = False
        try:
            yield found
            good = self.keep and found.reusable
        finally:
            if good:
                self._idle.setdefault(address, []).append(found)
            else:
                found.close()

    def _free(self, address: str) -> Connection | None:
        idle = self._idle.get(address, [])
        while idle:
            found = idle.pop()
            if not found.reader.at_eof() and found.reader.exception() is None:
                return found
            found.close()
        return None

    async def _new(self, address: str) -> Connection:
        name = self.name if self.tls else None
        reader, writer = await asyncio.open_connection(
            address, self.port, ssl=self.tls, server_hostname=name, limit=HEAD_AT_MOST
        )
        return Connection(reader, writer)

    def close(self) -> None:
        """Those that are idle."""
        for connections in self._idle.values():
            for found in connections:
                found.close()
        self._idle.clear()
