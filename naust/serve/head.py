"""Requests as they come: the head of an HTTP/1.1 message, read strictly (RFC 9112). Whatever two programs could
understand in two ways is refused, because that is how requests are smuggled past a proxy. Nothing here does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

LONGEST_HEAD = 32 << 10  # bytes
MOST_FIELDS = 100
LONGEST_TARGET = 8 << 10
END = b"\r\n\r\n"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_VERSION = re.compile(r"HTTP/([0-9])\.([0-9])")
_LENGTH = re.compile(r"[0-9]{1,18}")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
# What must not come twice: the second would be understood by some programs and the first by others.
_ONCE = ("host", "content-length", "transfer-encoding", "content-range", "content-type", "authorization", "range",
         "expect", "if-match", "if-none-match", "if-range")  # fmt: skip


class Refused(Exception):
    """A request that is not answered as it stands. `status` is HTTP's; the connection ends with it. `who` asked, if
    that was known."""

    who = "-"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. Header names are lower case; `path` is decoded and begins with a slash; `length` is
    that of the body, None if it comes in chunks."""

    method: str
    path: str
    query: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    length: int | None
    persistent: bool  # the connection may be used again
    modern: bool = True  # HTTP/1.1

    def asked(self, name: str) -> str:
        """The first value of a query parameter, or ''."""
        return self.query.get(name, ("",))[0]

    def header(self, name: str) -> str:
        """The value of a header field, or ''."""
        return self.headers.get(name, "")

    @property
    def has_body(self) -> bool:
        """Whether bytes follow the head."""
        return self.length != 0


def parse(data: bytes) -> Head:
    """Read a head, its last empty line included. Raises Refused."""
    if not data.endswith(END):
        raise Refused(400, "the request ends within its head")
    line, *fields = data[: -len(END)].decode("latin-1").split("\r\n")
    method, target, modern = _request_line(line)
    headers = _fields(fields)
    if modern and "host" not in headers:
        raise Refused(400, "the request names no host")
    if headers.get("host") and not _HOST.fullmatch(headers["host"]):
        raise Refused(400, "the request names an impossible host")
    path, query = _target(target)
    length = _length(headers, modern)
    persistent = modern and "close" not in _listed(headers.get("connection", ""))
    return Head(method, path, query, headers, length, persistent, modern)


def _request_line(line: str) -> tuple[str, str, bool]:
    words = line.split(" ")
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]):
        raise Refused(400, "the request line is malformed")
    version = _VERSION.fullmatch(words[2])
    if version is None:
        raise Refused(400, "the request line is malformed")
    if version[1] != "1":
        raise Refused(505, "only HTTP/1.1 is spoken here")
    if words[0] not in _METHODS:
        raise Refused(501, "there is no such method")
    if len(words[1]) > LONGEST_TARGET:
        raise Refused(414, f"the path is longer than {LONGEST_TARGET} bytes")
    return words[0], words[1], version[2] != "0"


def _fields(lines: list[str]) -> dict[str, str]:
    if len(lines) > MOST_FIELDS:
        raise Refused(431, f"there are more than {MOST_FIELDS} header fields")
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        # A space before the colon, or a line that continues another one, hides a field from some programs.
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise Refused(400, "a header field is malformed")
        key, text = name.lower(), value.strip(" \t")
        if key in found and key in _ONCE:
            raise Refused(400, f"the header field {key} comes twice")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _target(target: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    if target.startswith(("http://", "https://")):  # absolute form (RFC 9112, 3.2.2)
        target = re.sub(r"^https?://[^/?]*", "", target) or "/"
    if not target.startswith("/") or not target.isascii() or not target.isprintable() or "#" in target:
        raise Refused(400, "the path is malformed")
    raw, _, query = target.partition("?")
    path = _decoded(raw)
    if any(part in (".", "..") for part in path.split("/")):
        raise Refused(400, "the path leads elsewhere")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=50)
    except (ValueError, UnicodeDecodeError):
        raise Refused(400, "the query is malformed") from None
    found: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        found[key] = (*found.get(key, ()), value)
    return path, found


def _decoded(raw: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", raw):
        raise Refused(400, "the path is malformed")
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Refused(400, "the path is not UTF-8") from None
    if not path.isprintable() or "\\" in path:
        raise Refused(400, "the path has characters that no name has")
    return path


def _length(headers: Mapping[str, str], modern: bool) -> int | None:
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None or not modern:
            raise Refused(400, "the length of the body is stated in two ways")
        if coding.lower() != "chunked":
            raise Refused(501, "the only transfer coding here is chunked")
        return None
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise Refused(400, "the length of the body is no number")
    return int(length)


def _listed(value: str) -> list[str]:
    return [each.strip().lower() for each in value.split(",")]


def accepts_pages(head: Head) -> bool:
    """Whether it is a browser that asks, rather than a program."""
    return any(each.partition(";")[0] == "text/html" for each in _listed(head.header("accept")))


def host_of(head: Head) -> str:
    """The host that was asked, with its port."""
    return head.header("host") or "localhost"


def without_secrets(path: str) -> str:
    """The path as it may be logged: without a query, printable, of bounded length."""
    return urlsplit(path).path[:512]
