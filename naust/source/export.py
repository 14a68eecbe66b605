"""A snapshot as plain files, for nginx, a bucket, or a disk: apt, pip, terraform and curl need no more than that.

    DIR/<full tag>/<source>/<path>    of a set; DIR/<full tag>/<path> of one source by itself
    DIR/<view>                        a link to one of them, moved by one rename(2)

What never gets another content under its path (packages, by-hash indexes) is linked or cloned out of a store that is a
directory on the same file system, and costs no space; all else is copied. Indexes are always files of their own, with
the snapshot's date: a web server makes its entity tag from size and time of change, and the store renews the time of
its blobs. A tree gets its name when it is whole. By-hash indexes and packages of the tree that the view stood for
before are linked into the new one, so that clients that read the old index a moment ago still find what it names.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from common.console import Report
from common.errors import BadInput, Conflict, Error, NotFound
from common.files import sync_folder
from common.model import Event
from naust.manifest import Blob
from naust.source import snapshot as snapshots
from naust.source.state import checked_path
from naust.store.directory import DirectoryStore
from naust.store.incoming import locked
from naust.store.interface import Store
from naust.transfer.push_blobs import silent
from naust.transfer.verified import chunks
from naust.version import is_dated, split

LATEST = "latest"
_LASTING = re.compile(r"(?:.*/)?by-hash/.*|(?:pool|packages|blobs)/.*|.*\.zip")
_VIEW = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_CLONE = 0x40049409  # FICLONE of ioctl_ficlone(2)
_CANNOT = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` did. `linked` and `copied` count files, `size` is bytes of all of them; `view` is the link that
    now leads to the tree, or ''. `changed` is false if the tree was there."""

    folder: str
    view: str
    linked: int
    copied: int
    size: int
    changed: bool


