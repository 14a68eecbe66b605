"""Digests of files that were hashed before, so that an unchanged file is not read again.

A table of fixed size in $XDG_CACHE_HOME/seter/digests (XDG base directory specification): the key says where the file
is and when it changed last (device, inode, size, mtime, ctime, in nanoseconds), the value is what its digest was. Four
places for each key, the oldest gives way. A record is written at once and carries a check of its own, so any number of
processes may use the table without a lock: a record that two of them tore is no record.

Not trusted: what changed less than two seconds before it was hashed, because a clock may tick as slowly as that, and
a later change might then leave the same times. A change through a shared memory map shows in the times only when the
kernel writes it back; who pushes a disk of a running machine gets what he asks for anyway.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from contextlib import suppress
from pathlib import Path

from common.model import Digest

SETTLED = 2_000_000_000  # nanoseconds for which a file must have been left alone
_BUCKETS = 1 << 14  # of _WAYS records each: 8 MiB, with holes where nothing is yet
_WAYS = 4
_RECORD = struct.Struct("<32s72sQ16s")  # key, value, second of writing, check
_MAGIC = b"seter digests 1"  # part of every key: another layout has other keys

Key = bytes


def file_key(status: os.stat_result) -> Key:
    """What a file is known by."""
    return key_of("file", *seen(status))


def seen(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file does."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def key_of(*parts: object) -> Key:
    """A key of 32 octets."""
    return hashlib.sha256(_MAGIC + repr(parts).encode()).digest()


def settled(status: os.stat_result, begun: int) -> bool:
    """Whether what was read from `begun` on (time.time_ns()) can be told from every later change."""
    return max(status.st_mtime_ns, status.st_ctime_ns) < begun - SETTLED


def known(path: Path) -> Digest | None:
    """The digest of a file that has not changed since it was hashed; None if that is not known."""
    with suppress(OSError):
        value = get(file_key(path.stat()))
        return Digest("sha256", value[:32].hex()) if value else None
    return None


def remember(before: os.stat_result, after: os.stat_result, begun: int, digest: Digest) -> None:
    """Keep the digest of a file that was hashed from `begun` on, with its status from before and after that."""
    if digest.algorithm == "sha256" and seen(before) == seen(after) and settled(after, begun):
        put(file_key(after), bytes.fromhex(digest.hex))


def digest_of(path: Path) -> Digest:
    """SHA-256 of a file, from the table or else from its bytes."""
    found = known(path)
    if found is None:
        begun = time.time_ns()
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            found = Digest("sha256", hashlib.file_digest(file, "sha256").hexdigest())
            remember(before, os.fstat(file.fileno()), begun, found)
    return found


def get(key: Key) -> bytes | None:
    """The value of a key, 72 octets, or None. A table that cannot be read knows nothing."""
    with suppress(OSError):
        descriptor = os.open(_place(), os.O_RDONLY | os.O_CLOEXEC)
        try:
            records = _records(descriptor, key)
        finally:
            os.close(descriptor)
        return next((value for found, value, _ in records if found == key), None)
    return None


def put(key: Key, value: bytes) -> None:
    """Keep a value of at most 72 octets. Where the table cannot be written, nothing is kept."""
    with suppress(OSError):
        place = _place()
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            records = _records(descriptor, key)
            way = min(range(_WAYS), key=lambda way: (records[way][0] != key, records[way][2]))
            body = _RECORD.pack(key, value, int(time.time()), b"")[:-16]
            os.pwrite(descriptor, body + _check(body), _offset(key) + way * _RECORD.size)
        finally:
            os.close(descriptor)


def _records(descriptor: int, key: Key) -> list[tuple[bytes, bytes, int]]:
    """The records of the key's bucket; torn and empty ones are the oldest there can be."""
    bucket = os.pread(descriptor, _WAYS * _RECORD.size, _offset(key)).ljust(_WAYS * _RECORD.size, b"\0")
    found = []
    for way in range(_WAYS):
        record = bucket[way * _RECORD.size : (way + 1) * _RECORD.size]
        stored, value, written, check = _RECORD.unpack(record)
        found.append((stored, value, written) if check == _check(record[:-16]) else (b"", b"", -1))
    return found


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:16]


def _offset(key: Key) -> int:
    return int.from_bytes(key[:4], "little") % _BUCKETS * _WAYS * _RECORD.size


def _place() -> Path:
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "seter" / "digests"
