"""Keeping a directory store tidy: which pushes are under way, who refers to what is gone.

    .locks/pushes/<pid>-<random>   one per process that has written blobs which no tag stands for yet; locked (flock(2))
                                   as long as it lives; its time of modification is when the first of them was written

So whoever collects garbage, even without any grace, leaves alone what a push has sent and not yet named.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path

from common.model import Digest

_PART = 50_000  # names that are put in order at once, about 200 bytes each
LONGEST = timedelta(hours=6)  # that a push is waited for; what is older is left to the grace period


class Pushes:
    """The blobs that this process has written and not named. Any number of threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._waiting: dict[Digest, float] = {}  # seconds since the epoch
        self._file: tuple[int, int, Path] | None = None  # process, descriptor, path

    def wrote(self, digest: Digest) -> None:
        """This blob is about to be there, or was renewed, for a manifest that is still to come."""
        with self._lock:
            self._check_process()
            self._waiting.setdefault(digest, time.time())
            if self._file is None:
                with suppress(OSError):  # who may not write here writes no blob either
                    self._open(min(self._waiting.values()))

    def named(self, manifest: Digest, parts: Iterable[Digest], *, subject: Digest | None, tagged: bool) -> None:
        """A manifest was stored. With a tag its parts are safe; else they wait with it, or with its subject."""
        with self._lock:
            self._check_process()
            times = [each for part in (*parts, manifest) if (each := self._waiting.pop(part, None)) is not None]
            heir = subject if subject in self._waiting else manifest if subject is None else None
            if not tagged and times and heir is not None:
                self._waiting[heir] = min([*times, self._waiting.get(heir, times[0])])
            self._settle()

    def _settle(self) -> None:
        oldest = time.time() - LONGEST.total_seconds()
        self._waiting = {digest: at for digest, at in self._waiting.items() if at >= oldest}
        if self._file is None:
            return
        _, descriptor, path = self._file
        if self._waiting:
            start = min(self._waiting.values())
            os.utime(descriptor, (start, start))
        else:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            self._file = None

    def _open(self, start: float) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}-{os.urandom(8).hex()}"
        while True:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # `under_way` was between the two calls and took it for a dead process's
        os.utime(descriptor, (start, start))
        self._file = (os.getpid(), descriptor, path)

    def _check_process(self) -> None:
        """A child made by fork(2) has pushes of its own."""
        if self._file is not None and self._file[0] != os.getpid():
            self._file, self._waiting = None, {}


def under_way(folder: Path) -> timedelta | None:
    """How long the oldest push of a living process has been going on, at most LONGEST; removes what the dead left."""
    starts = [start for path in _files(folder) if (start := _start(path)) is not None]
    if not starts:
        return None
    return min(LONGEST, timedelta(seconds=max(0.0, time.time() - min(starts))))


def _start(path: Path) -> float | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return None
    except OSError:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)


def by_inode(folder: Path) -> Iterator[str]:
    """The names in a folder, a part of them at a time in the order of their inodes. Files that were written one after
    the other are so looked at and deleted one after the other, which spares a disk most of its work, as rm(1) does."""
    with os.scandir(folder) as entries:
        while part := sorted((entry.inode(), entry.name) for entry in islice(entries, _PART)):
            yield from (name for _, name in part)


def unlink(blobs: Path, digests: Iterable[Digest], since: float) -> list[Digest]:
    """Take blobs away that did not change since; which did go. Nobody may put manifests meanwhile."""
    gone = []
    for digest in digests:
        path = f"{blobs}/{digest.algorithm}/{digest.hex}"
        with suppress(FileNotFoundError):
            if os.stat(path).st_ctime <= since:  # noqa: PTH116  # a Path costs as much as the call
                os.unlink(path)  # noqa: PTH108
                gone.append(digest)
    return gone


def dangling(root: Path) -> Iterator[Path]:
    """Entries of .referrers whose referrer is not among the blobs."""
    for subject in (root / ".referrers").glob("*/*/*"):
        for entry in _files(subject):
            if not (root / "blobs" / _digest(entry.name).algorithm / entry.name).exists():
                yield entry


def who_refers(entry: Path) -> tuple[str, Digest, Digest]:
    """Name, subject and referrer of an entry of .referrers."""
    *_, kind, name, subject, referrer = entry.parts
    return f"{kind}/{name}", _digest(subject), _digest(referrer)


def _digest(hexadecimal: str) -> Digest:
    return Digest("sha256" if len(hexadecimal) == 64 else "sha512", hexadecimal)


def drop(root: Path, entries: Iterable[Path]) -> int:
    """Remove entries of .referrers, and the folders that become empty. Nobody may put manifests meanwhile."""
    count = 0
    for entry in entries:
        entry.unlink(missing_ok=True)
        count += 1
    for level in ("*/*/*", "*/*"):
        for folder in (root / ".referrers").glob(level):
            with suppress(OSError):  # not empty
                folder.rmdir()
    return count


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
