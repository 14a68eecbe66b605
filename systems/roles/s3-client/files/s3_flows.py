"""Uploads and downloads that take their time: what a drain or another change of routes must not break.

Each is one request on a connection of its own, a few KiB ten times a second, and is compared with what was sent.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from s3_round_trip import ensure_bucket
from s3_service import PORT, Service

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BUCKET, KEY = "flows", "content"
PIECE = 4096  # bytes that each moves at a time
PAUSE = 0.1  # seconds between two pieces
RECEIVED = 4096  # bytes of the receive buffer: what is read slowly is to wait at the sender, in flight
SILENCE = 20.0  # seconds without a byte, after which a transfer counts as broken


@dataclass(frozen=True, slots=True)
class Broken:
    """A transfer that failed: when it began and how long it went well, in seconds."""

    kind: str
    vip: str
    began: float
    seconds: float
    error: str


@dataclass(slots=True)
class Tally:
    """What became of the transfers; written by many threads."""

    whole: int = 0
    broken: list[Broken] = field(default_factory=list)
    longest_gap: float = 0.0  # seconds in which a download got nothing
    lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self) -> dict[str, Any]:
        """For people and programs."""
        broken = [asdict(one) for one in sorted(self.broken, key=lambda one: one.began)]
        gap = round(self.longest_gap, 3)
        return {"transfers": self.whole + len(broken), "broken": len(broken), "longest_gap": gap, "failures": broken}


class Transfers:
    """One object that is read, and one for each upload. `seconds` is how long a transfer takes."""

    def __init__(self, service: Service, seconds: float) -> None:
        self._service, self._tls, self._client = service, service.tls(), service.client(attempts=3)
        self._content = os.urandom(PIECE * max(1, int(seconds / PAUSE)))
        self._digest = hashlib.md5(self._content, usedforsecurity=False).hexdigest()

    def prepare(self) -> None:
        """Store what is read. Raises botocore's errors and OSError."""
        ensure_bucket(self._client, BUCKET)
        self._client.put_object(Bucket=BUCKET, Key=KEY, Body=self._content)

    def upload(self, vip: str, number: int) -> float:
        """Raises OSError, http.client.HTTPException, or ValueError for a wrong answer."""
        path = _path(self._client, "put_object", f"upload-{number}")
        with self._connected(vip) as connection:
            connection.putrequest("PUT", path)
            connection.putheader("Content-Length", str(len(self._content)))
            connection.endheaders()
            for piece in _pieces(self._content):
                connection.send(piece)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200 or answer.headers["ETag"].strip('"') != self._digest:
                raise ValueError(f"answer {answer.status}, or another content")
        return 0.0

    def download(self, vip: str, number: int) -> float:
        """The same; returns the longest time without a byte, in seconds."""
        with self._connected(vip) as connection:
            connection.request("GET", _path(self._client, "get_object", KEY))
            answer = connection.getresponse()
            found, gap = hashlib.md5(usedforsecurity=False), 0.0
            for piece in _pieces(self._content):
                asked = time.monotonic()
                found.update(answer.read(len(piece)))
                gap = max(gap, time.monotonic() - asked)
            if answer.status != 200 or found.hexdigest() != self._digest:
                raise ValueError(f"answer {answer.status}, or another content")
        return gap

    def _connected(self, vip: str) -> _Connection:
        plain = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
        plain.settimeout(SILENCE)
        plain.connect((vip, PORT))
        connection = _Connection(self._service.dns_name)
        connection.sock = plain
        connection.sock = self._tls.wrap_socket(plain, server_hostname=self._service.dns_name)
        return connection


class _Connection(http.client.HTTPConnection):
    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _path(client: S3Client, action: str, key: str) -> str:
    url = client.generate_presigned_url(action, Params={"Bucket": BUCKET, "Key": key})
    return "/" + url.split("/", 3)[3]


def _pieces(content: bytes) -> Iterator[bytes]:
    """In time, whatever each of them takes."""
    start = time.monotonic()
    for number, at in enumerate(range(0, len(content), PIECE)):
        time.sleep(max(0.0, start + number * PAUSE - time.monotonic()))
        yield content[at : at + PIECE]


def flows(
    transfers: Transfers, vips: tuple[str, ...], count: int, seconds: float, each: float, ending: threading.Event
) -> dict[str, Any]:
    """Keep `count` transfers going for `seconds`, or until `ending` is set, half of them uploads, over the virtual IPs
    in turn; none begins that would take longer, and those that have begun end."""
    tally, start, numbers = Tally(), time.monotonic(), itertools.count()

    def go(kind: str, vip: str, act: Callable[[str, int], float]) -> None:
        _one(tally, start, kind, vip, lambda: act(vip, next(numbers)))
        while time.monotonic() - start <= seconds - each and not ending.is_set():
            _one(tally, start, kind, vip, lambda: act(vip, next(numbers)))

    threads = []
    for number in range(count):
        kind, act = (("upload", transfers.upload), ("download", transfers.download))[number // len(vips) % 2]
        threads.append(threading.Thread(target=go, args=(kind, vips[number % len(vips)], act)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"vips": list(vips), **tally.report()}


def _one(tally: Tally, start: float, kind: str, vip: str, act: Callable[[], float]) -> None:
    began = time.monotonic()
    try:
        gap = act()
    except (OSError, http.client.HTTPException, ValueError) as fault:
        taken, error = time.monotonic() - began, f"{type(fault).__name__}: {fault}"
        with tally.lock:
            tally.broken.append(Broken(kind, vip, round(began - start, 3), round(taken, 3), error))
        time.sleep(PAUSE)
    else:
        with tally.lock:
            tally.whole += 1
            tally.longest_gap = max(tally.longest_gap, gap)


def as_text(found: dict[str, Any]) -> str:
    """The report for people: one line, and one for each failure."""
    lines = [f"{found['transfers']} transfers, {found['broken']} broken, longest gap {found['longest_gap']} s"]
    lines += [
        f"  {one['kind']} over {one['vip']} after {one['seconds']} s: {one['error']}" for one in found["failures"]
    ]
    return "\n".join(lines)


def as_json(found: dict[str, Any]) -> str:
    """The report on one line."""
    return json.dumps(found)
