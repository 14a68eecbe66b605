"""A store in a directory of a local file system, for any number of processes at once.

    blobs/<algorithm>/<hex>    every blob once, manifests too, shared by all names; its age is its time of change
    <kind>/<name>/<tag>        the manifest itself, so that an artefact's URI can be opened as it stands
    .referrers/<kind>/<name>/<subject>/<hex>
    .incoming .locks .holds    files on their way in, locks
    .index-2.sqlite            see naust.store.index
    .format                    version of this layout

A manifest whose bytes changed under its tag has no blob of its new digest, which is how that shows.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import unquote, urlsplit

from common.errors import BadInput, Corrupt, Denied, Error, NotFound
from common.files import sync_folder
from common.model import Artifact, Digest, Kind
from naust import manifest as oci
from naust import reach
from naust.brief import Brief
from naust.store import upkeep
from naust.store.access import NOTHING, Access
from naust.store.incoming import Incoming, explained, incoming, locked, no_space, sweep
from naust.store.index import Index
from naust.store.interface import (
    Collectable,
    Indexed,
    Referrer,
    Store,
    Stored,
    Traits,
    check_name,
    check_replacing,
    check_tag,
    mismatch,
    no_blob,
    no_manifest,
    taken,
)
from naust.version import is_fallback

FORMAT = 1
_TRAITS = Traits(compare_and_swap=True, lists_blobs=True, holds=True, referrers=True)


class DirectoryStore(Store, Collectable, Indexed):
    """`file:///srv/naust`. The folder is made by the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._incoming = root / ".incoming"
        self._collecting = root / ".locks" / "collecting"
        self._pushes = upkeep.Pushes(root / ".locks" / "pushes")
        self._ready = False
        _check_format(root)

    @classmethod
    def from_url(cls, url: str, access: Access = NOTHING) -> Self:
        """Raises BadInput if the URL names another machine or a relative path."""
        parts = urlsplit(url)
        path = Path(unquote(parts.path))
        if parts.netloc not in ("", "localhost") or not path.is_absolute():
            raise BadInput(f"{url!r} is no directory", resolution="Write file:///absolute/path, or the path alone.")
        return cls(path)

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def traits(self) -> Traits:
        return _TRAITS

    # Blobs

    def stat(self, name: str, digest: Digest) -> int | None:
        check_name(name)
        with explained(self.root):
            try:
                return self._blob(digest).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        check_name(name)
        with explained(self.root):
            try:
                file = self._blob(digest).open("rb", buffering=0)
            except FileNotFoundError:
                raise no_blob(name, digest, self.url) from None
        with file:
            file.seek(start)
            yield _Part(file, length) if length is not None else file  # type: ignore[misc]  # FileIO, not BinaryIO

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        if self.stat(name, digest) == size:
            self._pushes.wrote(digest)
            self._renew(digest)
            return
        self.replace(name, digest, size, source)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        check_name(name)
        with self._arriving(0) as file:
            digest, size = file.fill(source)
            if self.stat(name, digest) != size:
                self._settle(file, digest)
            else:
                self._pushes.wrote(digest)
                self._renew(digest)
            return digest, size

    # Manifests

    def manifest(self, name: str, reference: str) -> bytes:
        digest = _as_digest(name, reference)
        with explained(self.root):
            try:
                data = (self._blob(digest) if digest else self._tag(name, reference)).read_bytes()
            except (FileNotFoundError, IsADirectoryError):
                raise no_manifest(name, reference, self.url) from None
        found = Digest.of(data, digest.algorithm if digest else "sha256")
        if found != digest and (digest or self.stat(name, found) != len(data)):
            raise Corrupt(
                f"the manifest of {name}{'@' if digest else ':'}{reference} in {self.url} is damaged",
                details=f"Its bytes have {found}, which was never stored.",
                resolution="Delete that file and push or build the artefact again, or restore it from a copy.",
            )
        return data

    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        stated = _as_digest(name, reference)
        wanted = Digest.of(manifest, stated.algorithm if stated else "sha256")
        if stated not in (None, wanted):
            raise Corrupt(
                f"the manifest of {name} is not {stated}", details=f"It is {wanted}.", resolution="Nothing was stored."
            )
        read = oci.parse(manifest, f"{name}:{reference}")
        with explained(self.root), self._not_collecting():
            self._check_whole(name, reach.Node(wanted, manifest, read))
            self.write(name, wanted, len(manifest), io.BytesIO(manifest))
            if read.subject:
                self._refer(name, read.subject, wanted)
            if not stated:
                check_replacing(name, reference, replacing)
                self._swap(name, reference, manifest, wanted, replacing)
            parts = (blob.digest for blob in read.blobs)
            self._pushes.named(wanted, parts, subject=read.subject, tagged=not stated)
        return wanted

    def _swap(self, name: str, tag: str, manifest: bytes, wanted: Digest, replacing: Digest | None) -> None:
        target = self._tag(name, tag)
        with explained(self.root), locked(self.root / ".locks" / name):
            there = Digest.of(target.read_bytes()) if target.is_file() else None
            if there == wanted:
                return
            if there != replacing:
                raise taken(name, tag, there, wanted, replacing)
            _make_folder(target.parent, self.root)
            with self._arriving(len(manifest)) as file:
                file.fill(io.BytesIO(manifest))
                file.become(target) if there else file.become_new(target)

    def _check_whole(self, name: str, top: reach.Node) -> None:
        """Renews all that a reader gets to from here, and sees that what it consists of is there."""
        for node in reach.below(self, name, top):
            for blob in node.read.blobs:
                self._renew(blob.digest)
                if self.stat(name, blob.digest) != blob.size:
                    raise no_blob(name, blob.digest, self.url)
        for node in reach.around(self, name, top, damaged=lambda error: None):
            for each in (node.digest, *(blob.digest for blob in node.read.blobs)):
                self._renew(each)

    def delete_tag(self, name: str, tag: str, *, expected: Digest | None = None) -> None:
        target = self._tag(name, tag)
        with explained(self.root), suppress(FileNotFoundError), locked(self.root / ".locks" / name):
            there = Digest.of(target.read_bytes())
            if expected not in (None, there):
                raise taken(name, tag, there, expected or there, expected)
            target.unlink()
            sync_folder(target.parent)

    def names(self, prefix: str = "") -> Iterator[str]:
        for kind in sorted(Kind):
            for folder in self._folder(self.root / kind):
                name = f"{kind}/{folder}"
                if name.startswith(prefix) and not all(map(is_fallback, self._folder(self.root / name))):
                    yield name

    def tags(self, name: str) -> Iterator[str]:
        yield from (tag for tag in self._folder(self.root / check_name(name)) if not is_fallback(tag))

    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        for hexadecimal in self._folder(self.root / ".referrers" / check_name(name) / digest.hex):
            found = Digest("sha256" if len(hexadecimal) == 64 else "sha512", hexadecimal)
            try:
                data = self.manifest(name, str(found))
            except NotFound:
                continue  # collected since, or its entry is left from a collector that was killed
            read = oci.parse(data, f"{name}@{found}")
            if type in (None, read.artifact_type):
                yield Referrer(found, len(data), read.media_type, read.artifact_type)

    def hold(self, name: str) -> AbstractContextManager[None]:
        return locked(self.root / ".holds" / check_name(name))

    # Collectable and Indexed

    def blobs(self) -> Iterator[Stored]:
        now = time.time()
        with explained(self.root):
            for folder in self._blobs.iterdir() if self._blobs.is_dir() else ():
                for name in upkeep.by_inode(folder):
                    with suppress(FileNotFoundError):
                        status = os.stat(f"{folder}/{name}")  # noqa: PTH116  # a Path costs as much as the call
                        age = timedelta(seconds=max(0.0, now - status.st_ctime))
                        yield Stored(Digest(folder.name, name), status.st_size, age)

    def delete(self, digest: Digest, *, older_than: timedelta = timedelta(0)) -> bool:
        return bool(self.delete_many((digest,), older_than=older_than))

    def delete_many(self, digests: Iterable[Digest], *, older_than: timedelta) -> list[Digest]:
        since = time.time() - older_than.total_seconds()
        with explained(self.root), locked(self._collecting):
            return upkeep.unlink(self._blobs, digests, since)

    def roots(self) -> Iterator[tuple[str, str]]:
        for kind in sorted(Kind):
            for folder in self._folder(self.root / kind):
                for tag in self._folder(self.root / kind / folder):
                    yield f"{kind}/{folder}", tag

    def pushing(self) -> timedelta | None:
        return upkeep.under_way(self.root / ".locks" / "pushes")

    def stale_uploads(self, older_than: timedelta) -> int:
        return sweep(self._incoming)

    def tidy(self) -> int:
        with explained(self.root), locked(self._collecting):
            return upkeep.drop(self.root, upkeep.dangling(self.root))

    def dangling(self) -> Iterator[tuple[str, Digest, Digest]]:
        with explained(self.root):
            yield from map(upkeep.who_refers, upkeep.dangling(self.root))

    def mend(self, name: str, tag: str, manifest: bytes) -> None:
        with locked(self.root / ".locks" / check_name(name)), self._arriving(len(manifest)) as file:
            file.fill(io.BytesIO(manifest))
            file.become(self._tag(name, tag))

    def replace(self, name: str, digest: Digest, size: int, source: BinaryIO) -> None:
        check_name(name)
        with self._arriving(size) as file:
            found = file.fill(source, at_most=size, algorithm=digest.algorithm)
            if found != (digest, size):
                raise mismatch(digest, size, *found)
            self._settle(file, digest)

    def artifacts(self, prefix: str = "") -> Iterator[tuple[str, Artifact | Corrupt]]:
        with explained(self.root):
            yield from self._index().artifacts(prefix)

    def rows(self, prefix: str = "", *, annotations: bool = False) -> Iterator[Brief | tuple[str, Corrupt]]:
        with explained(self.root):
            yield from self._index().rows(prefix, annotations=annotations)

    def check_index(self) -> tuple[str, ...]:
        with explained(self.root):
            return self._index().check()

    def rebuild_index(self) -> None:
        with explained(self.root):
            self._index().rebuild()

    # Paths: no text from outside gets here unchecked

    def _blob(self, digest: Digest) -> Path:
        return self._blobs / digest.algorithm / digest.hex

    def _tag(self, name: str, tag: str) -> Path:
        return self.root / name / check_tag(name, tag)

    def _index(self) -> Index:
        return Index(self.root)

    def _folder(self, path: Path) -> list[str]:
        with explained(self.root):
            try:
                return sorted(entry.name for entry in path.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    def _settle(self, file: Incoming, digest: Digest) -> None:
        self._pushes.wrote(digest)
        target = self._blob(digest)
        _make_folder(target.parent, self.root)
        file.become(target)

    def _renew(self, digest: Digest) -> None:
        # Any change of the inode renews its time of change; who may only read has nothing to renew.
        with suppress(FileNotFoundError, PermissionError):
            os.utime(self._blob(digest))

    @contextmanager
    def _not_collecting(self) -> Iterator[None]:
        """What a manifest counts on was looked at and renewed, and nobody deletes before it has its name."""
        self._make_ready()
        with locked(self._collecting, shared=True):
            yield

    def _refer(self, name: str, subject: Digest, referrer: Digest) -> None:
        path = self.root / ".referrers" / name / subject.hex / referrer.hex
        with explained(self.root):
            _make_folder(path.parent, self.root)
            path.touch()
            sync_folder(path.parent)

    @contextmanager
    def _arriving(self, size: int) -> Iterator[Incoming]:
        """A file that can become a blob of `size` bytes; says at once if there is no room for it."""
        with explained(self.root):
            self._make_ready()
            room = os.statvfs(self._incoming)
            if size > room.f_bavail * room.f_frsize:
                raise no_space(self.root, f"{size} bytes are needed, {room.f_bavail * room.f_frsize} are free.")
            with incoming(self._incoming) as file:
                yield file

    def _make_ready(self) -> None:
        if self._ready and self._incoming.is_dir():
            return
        _make_folder(self._blobs / "sha256", self.root.parent)
        self._incoming.mkdir(exist_ok=True)
        sweep(self._incoming)
        if not (self.root / ".format").exists():
            with incoming(self._incoming) as file:
                file.fill(io.BytesIO(f"{FORMAT}\n".encode()))
                file.become(self.root / ".format")
        self._ready = True


class _Part(io.RawIOBase):
    """The next `length` bytes of a file."""

    def __init__(self, file: io.FileIO, length: int) -> None:
        self._file, self._left = file, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed says WriteableBuffer, private
        count = self._file.readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= count
        return count


def _check_format(root: Path) -> None:
    try:
        found = (root / ".format").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        if root.exists() and not root.is_dir():
            raise BadInput(f"{root} is no directory", resolution="Name a directory, or one to be made.") from None
        return
    except PermissionError as error:
        raise Denied(f"{root} may not be read", details=str(error), resolution="Ask its owner.") from error
    if found != str(FORMAT):
        raise Error(
            f"the store {root} has format {found}, and this naust knows format {FORMAT}",
            resolution="Use the newer naust that made it.",
        )


def _as_digest(name: str, reference: str) -> Digest | None:
    check_name(name)
    return Digest.parse(reference) if ":" in reference else None


def _make_folder(folder: Path, top: Path) -> None:
    """Make a folder and its parents below `top`, durably."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for parent in (folder.parent, *folder.parent.parents):
            sync_folder(parent)
            if parent == top:
                break
