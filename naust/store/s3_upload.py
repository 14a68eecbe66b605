"""Blobs on their way into a bucket: hashed while they are sent, visible only when they are whole and right.

Up to 16 MiB go in one request, after they were hashed. More goes as a multipart upload: of a file, several threads send
parts, each read where it is sent, while another one hashes the whole in order; of a stream, a few buffers of one part
each go round. Memory is the buffers of a stream (3 of 16 MiB, more behind 94 GiB), or 1 MiB for each thread.
"""

from __future__ import annotations

import hashlib
import io
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from common.errors import Error, Unavailable
from common.files import CHUNK
from common.model import Digest
from naust.store.interface import mismatch
from naust.store.s3_bucket import Bucket
from naust.store.s3_multipart import Multipart, Upload
from naust.wire.bodies import filled, is_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SMALL = 16 << 20  # bytes that go in one request
PART = 16 << 20  # bytes of a part
MOST_PARTS = 10_000  # "Amazon S3 multipart upload limits"
_BUFFERS = 3
_GROWTH = ((6_000, PART), (9_000, 4 * PART), (MOST_PARTS, 32 * PART))  # up to this part of a stream, this size


class Stopped(Exception):
    """Another thread failed: no use in sending more."""


@dataclass(slots=True)
class Sending:
    """One multipart upload with its threads. Any failure, Ctrl-C too, ends all of them and aborts it."""

    multipart: Multipart
    upload: Upload
    pool: ThreadPoolExecutor
    stop: threading.Event = field(default_factory=threading.Event)
    parts: list[Future[str]] = field(default_factory=list)

    def send(self, size: int, body: Callable[[], BinaryIO], done: Callable[[], None] = lambda: None) -> None:
        """Send the next part in another thread; `done` is called when its bytes are needed no more."""
        number = len(self.parts) + 1

        def work() -> str:
            try:
                return self.multipart.put_part(self.upload, number, size, body)
            except BaseException:
                self.stop.set()
                raise
            finally:
                done()

        self.parts.append(self.pool.submit(work))

    def etags(self) -> list[str]:
        """Of all parts; waits for them. Raises what the first that failed did."""
        failed = [error for part in self.parts if (error := part.exception()) is not None]
        for error in failed:
            if not isinstance(error, Stopped):
                raise error
        return [part.result() for part in self.parts]

    def check(self) -> None:
        """Raises Stopped if a part failed."""
        if self.stop.is_set():
            raise Stopped


def put_blob(bucket: Bucket, key: str, digest: Digest, size: int, source: BinaryIO) -> None:
    """Store the source's bytes under the key. Raises Corrupt, with nothing stored, if they have not this digest and
    size."""
    if size <= SMALL:
        data = _read(source, size + 1)
        found = Digest.of(data, digest.algorithm)
        if (found, len(data)) != (digest, size):
            raise mismatch(digest, size, found, len(data))
        bucket.put(key, data, sha256=_said(digest))
        return
    with sending(bucket, key, _said(digest)) as work:
        if is_file(source):
            found, length = _file(work, digest.algorithm, source, size)
        else:
            found, length = _stream(work, digest.algorithm, source, size)
        if (found, length) != (digest, size):
            raise mismatch(digest, size, found, length)
        work.multipart.complete(work.upload, work.etags(), size)


def put_unknown(bucket: Bucket, key: str, first: bytearray, source: BinaryIO) -> tuple[Digest, int]:
    """Store `first` and what follows in a stream whose digest nobody knows. Takes the bytes of `first` away, so that
    they are not kept twice. Returns digest and size."""
    with sending(bucket, key, "") as work:
        digest, size = _stream(work, "sha256", cast(BinaryIO, _Chained(first, source)), sys.maxsize)
        work.multipart.complete(work.upload, work.etags(), size)
    return digest, size


@contextmanager
def sending(bucket: Bucket, key: str, sha256: str) -> Iterator[Sending]:
    """A multipart upload that is aborted if the block fails in any way."""
    multipart = Multipart(bucket)
    upload = multipart.begin(key, sha256)
    with ThreadPoolExecutor(min(bucket.at_once, 16), thread_name_prefix="s3-part") as pool:
        work = Sending(multipart, upload, pool)
        try:
            yield work
        except BaseException as error:
            work.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)  # a part that comes after the abort would stay for ever
            _abort(multipart, upload)
            if isinstance(error, Stopped):
                work.etags()  # raises what really happened
            raise


def _abort(multipart: Multipart, upload: Upload) -> None:
    try:
        multipart.abort(upload)
    except Error:
        return  # the failure that led here says more; `stale_uploads` finds what is left


