"""A file that is on its way to its name, and can be gone on with after the process or the connection broke.

It lies beside the target as `.NAME.<16 digits of the digest>.part` and ends, behind where the blob will end, with a
record: what it is going to be, and how many bytes from the beginning are there. The record goes when it is whole. What
is there is hashed again, so a record that is wrong costs time and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from common.errors import Corrupt, Unavailable
from common.files import sync_folder
from common.lock import take
from naust.manifest import Blob
from naust.store.interface import Store
from naust.transfer.digests import digest_of
from naust.transfer.verified import fetch

_RECORD = struct.Struct("<8sQ72s")  # magic, bytes that are there, sha256 of the blob as text
_MAGIC = b"naust.1\n"
_LONGEST = 200  # octets of the target's name in that of the part


class Partial:
    """Such a file, open and locked."""

    def __init__(self, path: Path, descriptor: int, blob: Blob) -> None:
        self.path, self.descriptor, self._blob = path, descriptor, blob
        self._begun = self.have = self._recorded()

    @classmethod
    def open(cls, target: Path, blob: Blob) -> Self:
        """The part of this blob for this target, new or left by somebody who died; waits for one who has not."""
        path = target.parent / _name(target, blob)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                take(descriptor, path)
                if _is_at(descriptor, path):
                    return cls(path, descriptor, blob)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # who had the lock has finished with it

    def mark(self, count: int) -> None:
        """Record that so many bytes from the beginning are there, and let the kernel begin to write them to the disk,
        so that little is left to wait for at the end (fadvise64(2) starts that; what is dirty stays in the cache)."""
        if count > self._begun:
            os.posix_fadvise(self.descriptor, self._begun, count - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = count
        os.pwrite(self.descriptor, _RECORD.pack(_MAGIC, count, str(self._blob.digest).encode()[:72]), self._blob.size)

    def bring(self, store: Store, name: str, whole: str, *, sparse: bool = False, seed: Path | None = None) -> int:
        """Fetch what is missing, checked; how many bytes that were. If what was there turns out to be wrong, all of
        it is fetched. A `seed` is a file that may hold this very blob. Raises Corrupt if the blob is damaged."""
        if not self.have and seed is not None:
            self._copy(seed)
        try:
            return self._fetch(store, name, whole, sparse)
        except Corrupt:
            if not self.have:
                raise
            self.have = 0
            return self._fetch(store, name, whole, sparse)

    def _copy(self, seed: Path) -> None:
        """All of the seed, if it is the blob by what is known of it; it is hashed like everything that is there."""
        with suppress(OSError), seed.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size == self._blob.size and digest_of(seed) == self._blob.digest:
                os.ftruncate(self.descriptor, 0)
                while os.copy_file_range(file.fileno(), self.descriptor, 1 << 30):
                    pass
                self.have = self._blob.size

    def become(self, target: Path) -> None:
        """Take the final name, durably. Raises FileExistsError if anything has it."""
        os.fsync(self.descriptor)
        target.hardlink_to(self.path)
        self.path.unlink()
        sync_folder(target.parent)

    def _fetch(self, store: Store, name: str, whole: str, sparse: bool) -> int:
        return fetch(store, name, self._blob, self.descriptor, whole, have=self.have, sparse=sparse, mark=self.mark)

    def _recorded(self) -> int:
        if os.fstat(self.descriptor).st_size != self._blob.size + _RECORD.size:
            return 0
        magic, count, digest = _RECORD.unpack(os.pread(self.descriptor, _RECORD.size, self._blob.size))
        fits = magic == _MAGIC and digest.rstrip(b"\0") == str(self._blob.digest).encode()[:72]
        return int(count) if fits and count <= self._blob.size else 0


@contextmanager
def partial(target: Path, blob: Blob) -> Iterator[Partial]:
    """The part for this target. It stays when the store did not answer or somebody interrupted, and goes when it took
    its name or anything else was wrong, as parts of other contents for the same target do."""
    part = Partial.open(target, blob)
    try:
        _discard_others(target, part.path)
        yield part
    except (Unavailable, KeyboardInterrupt):
        raise
    except BaseException:
        part.path.unlink(missing_ok=True)
        raise
    finally:
        os.close(part.descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _name(target: Path, blob: Blob) -> str:
    return f".{os.fsdecode(os.fsencode(target.name)[:_LONGEST])}.{blob.digest.hex[:16]}.part"


def _discard_others(target: Path, mine: Path) -> None:
    for path in target.parent.glob(f".{_escaped(target.name[:_LONGEST])}.{'[0-9a-f]' * 16}.part"):
        if path != mine:
            with suppress(OSError):
                _discard(path)


def _discard(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _escaped(name: str) -> str:
    from glob import escape

    return escape(name)
