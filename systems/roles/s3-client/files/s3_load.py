"""Open-loop load: requests start when they are due, whether or not earlier ones have ended, each by a new connection.

A closed loop waits for a stalled answer and then counts one failure where customers would have had a hundred.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from s3_round_trip import ensure_bucket
from s3_service import PORT, REGION, Service

TIMEOUT = 2.0  # seconds for a whole request: connection, TLS, answer
SIZE = 1024  # bytes of the object that is read
BUCKET = "load"
KEY = "one-kibibyte"


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed: when it was due and how long it was in the making, seconds since the load's start."""

    planned: float
    seconds: float
    vip: str
    error: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that was answered rightly, with its seconds since it was due."""

    planned: float
    seconds: float


def prepare(service: Service) -> bytes:
    """Store the object that the load reads; returns its content. Raises botocore's errors and OSError."""
    client, content = service.client(attempts=3), os.urandom(SIZE)
    ensure_bucket(client, BUCKET)
    client.put_object(Bucket=BUCKET, Key=KEY, Body=content)
    return content


class Getter:
    """GETs the object with a signature of Signature Version 4, by a new connection each time."""

    def __init__(self, service: Service, content: bytes) -> None:
        self._service, self._content = service, content
        self._tls = service.tls()
        self._signer = S3SigV4Auth(Credentials(*service.keys()), "s3", REGION)

    def get(self, vip: str) -> None:
        """Raises OSError, http.client.HTTPException, or ValueError for a wrong answer."""
        deadline = time.monotonic() + TIMEOUT
        headers = self._headers()
        with socket.create_connection((vip, PORT), timeout=TIMEOUT) as plain:
            plain.settimeout(_left(deadline))
            with self._tls.wrap_socket(plain, server_hostname=self._service.dns_name) as secure:
                secure.settimeout(_left(deadline))
                self._ask(secure, headers)

    def _ask(self, secure: ssl.SSLSocket, headers: dict[str, str]) -> None:
        connection = http.client.HTTPConnection(self._service.dns_name)
        connection.sock = secure
        connection.request("GET", f"/{BUCKET}/{KEY}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or body != self._content:
            raise ValueError(f"answer {answer.status} with {len(body)} bytes")

    def _headers(self) -> dict[str, str]:
        request = AWSRequest("GET", f"https://{self._service.dns_name}/{BUCKET}/{KEY}")
        self._signer.add_auth(request)
        # After signing: a proxy removes this header (RFC 9110, 7.6.1), and a signature that covers it would not hold.
        return {**dict(request.headers.items()), "Connection": "close"}


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"no answer within {TIMEOUT:g} s")
    return left


class Log:
    """What became of the requests; written by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: list[Answer] = []
        self.failures: list[Failure] = []

    def add(self, entry: Answer | Failure) -> None:
        """One request ended."""
        with self._lock:
            if isinstance(entry, Answer):
                self.answers.append(entry)
            else:
                self.failures.append(entry)


def load(get: Callable[[str], None], vips: tuple[str, ...], seconds: float, rate: float) -> dict[str, Any]:
    """`rate` requests a second for `seconds`, over the virtual IPs in turn; the report of `report`."""
    log, started_at, start = Log(), time.time(), time.monotonic()
    # Room for every request that can be under way at once, so that no request waits for a thread.
    with ThreadPoolExecutor(max_workers=int(rate * (TIMEOUT + 1)) + 8) as threads:
        for number in range(int(seconds * rate)):
            due = start + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            threads.submit(_one, get, vips[number % len(vips)], start, due, log)
    return {"started_at": started_at, "vips": list(vips), "rate": rate, **report(log)}


def _one(get: Callable[[str], None], vip: str, start: float, due: float, log: Log) -> None:
    planned = round(due - start, 4)
    try:
        get(vip)
    except (OSError, http.client.HTTPException, ValueError) as fault:
        seconds = round(time.monotonic() - due, 4)
        log.add(Failure(planned, seconds, vip, f"{type(fault).__name__}: {fault}"))
    else:
        log.add(Answer(planned, round(time.monotonic() - due, 4)))


def report(log: Log) -> dict[str, Any]:
    """Counts, when the first and last failing requests were due (seconds since the start), latencies, all failures."""
    failures = sorted(log.failures, key=lambda failure: failure.planned)
    latencies = sorted(answer.seconds for answer in log.answers)
    return {
        "requests": len(latencies) + len(failures),
        "failed": len(failures),
        "first_failure": failures[0].planned if failures else None,
        "last_failure": failures[-1].planned if failures else None,
        "median_seconds": latencies[len(latencies) // 2] if latencies else None,
        "worst_seconds": latencies[-1] if latencies else None,
        "failures": [asdict(failure) for failure in failures],
    }


def as_text(found: dict[str, Any]) -> str:
    """The report for people: one line, and one for each failure."""
    lines = [f"{found['requests']} requests, {found['failed']} failed, worst {found['worst_seconds']} s"]
    lines += [f"  at {one['planned']} s over {one['vip']}: {one['error']}" for one in found["failures"]]
    return "\n".join(lines)


def as_json(found: dict[str, Any]) -> str:
    """The report on one line."""
    return json.dumps(found)
