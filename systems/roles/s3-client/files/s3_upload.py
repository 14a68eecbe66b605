"""One upload in parts that lasts as long as somebody waits for it: what a change of the service must not break.

Each part takes its time, on a connection of its own, and is tried once; the last ones go as fast as they can. Who waits
touches a file now and then, and removes it when it has seen enough.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from s3_round_trip import BLOCK, Pattern, ensure_bucket
from s3_service import PORT, Service, resolved

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

BUCKET = "uploads"
PART = 5 * 1024 * 1024  # bytes, the least that S3 takes (Amazon S3 user guide, "Multipart upload limits")
SECONDS = 8.0  # that a part takes
PIECE = 32 * 1024  # bytes that are sent at a time
STALE = 40.0  # seconds after which a file that nobody touches says that nobody waits
SILENCE = 20.0  # seconds without an answer, after which a part is broken


class Watched:
    """The file of who waits."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def age(self) -> float | None:
        """Seconds since it was touched; None when it is gone."""
        try:
            return time.time() - self._path.stat().st_mtime
        except FileNotFoundError:
            return None

    def lasts(self) -> bool:
        """Somebody waits. Raises OSError when whoever did is gone without a word."""
        age = self.age()
        if age is not None and age > STALE:
            raise OSError(f"nobody has touched {self._path} for {age:.0f} s")
        return age is not None


def upload(service: Service, vip: str, path: str) -> dict[str, Any]:
    """Upload while the file lasts, then read and compare. Never raises because the service is bad: `ok` is false."""
    report: dict[str, Any] = {"ok": False, "parts": 0, "vip": vip}
    started = time.monotonic()
    try:
        with resolved(service.dns_name, vip):
            _upload(service, vip, Watched(path), report)
    except (ClientError, BotoCoreError, OSError, http.client.HTTPException, ValueError) as fault:
        report["error"] = f"part {report['parts'] + 1} after {time.monotonic() - started:.1f} s: {fault or type(fault)}"
    report["seconds"] = round(time.monotonic() - started, 3)
    return report


def _upload(service: Service, vip: str, watched: Watched, report: dict[str, Any]) -> None:
    client, key = service.client(timeout=SILENCE, attempts=1), f"upload-{os.getpid()}-{time.time_ns()}"
    ensure_bucket(client, BUCKET)
    number = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    sent = hashlib.sha256()
    tags: list[dict[str, Any]] = []
    try:
        while True:
            last = not watched.lasts()
            part = io.BufferedReader(Pattern(PART)).read()
            sent.update(part)
            where = {"Bucket": BUCKET, "Key": key, "UploadId": number, "PartNumber": len(tags) + 1}
            url = client.generate_presigned_url("upload_part", Params=where)
            tags.append({"PartNumber": len(tags) + 1, "ETag": _send(service, vip, url, part, watched)})
            report["parts"] = len(tags)
            print(f"part {len(tags)}", file=sys.stderr, flush=True)
            if last:
                break
        parts: Any = {"Parts": tags}
        client.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=number, MultipartUpload=parts)
        if _digest(client, key) != sent.hexdigest():
            raise ValueError("what came back is not what was sent")
        report["ok"] = True
    finally:
        _clean(client, key, number, done=report["ok"])


def _send(service: Service, vip: str, url: str, part: bytes, watched: Watched) -> str:
    """One part on a connection of its own, slowly while somebody waits; its tag. Raises OSError, ValueError."""
    plain = socket.create_connection((vip, PORT), timeout=SILENCE)
    connection = http.client.HTTPConnection(service.dns_name)
    try:
        connection.sock = service.tls().wrap_socket(plain, server_hostname=service.dns_name)
        connection.putrequest("PUT", "/" + url.split("/", 3)[3])
        connection.putheader("Content-Length", str(len(part)))
        connection.putheader("Connection", "close")
        connection.endheaders()
        pause = SECONDS * PIECE / len(part)
        for at in range(0, len(part), PIECE):
            connection.send(part[at : at + PIECE])
            if watched.lasts():
                time.sleep(pause)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise ValueError(f"answer {answer.status}")
        return str(answer.headers["ETag"])
    finally:
        connection.close()


def _digest(client: S3Client, key: str) -> str:
    digest = hashlib.sha256()
    for data in client.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(BLOCK):
        digest.update(data)
    return digest.hexdigest()


def _clean(client: S3Client, key: str, number: str, *, done: bool) -> None:
    """Nothing of it stays, as far as the service lets us."""
    try:
        if done:
            client.delete_object(Bucket=BUCKET, Key=key)
        else:
            client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=number)
    except (ClientError, BotoCoreError, OSError) as fault:
        print(f"s3-client: what is left of {key} stays: {fault}", file=sys.stderr)
