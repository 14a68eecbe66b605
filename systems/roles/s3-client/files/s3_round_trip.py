"""Put an object, get it, compare, delete: what a customer relies on."""

from __future__ import annotations

import hashlib
import io
import os
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from s3_service import Service

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from mypy_boto3_s3.client import S3Client

MULTIPART_FROM = 16 * 1024 * 1024  # bytes; smaller objects are one request
PART = 8 * 1024 * 1024  # bytes
BLOCK = 64 * 1024  # bytes
BUCKET = "round-trip"

TRANSFER = TransferConfig(multipart_threshold=MULTIPART_FROM, multipart_chunksize=PART, max_concurrency=4)


class Pattern(io.RawIOBase):
    """`size` bytes that no two objects share and no part repeats, without having them all in memory.

    Block n is a random block with its first 8 bytes replaced by n, so lost, doubled or swapped parts show.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._at, self._random = size, 0, os.urandom(BLOCK)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As files do."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill at most the rest of one block."""
        view = memoryview(buffer).cast("B")
        block, within = divmod(self._at, BLOCK)
        count = max(0, min(len(view), BLOCK - within, self._size - self._at))
        content = block.to_bytes(8, "big") + self._random[8:]
        view[:count] = content[within : within + count]
        self._at += count
        return count


class Sink(io.RawIOBase):
    """Takes what is written, in order, and keeps its digest and length only."""

    def __init__(self) -> None:
        super().__init__()
        self.digest, self.size = hashlib.sha256(), 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Take the next bytes."""
        view = memoryview(data).cast("B")
        self.digest.update(view)
        self.size += len(view)
        return len(view)


def digest_of(content: BinaryIO) -> str:
    """SHA-256 of all of it; afterwards it is at its start again."""
    digest = hashlib.sha256()
    while data := content.read(BLOCK):
        digest.update(data)
    content.seek(0)
    return digest.hexdigest()


def ensure_bucket(client: S3Client, bucket: str) -> None:
    """The bucket exists; twice is once. Raises ClientError, BotoCoreError."""
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as fault:
        if fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
            raise
        client.create_bucket(Bucket=bucket)


def round_trip(service: Service, size: int, *, bucket: str = BUCKET, timeout: float = 30.0) -> dict[str, Any]:
    """One round with an object of `size` bytes. Never raises because the service is bad: then `ok` is false."""
    report: dict[str, Any] = {"ok": False, "size": size, "multipart": size >= MULTIPART_FROM}
    started = time.monotonic()
    try:
        client = service.client(timeout=timeout, attempts=3)
        _steps(client, bucket, size, report)
    except (ClientError, BotoCoreError, OSError) as fault:
        report["error"] = f"{type(fault).__name__}: {fault}"
    report["seconds"] = round(time.monotonic() - started, 4)
    return report


def _steps(client: S3Client, bucket: str, size: int, report: dict[str, Any]) -> None:
    # Buffered, because a raw read may be short, and an upload takes a short read for the end of its part.
    key, content, sink = f"round-trip-{uuid.uuid4()}", io.BufferedReader(Pattern(size)), Sink()
    report["sha256"] = digest_of(content)
    ensure_bucket(client, bucket)
    try:
        report["put_seconds"] = _timed(lambda: client.upload_fileobj(content, bucket, key, Config=TRANSFER))
        report["etag"] = client.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
        report["get_seconds"] = _timed(lambda: _download(client, bucket, key, sink))
    finally:
        client.delete_object(Bucket=bucket, Key=key)
    report["got_size"] = sink.size
    report["ok"] = sink.size == size and sink.digest.hexdigest() == report["sha256"]
    if not report["ok"]:
        report["error"] = "what came back is not what was stored"


def _download(client: S3Client, bucket: str, key: str, sink: Sink) -> None:
    body = client.get_object(Bucket=bucket, Key=key)["Body"]
    for data in body.iter_chunks(BLOCK):
        sink.write(data)


def _timed(act: Callable[[], Any]) -> float:
    started = time.monotonic()
    act()
    return round(time.monotonic() - started, 4)
