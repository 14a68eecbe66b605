"""Uploads that are under way, as files, so that they outlive the server: a client goes on where it was.

    .uploads/<kind>/<name>/<id>    what has come so far; whoever writes it holds its lock (flock(2))

Distribution specification 1.1, "Pushing blobs". The file becomes the blob by a rename, so nothing is copied.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.errors import Error, NotFound, Unavailable
from common.files import CHUNK
from common.model import Digest
from naust.store.incoming import Incoming, explained
from naust.store.interface import check_name

if TYPE_CHECKING:
    from hashlib import _Hash

UPLOADS = ".uploads"
_ID = re.compile(r"[0-9a-f]{32}")
_MOST_HASHES = 1024  # unfinished ones that are remembered; the others are read again
_FLUSHED = 32 << 20  # bytes after which the disk gets to work
_PATIENCE = 5.0  # seconds for the connection before this one to be seen as broken


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, open and locked."""

    name: str
    id: str
    path: Path
    file: BinaryIO

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return os.fstat(self.file.fileno()).st_size


class Uploads:
    """The uploads of one store. Any number of threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / UPLOADS
        self._lock = threading.Lock()
        self._hashes: dict[str, tuple[int, _Hash]] = {}  # id → bytes, their SHA-256 so far

    def start(self, name: str) -> str:
        """Begin one; its id."""
        folder = self._folder / check_name(name)
        id = os.urandom(16).hex()
        with explained(self._root):
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(folder / id, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with self._lock:
            self._hashes[id] = 0, hashlib.sha256()
            while len(self._hashes) > _MOST_HASHES:
                del self._hashes[next(iter(self._hashes))]
        return id

    @contextmanager
    def opened(self, name: str, id: str) -> Iterator[Upload]:
        """Have an upload for oneself. Raises NotFound, Unavailable if another request writes it and does
        not end."""
        path = self._path(name, id)
        with explained(self._root):
            try:
                file = path.open("r+b", buffering=0)
            except FileNotFoundError:
                raise unknown(name, id) from None
        with file:
            _take(file, id)
            if not os.fstat(file.fileno()).st_nlink:
                raise unknown(name, id)
            yield Upload(name, id, path, file)

    def size(self, name: str, id: str) -> int:
        """Bytes that have come. Raises NotFound."""
        with explained(self._root):
            try:
                return self._path(name, id).stat().st_size
            except FileNotFoundError:
                raise unknown(name, id) from None

    def append(self, upload: Upload, pieces: Iterable[memoryview]) -> None:
        """Write and hash what comes. What came before an exception stays. Raises Error when there is no space; then
        the upload is given up, for what it has is in the way of others."""
        at, total = self._hash(upload)
        os.lseek(upload.file.fileno(), at, os.SEEK_SET)
        flushed = at
        for piece in pieces:
            with self._lock:
                self._hashes.pop(upload.id, None)  # what is in between is not known
            try:
                with explained(self._root):
                    _write(upload.file, piece)
            except Error:
                self.give_up(upload)
                raise
            total.update(piece)
            at += len(piece)
            with self._lock:
                self._hashes[upload.id] = at, total
            if at - flushed >= _FLUSHED:
                _begin_to_flush(upload.file, flushed, at - flushed)
                flushed = at

    def digest(self, upload: Upload, algorithm: str) -> Digest:
        """Of all that has come; SHA-256 is known already as a rule, anything else is read again."""
        if algorithm == "sha256":
            return Digest("sha256", self._hash(upload)[1].hexdigest())
        total = hashlib.new(algorithm)
        _read_into(upload.file, total)
        return Digest(algorithm, total.hexdigest())

    def incoming(self, upload: Upload) -> Incoming:
        """It as a file that can become a blob."""
        umask = _umask()
        os.fchmod(upload.file.fileno(), 0o444 & ~umask)
        return Incoming(upload.path, upload.file)

    def give_up(self, upload: Upload) -> None:
        """Cancel it."""
        upload.path.unlink(missing_ok=True)
        self.done(upload.id)

    def forget(self, name: str, id: str) -> None:
        """Cancel one that nobody writes, if it is there."""
        self._path(name, id).unlink(missing_ok=True)
        self.done(id)

    def done(self, id: str) -> None:
        """Forget what is known of it."""
        with self._lock:
            self._hashes.pop(id, None)

    def count(self) -> int:
        """How many there are."""
        return sum(1 for _ in self._folder.glob("*/*/*"))

    def _path(self, name: str, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise unknown(name, id)
        return self._folder / check_name(name) / id

    def _hash(self, upload: Upload) -> tuple[int, _Hash]:
        with self._lock:
            known = self._hashes.get(upload.id)
        if known is not None and known[0] == upload.size:
            return known
        total = hashlib.sha256()
        size = _read_into(upload.file, total)
        with self._lock:
            self._hashes[upload.id] = size, total
        return size, total


def sweep(root: Path, older_than: timedelta) -> int:
    """Give up the uploads of the store in this folder that nobody writes and that nobody has written for so long;
    how many that were."""
    count, now = 0, time.time()
    for path in (root / UPLOADS).glob("*/*/*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if now - os.fstat(descriptor).st_mtime >= older_than.total_seconds():
                    path.unlink()
                    count += 1
            finally:
                os.close(descriptor)
    return count


def unknown(name: str, id: str) -> NotFound:
    """The error for an upload that is not there."""
    return NotFound(f"{name} has no upload {id[:64]}", resolution="Begin again: it was finished, cancelled or too old.")


def _take(file: BinaryIO, id: str) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise Unavailable(
                    f"another request writes the upload {id}", resolution="Wait until it ended, or begin another one."
                ) from None
            time.sleep(0.05)


def _write(file: BinaryIO, piece: memoryview) -> None:
    done = 0
    while done < len(piece):
        done += os.write(file.fileno(), piece[done:])


def _begin_to_flush(file: BinaryIO, start: int, length: int) -> None:
    """Let the kernel begin to write this to the disk, so that less is left to do when all of it must be there. It drops
    only what is on the disk already, which what was written just now is not."""
    os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_DONTNEED)


def _read_into(file: BinaryIO, total: _Hash) -> int:
    buffer, at = memoryview(bytearray(CHUNK)), 0
    while count := os.preadv(file.fileno(), [buffer], at):
        total.update(buffer[:count])
        at += count
    return at


def _umask() -> int:
    # os.umask can only be read by setting it, which other threads would notice.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022
