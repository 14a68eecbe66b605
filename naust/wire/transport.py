"""HTTP requests to stores: the one client that registries, naust servers and S3's data path share.

It knows HTTP (RFC 9110) and nothing of what is stored. It does not retry (naust.store.retrying does), but tells what
may be retried, Unavailable, from what may not. Credentials are an argument of their own, never part of a URL, and go
to the origin that they are for and nowhere else.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import sys
from base64 import b64encode
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote, urljoin, urlsplit

from common.errors import Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.model import Secret
from naust.store.access import NOTHING, Access
from naust.wire.bodies import Outgoing, Part, Received, broke
from naust.wire.connections import Connection, Connections, Origin, shown
from naust.wire.patience import Busy

__all__ = ["Answer", "Body", "Origin", "Outgoing", "Transport", "basic", "bearer", "part_of", "refusal", "shown"]

Body = bytes | Outgoing | None
Request = Callable[..., AbstractContextManager["Answer"]]  # as Transport.request
SUCCESS = range(200, 300)
LONGEST = 32 << 20  # bytes of an answer that is kept in memory
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-amz-security-token"})
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10
_LEGAL = "%/:?#[]@!$&'()*+,;=~"  # in a URL besides letters, digits, `-`, `.` and `_` (RFC 3986, section 2)
_BUSY = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose head was read. `url` is where it came from in the end, `body` what is still to be read."""

    status: int
    headers: http.client.HTTPMessage
    url: str
    body: Received

    def header(self, name: str) -> str:
        """The header's value, or ''."""
        return self.headers.get(name, "") or ""

    def content(self, at_most: int = LONGEST) -> bytes:
        """The body as bytes. Raises Corrupt if it is longer than `at_most`, Unavailable if it ends early."""
        data = io.BytesIO()
        while chunk := self.body.read(min(1 << 20, at_most + 1 - data.tell())):
            data.write(chunk)
            if data.tell() > at_most:
                raise Corrupt(
                    f"the answer of {shown(self.url)} is longer than {at_most} bytes",
                    resolution="No server of this kind has so much to say: see that the URL is right.",
                )
        return data.getvalue()

    def beginning(self, at_most: int) -> bytes:
        """So many bytes of the body, at most; the rest is not read. Raises Unavailable if it ends early."""
        data = io.BytesIO()
        while chunk := self.body.read(at_most - data.tell()):
            data.write(chunk)
        return data.getvalue()

    def json(self, at_most: int = LONGEST) -> object:
        """The body as JSON. Raises Corrupt if it is none."""
        try:
            return json.loads(self.content(at_most))
        except (ValueError, RecursionError) as error:
            raise Corrupt(
                f"the answer of {shown(self.url)} is no JSON",
                details=str(error)[:200],
                resolution="See that the URL is that of a store, and not of a page or a proxy.",
            ) from error


class Transport:
    """A client. Any number of threads may use one."""

    def __init__(self, access: Access = NOTHING) -> None:
        self._connections = Connections(access.idle, access.ca)

    def close(self) -> None:
        """Close idle connections. It can be used again."""
        self._connections.close()

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        credential: Secret | None = None,
        body: Body = None,
        accept: Container[int] = SUCCESS,
    ) -> Iterator[Answer]:
        """Send a request, follow redirects, and give the answer while the block runs.

        `credential` is the value of the Authorization header; see `bearer` and `basic`. A body that is not bytes is
        sent anew after a redirect only if its source can seek. A status that is not in `accept` raises what
        `refusal` makes of it. Raises Unavailable if there is no answer, Denied for what must not be followed.
        """
        sent = dict(headers or {})
        if credential is not None:
            sent["Authorization"] = credential.value
        answer = self._followed(method, url, sent, body)
        try:
            if answer.status not in accept:
                raise refusal(answer, method, [value for name, value in sent.items() if _is_secret(name)])
            _check_encoding(answer)
            yield answer
        finally:
            answer.body.close()

    @contextmanager
    def part(
        self,
        url: str,
        start: int = 0,
        length: int | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        credential: Secret | None = None,
    ) -> Iterator[BinaryIO]:
        """The bytes of a resource from `start`, `length` of them or all, also from a server that ignores Range
        (RFC 9110, section 14) or reads it in its own way. Behind the end there is nothing.

        Raises NotFound and so on; Unavailable, while it is read, if less comes than should.
        """
        with part_of(partial(self.request, credential=credential), url, start, length, headers) as body:
            yield body

    def _followed(self, method: str, url: str, headers: dict[str, str], body: Body) -> Answer:
        begin = body.source.tell() if isinstance(body, Outgoing) and body.source.seekable() else None
        seen: list[str] = []
        while True:
            answer = self._answer(method, url, headers, body)
            if answer.status not in _REDIRECTS or not answer.header("Location"):
                return answer
            seen.append(url)
            target = urljoin(url, quote(answer.header("Location"), safe=_LEGAL))
            answer.body.close()
            method, body = _after_redirect(answer.status, method, body, begin, url)
            _check_redirect(url, target, seen)
            if Origin.of(target) != Origin.of(url):
                headers = {name: value for name, value in headers.items() if not _is_secret(name)}
            url = target

    def _answer(self, method: str, url: str, headers: Mapping[str, str], body: Body) -> Answer:
        origin = Origin.of(url)
        connection = self._connections.take(origin)
        try:
            return self._exchange(connection, method, url, headers, body)
        except Unavailable:
            # A server may end an idle connection at any time (RFC 9112, section 9.3.1): that is no trouble yet.
            if not connection.reused or not (body is None or isinstance(body, bytes)) or method in ("POST", "PATCH"):
                raise
        return self._exchange(self._connections.take(origin, new=True), method, url, headers, body)

    def _exchange(
        self, connection: Connection, method: str, url: str, headers: Mapping[str, str], body: Body
    ) -> Answer:
        what = f"{method} {shown(url)}"
        try:
            _send(connection, method, url, headers, body)
            response = connection.line.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.line.close()
            raise _unreachable(what, connection.origin, error) from error
        except BaseException:
            connection.line.close()
            raise

        def done(keep: bool) -> None:
            self._connections.give(connection) if keep else connection.line.close()

        return Answer(response.status, response.headers, url, Received(response, what, done))


