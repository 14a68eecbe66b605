"""A proxy that misbehaves on purpose, in front of any real HTTP server.

    with FaultProxy("127.0.0.1:5000") as proxy:          # upstream HOST:PORT, plain HTTP
        proxy.add(Fault(cut_answer=1000))                # the next request: the answer ends after 1000 bytes of body
        proxy.add(Fault(status=429, headers={"Retry-After": "2"}, times=3, when=is_("GET", "/blobs/")))
        store = open_at(f"http://{proxy.address}")       # clients talk to the proxy
        ...
        assert proxy.up < 1.15 * size                    # bytes of request bodies that clients sent
        assert "authorization" not in proxy.seen[-1].headers

Without a fault a request passes unchanged: same Host header (so S3 signatures hold), same body, same answer. Faults are
tried in the order in which they were added; the first that fits a request and is not used up is applied, one a request.

What a Fault can do (each None or empty by default; they may be combined where that makes sense):
    cut_request=N      take N bytes of the request's body, pass them on, then drop both connections
    cut_answer=N       pass on N bytes of the answer's body, then drop the connection
    lost=True          the server gets the request and does what it asks; of its answer the client hears nothing
    silent_request=N   take N bytes of the request's body, pass them on, then keep the line open and say nothing
    silent_answer=N    pass on N bytes of the answer's body, then keep the line open and say nothing
    status=N           do not ask the server: answer with this status, `headers` and `body`
    headers={...}      headers of the answer, put over those of the server; a value of None takes one away
    without=("Range",) take these headers out of the request before the server sees it
    flip=N             the byte at N of the answer's body has one bit changed
    reset=True         connections are dropped by RST instead of FIN
    chance=0.2         it strikes only so often (a fixed seed; `FaultProxy(seed=…)`)
    times=N            how many requests it strikes, 1 by default; None for all
    when=test          which requests: a function of Seen; see `is_`
With `certificate` and `key` the proxy speaks TLS to its clients. `answering` is a server of its own,
 `storm` a set of faults.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

PIECE = 1 << 16


@dataclass
class Seen:
    """A request as it came, headers in lower case; `status` is what was answered, 0 for nothing."""

    method: str
    target: str
    headers: dict[str, str]
    up: int = 0
    down: int = 0
    status: int = 0
    fault: Fault | None = None


def is_(method: str = "", part: str = "") -> Callable[[Seen], bool]:
    """Whether a request has this method and this text in its path or query."""
    return lambda seen: method in ("", seen.method) and part in seen.target


@dataclass
class Fault:
    """See above."""

    cut_request: int | None = None
    cut_answer: int | None = None
    lost: bool = False
    silent_request: int | None = None
    silent_answer: int | None = None
    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes = b""
    without: tuple[str, ...] = ()
    flip: int | None = None
    reset: bool = False
    chance: float = 1.0
    times: int | None = 1
    when: Callable[[Seen], bool] = lambda seen: True
    used: int = 0


class _Dropped(Exception):
    """The connection ends here."""


class FaultProxy:
    """See the module. A context manager; threads end with it."""

    def __init__(
        self, upstream: str = "", *, seed: int = 1, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self.upstream = upstream
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.closing = threading.Event()
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate, key)
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def setup(self) -> None:
                self.request.settimeout(60)
                if proxy._tls:
                    self.request = proxy._tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                with contextlib.suppress(_Dropped, OSError, http.client.HTTPException):
                    while proxy._one(self.request, self.rfile):
                        pass

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that goes away, or that does not like our certificate, is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def add(self, *faults: Fault) -> None:
        """More faults, behind those that are there."""
        with self._lock:
            self.faults.extend(faults)

    def clear(self) -> None:
        """No more faults, nothing seen."""
        with self._lock:
            self.faults.clear()
            self.seen.clear()

    @property
    def up(self) -> int:
        """Bytes of request bodies that came in."""
        return sum(each.up for each in self.seen)

    @property
    def down(self) -> int:
        """Bytes of answers' bodies that went out."""
        return sum(each.down for each in self.seen)

    @property
    def struck(self) -> int:
        """How often a fault was applied."""
        return sum(each.fault is not None for each in self.seen)

    def _one(self, client: socket.socket, lines: BinaryIO) -> bool:
        """One request; whether another one may follow on this connection."""
        seen = _head(lines)
        if seen is None:
            return False
        with self._lock:
            self.seen.append(seen)
            seen.fault = self._fault(seen)
        fault = seen.fault or Fault()
        if seen.headers.pop("expect", "").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fault.status is not None:
            return self._answered(client, lines, seen, fault)
        upstream = http.client.HTTPConnection(self.upstream, timeout=60)
        try:
            self._pass_on(client, lines, seen, fault, upstream)
            return self._pass_back(client, seen, fault, upstream)
        finally:
            upstream.close()

    def _fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            fits = (fault.times is None or fault.used < fault.times) and fault.when(seen)
            if fits and self._random.random() < fault.chance:
                fault.used += 1
                return fault
        return None

    def _pass_on(
        self, client: socket.socket, lines: BinaryIO, seen: Seen, fault: Fault, upstream: http.client.HTTPConnection
    ) -> None:
        upstream.putrequest(seen.method, seen.target, skip_host=True, skip_accept_encoding=True)
        dropped = {"connection", *(name.lower() for name in fault.without)}
        for name, value in seen.headers.items():
            if name not in dropped:
                upstream.putheader(name, value)
        upstream.endheaders()
        chunked = "chunked" in seen.headers.get("transfer-encoding", "").lower()
        stop = fault.cut_request if fault.cut_request is not None else fault.silent_request
        for piece in _body(lines, seen.headers):
            if stop is not None and seen.up + len(piece) >= stop:
                piece = piece[: stop - seen.up]
                self._feed(upstream, piece, chunked, seen)
                self._end(client, fault, silent=fault.silent_request is not None)
            self._feed(upstream, piece, chunked, seen)
        if chunked:
            upstream.send(b"0\r\n\r\n")

    def _feed(self, upstream: http.client.HTTPConnection, piece: bytes, chunked: bool, seen: Seen) -> None:
        if piece:
            upstream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        seen.up += len(piece)

    def _pass_back(self, client: socket.socket, seen: Seen, fault: Fault, upstream: http.client.HTTPConnection) -> bool:
        answer = upstream.getresponse()
        seen.status = answer.status
        if fault.lost:
            self._end(client, fault, silent=False)
        headers: list[tuple[str, str]] = [
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "keep-alive")
        ]
        sized = answer.length is not None or seen.method == "HEAD" or answer.status in (204, 304)
        _send_head(client, answer.status, answer.reason, _changed(headers, fault), close=not sized)
        stop = fault.cut_answer if fault.cut_answer is not None else fault.silent_answer
        while piece := answer.read(PIECE):
            if fault.flip is not None and seen.down <= fault.flip < seen.down + len(piece):
                changed = bytearray(piece)
                changed[fault.flip - seen.down] ^= 1
                piece = bytes(changed)
            if stop is not None and seen.down + len(piece) >= stop:
                client.sendall(piece[: stop - seen.down])
                seen.down = stop
                self._end(client, fault, silent=fault.silent_answer is not None)
            client.sendall(piece)
            seen.down += len(piece)
        return sized and not fault.headers

    def _answered(self, client: socket.socket, lines: BinaryIO, seen: Seen, fault: Fault) -> bool:
        for piece in _body(lines, seen.headers):
            seen.up += len(piece)
        seen.status = fault.status or 0
        _send_head(client, seen.status, "", _changed([("Content-Length", str(len(fault.body)))], fault), close=False)
        if seen.method != "HEAD":
            client.sendall(fault.body)
            seen.down += len(fault.body)
        return True

    def _end(self, client: socket.socket, fault: Fault, *, silent: bool) -> None:
        if silent:
            client.settimeout(0.1)
            while not self.closing.is_set():
                with contextlib.suppress(TimeoutError):
                    if not client.recv(PIECE):
                        break
        if fault.reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        client.close()
        raise _Dropped