def _file(work: Sending, algorithm: str, source: BinaryIO, size: int) -> tuple[Digest, int]:
    """Begin to send all parts of a file, if it has this size, and hash it meanwhile."""
    descriptor, begin = source.fileno(), source.tell()
    length = os.fstat(descriptor).st_size - begin
    if length == size:
        part = PART if size <= PART * MOST_PARTS else -(-size // MOST_PARTS // CHUNK) * CHUNK + CHUNK
        for start in range(0, size, part):
            count = min(part, size - start)
            work.send(count, partial(_file_part, descriptor, begin + start, count, work.stop))
    total, at = hashlib.new(algorithm), begin
    buffer = memoryview(bytearray(CHUNK))
    while count := _pread(descriptor, buffer, at):
        work.check()
        total.update(buffer[:count])
        at += count
    source.seek(at)
    return Digest(algorithm, total.hexdigest()), at - begin


def _stream(work: Sending, algorithm: str, source: BinaryIO, at_most: int) -> tuple[Digest, int]:
    """Send a stream in parts as they come, till it ends or has more than `at_most` bytes; memory is the buffers that go
    round."""
    total, size, free, made = hashlib.new(algorithm), 0, queue.SimpleQueue[bytearray](), 0
    while True:
        work.check()
        number = len(work.parts) + 1
        if number > MOST_PARTS:
            raise Error("the stream is too long for S3", resolution="Put it into a file and push that.")
        wanted = next(length for last, length in _GROWTH if number <= last)
        if made < _BUFFERS and free.empty():
            free.put(bytearray(wanted))
            made += 1
        buffer = free.get()
        if len(buffer) < wanted:
            buffer = bytearray(wanted)
        view = memoryview(buffer)
        if not (count := filled(source, view)):
            break
        total.update(view[:count])
        size += count
        work.send(count, partial(_memory_part, view[:count], work.stop), partial(free.put, buffer))
        if count < wanted or size > at_most:
            break
    return Digest(algorithm, total.hexdigest()), size


def _file_part(descriptor: int, start: int, size: int, stop: threading.Event) -> BinaryIO:
    return cast(BinaryIO, _FilePart(descriptor, start, size, stop))


def _memory_part(data: memoryview, stop: threading.Event) -> BinaryIO:
    return cast(BinaryIO, _MemoryPart(data, stop))


def _read(source: BinaryIO, at_most: int) -> bytes:
    buffer = bytearray(at_most)
    count = filled(source, memoryview(buffer))
    del buffer[count:]
    return bytes(buffer)


def _pread(descriptor: int, buffer: memoryview, at: int) -> int:
    try:
        return os.preadv(descriptor, [buffer], at)
    except OSError as error:
        raise Unavailable(
            "what was to be stored could not be read to its end",
            details=str(error),
            resolution="Nothing was stored. See that the source can be read, then run the command again.",
        ) from error


def _said(digest: Digest) -> str:
    return digest.hex if digest.algorithm == "sha256" else ""


class _Part(io.RawIOBase):
    """Bytes of a part, until somebody says stop."""

    def __init__(self, size: int, stop: threading.Event) -> None:
        self._size, self._at, self._stop = size, 0, stop

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset
        return offset

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._stop.is_set():
            raise Stopped
        view = memoryview(buffer).cast("B")[: self._size - self._at]
        count = self._fill(view) if view else 0
        self._at += count
        return count

    def _fill(self, view: memoryview) -> int:
        raise NotImplementedError


class _FilePart(_Part):
    """Part of a file that others read elsewhere at the same time."""

    def __init__(self, descriptor: int, start: int, size: int, stop: threading.Event) -> None:
        super().__init__(size, stop)
        self._descriptor, self._start = descriptor, start

    def _fill(self, view: memoryview) -> int:
        return _pread(self._descriptor, view, self._start + self._at)


class _MemoryPart(_Part):
    """Part of a stream, in its buffer."""

    def __init__(self, data: memoryview, stop: threading.Event) -> None:
        super().__init__(len(data), stop)
        self._data = data

    def _fill(self, view: memoryview) -> int:
        view[:] = self._data[self._at : self._at + len(view)]
        return len(view)


class _Chained(io.RawIOBase):
    """Bytes that were read already, which go as they are used up, and the rest."""

    def __init__(self, first: bytearray, rest: BinaryIO) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if not self._first:
            return filled(self._rest, view)
        count = min(len(view), len(self._first))
        view[:count] = self._first[:count]
        del self._first[:count]
        return count