def export(
    store: Store,
    name: str,
    when: str,
    folder: Path,
    *,
    view: str = LATEST,
    links: bool = True,
    report: Report = silent,
) -> Exported:
    """Write the snapshot of a set or source as files below `folder`, then let the link `view` lead to them ('' for no
    link). Run again it finishes what was broken off. Without `links` each file has bytes of its own.

    Raises NotFound; Corrupt if something is missing or damaged; BadInput for an impossible view; Conflict if something
    that is no link has the view's name; Error if there is no room.
    """
    if view and (not _VIEW.fullmatch(view) or is_dated(view)):
        raise BadInput(f"{view!r} cannot be a view", resolution="Write a short name such as `latest`.")
    found = snapshots.find(store, name, when)
    tag = found.artifact.reference.tag
    if not is_dated(tag):  # a channel: the tree gets the name that never changes
        same = (each for each in snapshots.dated(store, name) if each.digest == found.artifact.digest)
        tag = next((each.reference.tag for each in same), found.artifact.digest.hex)
    work = _Export(store, found, folder, tag, links, report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            changed = work.write(view)
            if view:
                _switch(folder, view, tag)
    except OSError as error:
        raise Error(
            f"{folder} could not be written: {error.strerror}",
            details=str(error),
            resolution="See that there is space and that the folder can be written, then run the command again.",
        ) from error
    return Exported(str(folder / tag), view, work.linked, work.copied, work.size, changed)


def _settle(folder: Path) -> None:
    """All that was written on this file system is on the disk (syncfs(2)); sync(2) would wait for every other one."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


class _Export:
    """One tree in the making. It lies in `.new-<tag>` until it is whole; what is left of a broken run is used again
    where it is a link, and else written anew."""

    def __init__(
        self, store: Store, found: snapshots.Snapshot, folder: Path, tag: str, links: bool, report: Report
    ) -> None:
        self._store, self._found, self._folder, self._tag = store, found, folder, tag
        self._links, self._report = links, report
        dated = split(tag)
        self._time = dated[1].timestamp() if dated else found.artifact.created.timestamp()
        self._made: set[Path] = set()
        self.linked = self.copied = self.size = 0

    def write(self, view: str) -> bool:
        """Whether it had to be written."""
        target, new = self._folder / self._tag, self._folder / f".new-{self._tag}"
        if target.is_dir():
            return False
        if new.exists():
            shutil.rmtree(new)  # another run's, that was killed
        new.mkdir(parents=True)
        self._report(Event("export", self._tag, str(target)))
        before = self._before(view)
        for path, blob, name in self._files(self._found):
            self._file(new / path, path, blob, name)
        for path, blob, name in before:
            if not (new / path).exists():
                self._file(new / path, path, blob, name)
        _settle(new)  # once for all: a call for each of 60 000 files takes minutes
        new.rename(target)
        sync_folder(self._folder)
        self._report(Event("exported", self._tag))
        return True

    def _files(self, found: snapshots.Snapshot) -> Iterator[tuple[str, Blob, str]]:
        """Path below the tree, blob, and the name under which the store has it."""
        for state in found.states:
            for file in snapshots.files_of(self._store, state):
                path = checked_path(file.path)
                yield (f"{checked_path(state.source)}/{path}" if found.of_set else path), file.blob, state.name

    def _before(self, view: str) -> list[tuple[str, Blob, str]]:
        """The lasting files of what the view stands for until now."""
        with suppress(OSError, NotFound, ValueError):
            tag = (self._folder / view).readlink().name if view else ""
            if is_dated(tag):
                old = snapshots.find(self._store, self._found.artifact.reference.name, tag)
                return [each for each in self._files(old) if self._lasts(each[0])]
        return []

    def _lasts(self, path: str) -> bool:
        return is_lasting(path.partition("/")[2] if self._found.of_set else path)

    def _file(self, target: Path, path: str, blob: Blob, name: str) -> None:
        if target.parent not in self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(target.parent)
        self.size += blob.size
        source = None
        if isinstance(self._store, DirectoryStore):
            source = self._store.root / "blobs" / blob.digest.algorithm / blob.digest.hex
        if source is not None and self._links and self._lasts(path) and _linked(source, target, blob.size):
            self.linked += 1
            return
        with target.open("wb") as file:
            if source is None or not self._links or not _cloned(source, file.fileno(), blob.size):
                with chunks(self._store, name, blob, path) as pieces:
                    for piece in pieces:
                        file.write(piece)
        os.utime(target, (self._time, self._time))
        self.copied += 1


def is_lasting(path: str) -> bool:
    """Whether a path below a source never gets another content, by what it is called."""
    return _LASTING.fullmatch(path) is not None


def _linked(source: Path, target: Path, size: int) -> bool:
    """Whether the blob got a second name. Its bytes are not read: that a blob is what it is called is the store's
    promise, which `naust snapshot --check` and `naust fsck` look at."""
    try:
        if source.stat().st_size != size:
            return False  # the copy says what is wrong
        os.link(source, target)
    except OSError as error:
        if error.errno in (*_CANNOT, errno.ENOENT):
            return False
        raise
    return True


def _cloned(source: Path, target: int, size: int) -> bool:
    """Whether the file system made a copy that shares its blocks (btrfs, XFS)."""
    try:
        with source.open("rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            fcntl.ioctl(target, _CLONE, file.fileno())
    except OSError as error:
        if error.errno in (*_CANNOT, errno.ENOENT):
            return False
        raise
    return True


def _switch(folder: Path, view: str, tag: str) -> None:
    """Let the link lead to the tree, in one step."""
    link, new = folder / view, folder / f".{view}.{token_hex(4)}"
    if link.exists() and not link.is_symlink():
        raise Conflict(f"{link} is no link", resolution="Take it away, or name another view.")
    if link.is_symlink() and str(link.readlink()) == tag:
        return
    new.symlink_to(tag)
    new.replace(link)
    sync_folder(folder)