@contextmanager
def part_of(
    request: Request, url: str, start: int = 0, length: int | None = None, headers: Mapping[str, str] | None = None
) -> Iterator[BinaryIO]:
    """`Transport.part` by another way to send a request."""
    wanted = dict(headers or {})
    whole = start == 0 and length is None
    if not whole:
        wanted["Range"] = f"bytes={start}-{'' if length is None else start + max(length, 1) - 1}"
    with request("GET", url, headers=wanted, accept=(200, 206, 416)) as answer:
        body = answer.body if whole and answer.status == 200 else _positioned(answer, start, length)
        if body is not None:
            yield cast(BinaryIO, body)
            return
    # It does not understand our Range at all; then all of it, and what was not wanted is thrown away.
    with request("GET", url, headers=headers, accept=(200,)) as answer:
        yield cast(BinaryIO, _skipped(answer, start, length))


def bearer(token: Secret) -> Secret:
    """A token as a credential (RFC 6750)."""
    return Secret(f"Bearer {token.value}")


def basic(user: str, password: Secret) -> Secret:
    """User and password as a credential (RFC 7617)."""
    return Secret(f"Basic {b64encode(f'{user}:{password.value}'.encode()).decode()}")


def refusal(answer: Answer, method: str, secrets: list[str] | None = None) -> Error:
    """The error that an answer stands for, with what the server says in its details, but none of the `secrets`.

    401, 403 → Denied; 404, 410 → NotFound; 409, 412 → Conflict; 408, 425, 429, 5xx → Unavailable with `retry_after`;
    everything else → Error.
    """
    what = f"{method} {shown(answer.url)}"
    details = _said(answer, secrets or [])
    if answer.status in (401, 403):
        return Denied(
            f"{what} is not allowed",
            details=details,
            resolution="Give credentials that may do this: token, or user and password, in naust.hcl or by login.",
        )
    if answer.status in (404, 410):
        return NotFound(f"{what} found nothing", details=details, resolution="`naust list` shows what there is.")
    if answer.status in (409, 412):
        return Conflict(f"{what} met another state", details=details, resolution="Look at what is there, then decide.")
    if answer.status in _BUSY:
        kind = Busy if answer.status in (429, 503) else Unavailable
        error = kind(f"{what} is not answered now", details=details, resolution="Try again later.")
        error.retry_after = retry_after(answer.header("Retry-After"))
        return error
    return Error(f"{what} was refused", details=details, resolution="See what the server says above.")