def answering(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> FaultProxy:
    """A server without anything behind it that gives this answer to everybody, and remembers what it was asked."""
    proxy = FaultProxy()
    proxy.add(Fault(status=status, headers=dict(headers or {}), body=body, times=None))
    return proxy


def storm(slow: float = 0.2, broken: float = 0.05, *, body: bytes = b"", after: int = 1000) -> tuple[Fault, ...]:
    """503 for a share of the requests, and a break in the middle of the body for another."""
    return (
        Fault(status=503, body=body, chance=slow, times=None),
        Fault(cut_answer=after, chance=broken / 2, times=None, when=is_("GET")),
        Fault(cut_request=after, chance=broken, times=None, when=lambda seen: seen.method in ("PUT", "PATCH", "POST")),
    )


def _head(lines: BinaryIO) -> Seen | None:
    first = lines.readline(PIECE).decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while (line := lines.readline(PIECE).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Seen(first[0], first[1], headers)


def _body(lines: BinaryIO, headers: Mapping[str, str]) -> Iterator[bytes]:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int(lines.readline(PIECE).split(b";")[0], 16):
            yield from _exactly(lines, size)
            lines.readline(PIECE)
        lines.readline(PIECE)
        return
    yield from _exactly(lines, int(headers.get("content-length", "0")))


def _exactly(lines: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = lines.read1(min(size, PIECE))  # type: ignore[attr-defined]
        if not piece:
            raise _Dropped
        size -= len(piece)
        yield piece


def _changed(headers: list[tuple[str, str]], fault: Fault) -> list[tuple[str, str]]:
    over = {name.lower() for name in fault.headers}
    kept = [(name, value) for name, value in headers if name.lower() not in over]
    return kept + [(name, value) for name, value in fault.headers.items() if value is not None]


def _send_head(client: socket.socket, status: int, reason: str, headers: list[tuple[str, str]], *, close: bool) -> None:
    lines = [f"HTTP/1.1 {status} {reason or http.client.responses.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += ["Connection: close"] if close else []
    client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
