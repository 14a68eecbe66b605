"""HTTP/1.1 as bytes: a request is sent exactly as it is written, and an answer is kept as it came (RFC 9112)."""

from __future__ import annotations

import ctypes
import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)
Headers = tuple[tuple[str, str], ...]


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """This thread is in the network namespace of a process (setns(2)); a socket made here stays there."""
    with Path("/proc/thread-self/ns/net").open("rb") as own, Path(f"/proc/{pid}/ns/net").open("rb") as other:
        _enter(other)
        try:
            yield
        finally:
            _enter(own)


def _enter(namespace: BinaryIO) -> None:
    if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


@dataclass(frozen=True)
class Way:
    """How requests get to a server: from where (a process whose network is used), to which address, and for TLS the
    file of the CA and the name that is asked for."""

    pid: int
    address: str
    port: int
    authority: Path | None = None
    server_name: str = ""

    def connect(self, timeout: float = 30.0, receive_buffer: int = 0) -> socket.socket:
        """A connection. `receive_buffer`: bytes that may wait at our side, the kernel's choice when 0."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        with network_of(self.pid):
            plain = socket.socket(family, socket.SOCK_STREAM)
            try:
                plain.settimeout(timeout)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if receive_buffer:
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                plain.connect((self.address, self.port))
            except OSError:
                plain.close()
                raise
        if self.authority is None:
            return plain
        context = ssl.create_default_context(cafile=str(self.authority))
        return context.wrap_socket(plain, server_hostname=self.server_name)


@dataclass(frozen=True)
class Request:
    """What is sent: the target (path and query) is not touched. `length`: say how long the body is."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    length: bool = True

    def head(self) -> bytes:
        """The request line and the headers, with the empty line."""
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        if self.length and (self.body or self.method in ("PUT", "POST")):
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class Answer:
    """What came back. Header names are lower case here; `names` has them as they came."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: tuple[int, ...] = ()
    names: tuple[str, ...] = field(default=(), compare=False)
    error: str = ""

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode("utf-8", "backslashreplace")


def exchange(way: Way, request: Request, *, wait: float = 0.0, timeout: float = 30.0) -> Answer:
    """One request on a connection of its own. With `wait`, the body is sent when 100 (Continue) came, or after so many
    seconds without it, and not at all after a final answer (RFC 9110, 10.1.1)."""
    with way.connect(timeout) as sock, sock.makefile("rb") as stream:
        if not wait:
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):  # an answer may come before the end
                sock.sendall(request.head() + request.body)
            return receive(stream, request.method)
        sock.sendall(request.head())
        sock.settimeout(wait)
        try:
            first = stream.peek(1)
        except TimeoutError:
            first = b""
        sock.settimeout(timeout)
        if not first:
            return Answer(0, {}, b"", error="neither an answer nor 100 (Continue)")
        status = status_line(stream)
        if status != 100:
            return receive(stream, request.method, status)
        http.client.parse_headers(stream)
        sock.sendall(request.body)
        final = receive(stream, request.method)
        return Answer(final.status, final.headers, final.body, (100, *final.interim), final.names, final.error)


def status_line(stream: BinaryIO) -> int:
    """The status; 0 when the connection is over. Raises ValueError when it is no answer."""
    line = stream.readline(65536)
    if not line:
        return 0
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError(f"no answer of HTTP: {line!r}")
    return int(rest[:3])


def receive(stream: BinaryIO, method: str, status: int = -1) -> Answer:
    """An answer, read to its end; `status` when its first line was read before. A body that ends early is an `error`,
    and so is no answer."""
    status = status_line(stream) if status < 0 else status
    interim = []
    while 100 <= status < 200:
        http.client.parse_headers(stream)
        interim.append(status)
        status = status_line(stream)
    if not status:
        return Answer(0, {}, b"", tuple(interim), error="no answer")
    fields = http.client.parse_headers(stream)
    headers: dict[str, str] = {}
    for name, value in fields.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    body, error = b"", ""
    if method != "HEAD" and status not in (204, 304):
        body, error = _body(stream, headers)
    return Answer(status, headers, body, tuple(interim), tuple(fields), error)


def _body(stream: BinaryIO, headers: dict[str, str]) -> tuple[bytes, str]:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _chunks(stream)
    if "content-length" not in headers:
        return stream.read(), ""
    length = int(headers["content-length"])
    body = stream.read(length)
    return body, "" if len(body) == length else f"{len(body)} of {length} bytes"


def _chunks(stream: BinaryIO) -> tuple[bytes, str]:
    found = bytearray()
    while line := stream.readline(4096):
        size = int(line.partition(b";")[0], 16)
        data = stream.read(size)
        found += data
        if len(data) != size:
            break
        end = stream.readline(4096)
        if not size:
            while end.strip():
                end = stream.readline(4096)
            return bytes(found), ""
    return bytes(found), "no last chunk"
