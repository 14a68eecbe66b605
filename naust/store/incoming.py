"""Files on their way into a directory: nobody sees them until they are whole, and a dead writer's are cleared away.

A writer holds a lock (flock(2)) on its own file. The kernel gives that up with the process, so whoever can take the
lock knows that nobody writes any more.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.errors import Denied, Error, Unavailable
from common.files import CHUNK, sync_folder
from common.lock import take
from common.model import Digest

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_FAILING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that is being written."""

    path: Path
    file: BinaryIO

    def fill(self, source: BinaryIO, at_most: int | None = None, *, algorithm: str = "sha256") -> tuple[Digest, int]:
        """Copy and hash in one pass; stops once there is more than `at_most` bytes. Returns digest and size."""
        total, size = hashlib.new(algorithm), 0
        while chunk := _next(source):
            total.update(chunk)
            self.file.write(chunk)
            size += len(chunk)
            if at_most is not None and size > at_most:
                break
        return Digest(algorithm, total.hexdigest()), size

    def become(self, target: Path) -> None:
        """Take the final name, durably, in place of what has it now."""
        self._sync()
        self.path.rename(target)
        sync_folder(target.parent)

    def become_new(self, target: Path) -> None:
        """Take the final name, durably. Raises FileExistsError if anything has it."""
        self._sync()
        target.hardlink_to(self.path)
        sync_folder(target.parent)

    def _sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())


def _next(source: BinaryIO) -> bytes:
    try:
        return source.read(CHUNK)
    except OSError as error:
        # Must not be taken for the store's own fault.
        raise Unavailable(
            "what was to be stored could not be read to its end",
            details=str(error),
            resolution="Nothing was stored. See that the source can be read, then run the command again.",
        ) from error


@contextmanager
def incoming(folder: Path, *, prefix: str = "", mode: int = 0o444) -> Iterator[Incoming]:
    """A new file in `folder`, locked, with this mode less the umask; gone at the end unless it took a name."""
    folder.mkdir(parents=True, exist_ok=True)
    path, descriptor = _locked(folder, prefix, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield Incoming(path, file)
    finally:
        path.unlink(missing_ok=True)


def _locked(folder: Path, prefix: str, mode: int) -> tuple[Path, int]:
    while True:
        path = folder / f"{prefix}{os.getpid()}-{os.urandom(8).hex()}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # `sweep` was between the two calls above and took it for a dead writer's


def sweep(folder: Path) -> int:
    """Delete what dead writers left. Returns how many files that were."""
    count = 0
    with suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            count += _abandoned(path)
    return count


def _abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Wait for the lock and hold it while the block runs. The file stays: to delete a lock is to have two. Raises
    Conflict when who holds it is stopped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        take(descriptor, path, shared=shared)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turns what the operating system says into what a person can act on."""
    try:
        yield
    except OSError as error:
        raise _told(root, error) from error


def _told(root: Path, error: OSError) -> Error:
    details = str(error)
    if error.errno in _FULL:
        return no_space(root, details)
    if error.errno in _FORBIDDEN:
        return Denied(
            f"{root} may not be written or read by this user",
            details=details,
            resolution="Change its owner or mode, or use another place.",
        )
    if error.errno in _FAILING:
        return Unavailable(f"the file system of {root} does not answer", details=details, resolution="Try again later.")
    return Error(f"{root} failed", details=details, resolution="See what is wrong with the path named above.")


def no_space(root: Path, details: str) -> Error:
    """There is no room; nothing half was left."""
    return Error(
        f"no space left in {root}",
        details=details,
        resolution=f"Nothing was stored. Make room on the file system of {root} (see `df {root}`), or raise the quota "
        "or the limit on file sizes, then run the same command again: what is there already is not sent twice.",
    )
