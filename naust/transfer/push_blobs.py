"""Blobs on their way into a store. Each is a durable step, so an event is told before and after it."""

from __future__ import annotations

import io
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO, cast

from common.console import Report, amount
from common.errors import BadInput
from common.model import Digest, Event
from naust.manifest import Blob
from naust.store.interface import Store
from naust.transfer import digests
from naust.transfer.parallel import each

_WORTH_ASKING = 64 << 20  # bytes; hashing less than that before sending costs a wink
_READ_ONCE = ("file", "memory")  # stores that copy and hash in one pass
_SENT_WHILE_HASHED = ("docker", "https", "http")  # stores to which the digest is told at the end


def silent(event: Event) -> None:
    """For those who do not want to know."""


def put(store: Store, name: str, blob: Blob, source: BinaryIO, report: Report) -> None:
    """Store a blob whose digest is known; its source is not read if it is there. Raises as `Store.write`."""
    _told(report, "store", blob)
    store.write(name, blob.digest, blob.size, source)
    _told(report, "stored", blob)


def put_bytes(store: Store, name: str, data: bytes, media_type: str, report: Report) -> Blob:
    """Store a small blob."""
    blob = Blob(Digest.of(data), len(data), media_type)
    put(store, name, blob, io.BytesIO(data), report)
    return blob


def put_all(store: Store, name: str, blobs: tuple[Blob, ...], report: Report) -> None:
    """Store those that have a path, some at once; the others are in the store, or `put_manifest` says that they are
    not. Raises BadInput if a file cannot be read."""

    def one(blob: Blob) -> None:
        assert blob.path is not None
        with opened(blob.path) as source:
            put(store, name, blob, cast(BinaryIO, source), report)

    each(one, {blob.digest: blob for blob in blobs if blob.path is not None}.values())


def put_file(store: Store, name: str, source: io.FileIO, report: Report) -> tuple[Digest, int]:
    """Store an open file that is read at most once, and not at all if its digest is remembered and the store has it."""
    before, begun = os.fstat(source.fileno()), time.time_ns()
    size = before.st_size
    if not stat.S_ISREG(before.st_mode):
        return put_stream(store, name, cast(BinaryIO, source), report)
    remembered = digests.get(digests.file_key(before))
    if remembered is None and _hash_while_sending(store, name, size):
        digest, size = put_stream(store, name, cast(BinaryIO, source), report)
        digests.remember(before, os.fstat(source.fileno()), begun, digest)
        return digest, size
    digest = Digest("sha256", remembered[:32].hex()) if remembered else _hashed(source, before, begun)
    put(store, name, Blob(digest, size), cast(BinaryIO, source), report)
    return digest, size


def put_stream(store: Store, name: str, source: BinaryIO, report: Report) -> tuple[Digest, int]:
    """Store what comes, hashed while it is sent."""
    report(Event("store", name, "hashed while it is sent"))
    digest, size = store.add(name, source)
    _told(report, "stored", Blob(digest, size))
    return digest, size


def opened(path: Path) -> io.FileIO:
    """The file, to be read without a buffer. Raises BadInput."""
    try:
        return path.open("rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise BadInput(f"{path} cannot be read", details=str(error), resolution="Name a file that can.") from error


def _hash_while_sending(store: Store, name: str, size: int) -> bool:
    """A local store reads once in any case. To a distant one a large file goes at once if it has nothing of this name;
    else it is asked first, because it may have the file already."""
    scheme = store.url.partition("://")[0]
    if scheme in _READ_ONCE:
        return True
    return scheme in _SENT_WHILE_HASHED and size >= _WORTH_ASKING and next(iter(store.tags(name)), None) is None


def _hashed(source: io.FileIO, before: os.stat_result, begun: int) -> Digest:
    import hashlib

    digest = Digest("sha256", hashlib.file_digest(source, "sha256").hexdigest())
    digests.remember(before, os.fstat(source.fileno()), begun, digest)
    source.seek(0)
    return digest


def _told(report: Report, kind: str, blob: Blob) -> None:
    report(Event(kind, f"blob {blob.digest.short}", amount(blob.size)))
