"""What is answered, and how it is sent: bytes, a stream, or a part of a file that the kernel sends by itself."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO

from naust.serve.connection import SILENCE, Connection, Gone, Pace, buffer

JSON = "application/json"
LINES = "application/x-ndjson"
BYTES = "application/octet-stream"
_AT_ONCE = 16 << 20  # bytes that the kernel is told to send


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an open file; whoever sends the answer closes it."""

    file: BinaryIO
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. One of `body`, `part` and `stream` is what it consists of."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    part: Part | None = None
    stream: Iterator[bytes] | None = None

    def having(self, **headers: str) -> Answer:
        """The same with more header fields; underscores stand for dashes."""
        return replace(self, headers={**self.headers, **{key.replace("_", "-"): v for key, v in headers.items()}})

    def close(self) -> None:
        """Give up what it holds."""
        if self.part is not None:
            self.part.file.close()


def as_json(document: object, status: int = 200, media_type: str = JSON, **headers: str) -> Answer:
    """An answer in JSON; of header names, underscores stand for dashes."""
    return Answer(status, {"Content-Type": media_type}, json.dumps(document).encode() + b"\n").having(**headers)


def problem(status: int, code: str, message: str, todo: str = "", details: object = None) -> Answer:
    """An error as OCI has it (distribution specification 1.1, "Error codes"), and what to do next."""
    text = f"{message}. {todo}" if todo else message
    entry: dict[str, object] = {"code": code, "message": text}
    return as_json({"errors": [entry | ({"detail": details} if details else {})]}, status)


def send(connection: Connection, answer: Answer, *, bare: bool, last: bool, modern: bool) -> int:
    """Send it; `bare` is without its body (HEAD), `last` says that the connection ends, `modern` that the client knows
    chunked coding. Returns the bytes of the body that went out. Raises Gone."""
    try:
        head, chunked = _head(answer, last=last, modern=modern)
        before = connection.sent
        if bare or (answer.part is None and answer.stream is None):
            connection.send(head if bare else head + answer.body)
        elif answer.part is not None:
            connection.send(head)
            _send_part(connection, answer.part)
        else:
            connection.send(head)
            _send_stream(connection, answer.stream or iter(()), chunked)
        return connection.sent - before - len(head)
    finally:
        answer.close()


def _head(answer: Answer, *, last: bool, modern: bool) -> tuple[bytes, bool]:
    chunked = False
    fields = dict(answer.headers)
    if answer.stream is not None:
        chunked = modern
        fields |= {"Transfer-Encoding": "chunked"} if modern else {}
    elif answer.status not in (204, 304):
        length = answer.part.length if answer.part else len(answer.body)
        fields.setdefault("Content-Length", str(length))
    if last or (answer.stream is not None and not modern):
        fields["Connection"] = "close"
    fields |= {"Date": formatdate(usegmt=True), "X-Content-Type-Options": "nosniff"}
    reason = HTTPStatus(answer.status).phrase
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {_safe(value)}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"), chunked


def _safe(value: str) -> str:
    """Without line ends: a value can hold what somebody else stored."""
    return value if value.isprintable() else "".join(each if each.isprintable() else "?" for each in value)


def _send_part(connection: Connection, part: Part) -> None:
    pace, done = Pace(lambda: connection.sent), 0
    send_some = _read_and_send if connection.secure else _let_the_kernel_send
    while done < part.length:
        sent = send_some(connection, part, done)
        if not sent:
            raise Gone("the file is shorter than it was")
        done += sent
        pace.check()


def _let_the_kernel_send(connection: Connection, part: Part, done: int) -> int:
    sock = connection.sock
    try:
        while True:
            try:
                sent = os.sendfile(
                    sock.fileno(), part.file.fileno(), part.start + done, min(part.length - done, _AT_ONCE)
                )
            except BlockingIOError:  # a socket with a time limit never blocks by itself
                _wait_for_room(sock)
            else:
                connection.sent += sent
                return sent
    except OSError as error:
        raise Gone(str(error)) from error


def _wait_for_room(sock: socket.socket) -> None:
    waiting = select.poll()
    waiting.register(sock, select.POLLOUT)
    if not waiting.poll(SILENCE * 1000):
        raise Gone("the client takes nothing")


def _read_and_send(connection: Connection, part: Part, done: int) -> int:
    view = buffer()[: part.length - done]
    count = os.preadv(part.file.fileno(), [view], part.start + done)
    connection.send(view[:count])
    return count


def _send_stream(connection: Connection, stream: Iterator[bytes], chunked: bool) -> None:
    for piece in stream:
        if piece:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
    if chunked:
        connection.send(b"0\r\n\r\n")


def gathered(lines: Iterator[bytes], size: int = 64 << 10) -> Iterator[bytes]:
    """Small pieces as larger ones."""
    found: list[bytes] = []
    count = 0
    for line in lines:
        found.append(line)
        count += len(line)
        if count >= size:
            yield b"".join(found)
            found, count = [], 0
    if found:
        yield b"".join(found)


def link(url: str, query: Sequence[tuple[str, str]]) -> str:
    """The Link field that leads to the next page (RFC 5988, as the distribution specification has it)."""
    from urllib.parse import urlencode

    return f'<{url}?{urlencode(query)}>; rel="next"'


def closed_quietly(answer: Answer | None) -> None:
    """Give up an answer that nobody gets."""
    with suppress(OSError):
        answer.close() if answer is not None else None