def retry_after(text: str, now: datetime | None = None) -> timedelta | None:
    """How long to wait: seconds or a date (RFC 9110, section 10.2.3); None if it says neither."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return timedelta(seconds=int(text))
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(timedelta(0), (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - (now or datetime.now(UTC)))


@cache
def user_agent() -> str:
    """How naust names itself (RFC 9110, section 10.1.5). Its version is in the name of a folder where it is installed
    (PyPA, "Recording installed projects"); importlib.metadata says the same, but takes as long as several requests."""
    found = (place for folder in sys.path for place in Path(folder).glob("seter-*.dist-info"))
    return f"naust/{place.stem.partition('-')[2]}" if (place := next(found, None)) else "naust"


def _send(connection: Connection, method: str, url: str, headers: Mapping[str, str], body: Body) -> None:
    parts = urlsplit(url)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    if connection.absolute:
        target = f"{connection.origin}{target}"
    line = connection.line
    line.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    own = {"Host": connection.origin.authority, "User-Agent": user_agent(), "Accept-Encoding": "identity"}
    for name, value in ({**own, **connection.headers} | _framing(method, body) | dict(headers)).items():
        line.putheader(name, value)
    if not isinstance(body, Outgoing):
        line.endheaders(body)
        return
    line.endheaders()
    try:
        body.send(connection)
    except (BrokenPipeError, ConnectionResetError):
        # It may have answered before all was sent, and said why.
        return


def _framing(method: str, body: Body) -> dict[str, str]:
    if isinstance(body, Outgoing):
        return {"Transfer-Encoding": "chunked"} if body.size is None else {"Content-Length": str(body.size)}
    if body is None and method in ("GET", "HEAD", "DELETE"):
        return {}
    return {"Content-Length": str(len(body or b""))}


def _after_redirect(status: int, method: str, body: Body, begin: int | None, url: str) -> tuple[str, Body]:
    """Method and body of the request that follows (RFC 9110, section 15.4)."""
    if status == 303 and method != "HEAD":
        return "GET", None
    if status in (301, 302) and method not in ("GET", "HEAD"):
        raise Error(
            f"{method} {shown(url)} is redirected by status {status}, which would make another request of it",
            resolution="Use the address that the server is really at.",
        )
    if isinstance(body, Outgoing):
        if begin is None:
            raise Error(
                f"{method} {shown(url)} is redirected, and what was sent cannot be read twice",
                resolution="Use the address that the server is really at, or send a file.",
            )
        body.source.seek(begin)
    return method, body


def _check_redirect(url: str, target: str, seen: list[str]) -> None:
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise Denied(
            f"{shown(url)} redirects to {shown(target)}, which is not encrypted",
            resolution="Nothing was sent there. Tell whoever runs the server, or use an http:// address on purpose.",
        )
    if target in seen or len(seen) > _MOST_REDIRECTS:
        raise Error(
            f"{shown(seen[0])} redirects in a circle or without an end",
            details=" → ".join(shown(each) for each in [*seen, target][:4]),
            resolution="Tell whoever runs the server, or use the address that it is really at.",
        )


def _check_encoding(answer: Answer) -> None:
    encoding = answer.header("Content-Encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise Error(
            f"{shown(answer.url)} comes encoded as {encoding}, which was not asked for",
            resolution="Turn that off in the server or in the proxy before it.",
        )


def _is_secret(name: str) -> bool:
    return name.lower() in _SECRET_HEADERS


def _positioned(answer: Answer, start: int, length: int | None) -> io.RawIOBase | None:
    """The wanted bytes of an answer to a request with a Range; None if it was not understood."""
    if answer.status == 200:
        return _skipped(answer, start, length)
    given = re.fullmatch(r"bytes (?:([0-9]+)-([0-9]+)|\*)/([0-9]+|\*)", answer.header("Content-Range").strip())
    total = int(given[3]) if given and given[3] != "*" else None
    if answer.status == 416:
        if total is None:
            return None
        if start >= total or length == 0:
            return io.BytesIO()  # type: ignore[return-value]  # what is read from either is the same
        raise broke(shown(answer.url), f"It has {total} bytes by its own word, and nothing at {start}.")
    if not given or given[1] is None or int(given[1]) > start:
        raise broke(shown(answer.url), f"Bytes from {start} were asked for, came {answer.header('Content-Range')!r}.")
    wanted = None if total is None else max(0, total - start)
    wanted = length if wanted is None else min(wanted, wanted if length is None else length)
    what = shown(answer.url)
    return Part(answer.body, what, skip=start - int(given[1]), length=wanted, exact=total is not None)


def _skipped(answer: Answer, start: int, length: int | None) -> io.RawIOBase:
    return Part(answer.body, shown(answer.url), skip=start, length=length, exact=False)


def _said(answer: Answer, secrets: list[str]) -> str:
    """Status and the beginning of what the server says, in one line that a terminal can take."""
    try:
        text = answer.body.read(2048).decode("utf-8", "replace") if answer.body.left != 0 else ""
    except Unavailable:
        text = ""
    for secret in secrets:
        for each in {secret, secret.partition(" ")[2]} - {""}:
            text = text.replace(each, "***")
    plain = "".join(mark if mark.isprintable() else " " for mark in " ".join(text.split()))
    return f"{answer.status} {http.client.responses.get(answer.status, '')}: {plain[:500]}".rstrip(": ")


def _unreachable(what: str, origin: Origin, error: Exception) -> Error:
    if type(error).__name__ == "SSLCertVerificationError":  # by its name, so that plain HTTP need not load ssl
        return Error(
            f"the certificate of {origin} is not trusted",
            details=str(error),
            resolution="Name the certificates to trust as `ca` of the store in naust.hcl, if you are sure of them.",
        )
    if isinstance(error, ConnectionRefusedError) or type(error).__name__ == "gaierror":
        return Unavailable(
            f"{origin} cannot be reached", details=str(error), resolution="See that the address is right and it runs."
        )
    return broke(what, error)
