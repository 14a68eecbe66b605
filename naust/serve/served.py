"""The directory that a server serves: which of the shared blobs belong to which name, and the way in for uploads.

    .links/<kind>/<name>/<algorithm>/<hex>    this name was given this blob or manifest by a client

Blobs are shared by all names, but whoever may read one name must not get at what another one holds by guessing a
digest. So a name has what was pushed or mounted under it, and what its tags and their referrers are made of.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import Corrupt, NotFound
from common.model import Digest, Kind
from naust import manifest as oci
from naust.reach import Node
from naust.store.directory import DirectoryStore
from naust.store.incoming import Incoming, explained
from naust.store.interface import check_name

LINKS = ".links"
_SETTLED = 1.0  # seconds after which a folder's time of change can be relied on
_DEEPEST = 8  # indexes within indexes


@dataclass(slots=True)
class _Known:
    """What the tags of one name are made of, as far as it was read."""

    changed: int = -1  # time of change of the folder, nanoseconds
    read_at: float = 0.0  # seconds since the epoch
    tags: dict[str, int] = field(default_factory=dict)  # tag → time of change of its file
    digests: set[bytes] = field(default_factory=set)


class ServedStore(DirectoryStore):
    """A directory with a notion of what belongs to a name. `sparse`: manifests may name what is not there."""

    def __init__(self, root: Path, *, sparse: bool = False) -> None:
        super().__init__(root)
        self.sparse = sparse
        self._known: dict[str, _Known] = {}
        self._knowing = threading.Lock()

    # What belongs to a name

    def has(self, name: str, digest: Digest) -> bool:
        """Whether the blob is there and belongs to the name."""
        if self.stat(name, digest) is None:
            return False
        return self._link(name, digest).exists() or self._refers(name, digest)

    def linked(self, name: str, digest: Digest) -> bool:
        """Whether a client gave the name this very digest."""
        return self._link(check_name(name), digest).exists()

    def has_other_digests(self, name: str) -> bool:
        """Whether clients gave the name anything by another digest than SHA-256."""
        return (self.root / LINKS / check_name(name) / "sha512").exists()

    def has_tag(self, name: str, tag: str) -> bool:
        """Whether there is this tag, also if what it stands for is damaged."""
        with explained(self.root):
            return self._tag(check_name(name), tag).is_file()

    def every_tag(self, name: str) -> list[str]:
        """All tags of a name, with those that are no artefacts."""
        return self._folder(self.root / check_name(name))

    def link(self, name: str, digest: Digest) -> None:
        """From now on the blob belongs to the name. Its age is renewed: somebody counts on it."""
        path = self._link(check_name(name), digest)
        with explained(self.root):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(exist_ok=True)
        self._renew(digest)

    def renew(self, digest: Digest) -> None:
        """Somebody found the blob and counts on it, so it is young again."""
        self._renew(digest)

    def unlink(self, name: str, digest: Digest) -> None:
        """The blob does not belong to the name any more, unless its tags say so."""
        with explained(self.root):
            self._link(check_name(name), digest).unlink(missing_ok=True)

    def owner(self, digest: Digest, names: Iterator[str]) -> str | None:
        """The first of these names that has the blob."""
        return next((name for name in names if self.has(name, digest)), None)

    def every_name(self) -> Iterator[str]:
        """Names that have anything: tags, or something that was pushed."""
        yield from self.names()
        for kind in sorted(Kind):
            for folder in self._folder(self.root / LINKS / kind):
                yield f"{kind}/{folder}"

    # Ways in and out

    def adopt(self, name: str, file: Incoming, digest: Digest) -> None:
        """An upload that is whole becomes a blob of the name."""
        with explained(self.root):
            self._make_ready()
            self._settle(file, digest)
        self.link(name, digest)

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob lies, if it is there."""
        return self._blob(digest)

    def read_manifest(self, name: str, reference: str) -> bytes:
        """As `manifest`, but never more than a manifest can have. Raises NotFound, Corrupt."""
        path = self._blob(Digest.parse(reference)) if ":" in reference else self._tag(check_name(name), reference)
        with suppress(FileNotFoundError, NotADirectoryError):
            if path.stat().st_size > oci.LARGEST:
                raise NotFound(f"{name} has no manifest {reference}", resolution="That digest is a blob's.")
        return self.manifest(name, reference)

    def forget(self, name: str, digest: Digest, subject: Digest | None) -> None:
        """A manifest without a tag goes from its name: nobody finds it there any more."""
        self.unlink(name, digest)
        if subject is not None:
            with explained(self.root):
                (self.root / ".referrers" / name / subject.hex / digest.hex).unlink(missing_ok=True)

    def _check_whole(self, name: str, top: Node) -> None:
        try:
            super()._check_whole(name, top)
        except (NotFound, Corrupt):
            if not self.sparse:
                raise

    # What the tags of a name are made of: needed for what was not pushed through the server

    def _link(self, name: str, digest: Digest) -> Path:
        return self.root / LINKS / name / digest.algorithm / digest.hex

    def _refers(self, name: str, digest: Digest) -> bool:
        wanted = bytes.fromhex(digest.hex)
        with self._knowing:
            known = self._known.setdefault(name, _Known())
            if wanted in known.digests and self._is_fresh(name, known):
                return True
            self._learn(name, known)
            if wanted in known.digests:
                return True
        return self._refers_as_subject(name, digest)

    def _is_fresh(self, name: str, known: _Known) -> bool:
        changed = self._changed(name)
        return known.changed == changed and known.read_at - changed / 1e9 > _SETTLED

    def _changed(self, name: str) -> int:
        try:
            return (self.root / name).stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _learn(self, name: str, known: _Known) -> None:
        if self._is_fresh(name, known):
            return
        known.changed, known.read_at = self._changed(name), time.time()
        present = dict(self._files(name))
        if any(tag not in present or present[tag] != changed for tag, changed in known.tags.items()):
            known.tags, known.digests = {}, set()  # what went may have been the only one to name something
        for tag, changed in present.items():
            if tag not in known.tags:
                known.tags[tag] = changed
                known.digests |= set(self._made_of(name, tag))

    def _files(self, name: str) -> list[tuple[str, int]]:
        with explained(self.root):
            try:
                with os.scandir(self.root / name) as entries:
                    return [(each.name, each.stat().st_ctime_ns) for each in entries]
            except (FileNotFoundError, NotADirectoryError):
                return []

    def _made_of(self, name: str, tag: str) -> Iterator[bytes]:
        try:
            yield from self._below(self._tag(name, tag).read_bytes(), _DEEPEST)
        except (OSError, Corrupt):
            return  # a stray file, or a damaged one: nobody gets what it might name

    def _below(self, data: bytes, depth: int) -> Iterator[bytes]:
        read = oci.parse(data, "it")
        yield bytes.fromhex(read.digest.hex)
        for blob in read.blobs:
            yield bytes.fromhex(blob.digest.hex)
            if blob.media_type in oci.MANIFESTS and depth:
                with suppress(OSError, Corrupt):
                    yield from self._below(self._small(blob.digest), depth - 1)

    def _small(self, digest: Digest) -> bytes:
        path = self._blob(digest)
        return path.read_bytes() if path.stat().st_size <= oci.LARGEST else b""

    def _refers_as_subject(self, name: str, digest: Digest) -> bool:
        """Whether it is a referrer that was put into the directory itself, or part of one."""
        for folder in self._folder(self.root / ".referrers" / name):
            for hexadecimal in self._folder(self.root / ".referrers" / name / folder):
                if hexadecimal == digest.hex:
                    return True
                with suppress(OSError, Corrupt):
                    found = Digest("sha256" if len(hexadecimal) == 64 else "sha512", hexadecimal)
                    if bytes.fromhex(digest.hex) in set(self._below(self._small(found), _DEEPEST)):
                        return True
        return False


def tidy(root: Path) -> int:
    """Remove the links to blobs that are gone; how many. Safe at any time: a link without a blob gives nothing."""
    count = 0
    for link in (root / LINKS).glob("*/*/*/*"):
        if not (root / "blobs" / link.parent.name / link.name).exists():
            link.unlink(missing_ok=True)
            count += 1
    return count
