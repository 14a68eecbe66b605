"""What a store is: named manifests and the blobs that they consist of, both addressed by their SHA-256.

The model is OCI's (image specification 1.1, distribution specification 1.1). `name` is always `kind/name`, as in
`container/traefik`; a reference is a tag, or a digest as text.

Every method may raise `Unavailable` (the store does not answer; the only error that is worth a second try) and `Denied`
(it answers and says no). Other errors are named at the method. No back-end retries, limits or logs by itself: wrappers
with this same interface do.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.model import Artifact, Digest, Reference
from naust.brief import Brief, brief, with_channels
from naust.version import is_dated

LONGEST_NAME = 255  # octets; distribution specification 1.1, "Pulling manifests", and NAME_MAX of Linux


@dataclass(frozen=True, slots=True)
class Traits:
    """What a store can do beyond keeping things. What it cannot, its callers have to live without, and say so."""

    compare_and_swap: bool  # two writers of one name: exactly one wins. Else: check, put, read back
    lists_blobs: bool  # it is Collectable
    holds: bool  # `hold` keeps others out; else it only looks as if
    referrers: bool  # knows by itself who names a manifest as subject
    deletes_names: bool = True  # `delete_tag` takes one tag away and leaves others of the same manifest
    streams: int = 1  # how many parts of one blob are worth reading at once


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest that names another one as its subject: a signature, an SBOM, a chunk index."""

    digest: Digest
    size: int
    media_type: str
    artifact_type: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob that a store has. `age` is since it was written or last renewed."""

    digest: Digest
    size: int
    age: timedelta


class Store(ABC):
    """Where artefacts are kept."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The store's URL, without a slash at its end and without credentials."""

    @abstractmethod
    def traits(self) -> Traits:
        """What it can do. Constant; never raises."""

    # Blobs

    @abstractmethod
    def stat(self, name: str, digest: Digest) -> int | None:
        """Size of a blob in bytes, or None if it is not there. Says nothing on whether its bytes are right."""

    @abstractmethod
    def read(
        self, name: str, digest: Digest, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[BinaryIO]:
        """The blob's bytes from `start`, `length` of them or all. They are not checked: `naust.transfer.verified`
        does that.

        Raises NotFound.
        """

    @abstractmethod
    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        """Store a blob. Nobody sees it until it is whole, durable and has this digest and size; writing it twice is
        writing it once, and `source` is not read if it is there. A writer that dies leaves nothing that is seen.
        `mount_from` names where the store has the blob already, which only registries need to be told.

        Raises Corrupt if `source` holds something else; Error when there is no space.
        """

    @abstractmethod
    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        """As `write`, for bytes whose digest nobody knows before they were read, which happens once.

        Raises Error when there is no space.
        """

    # Manifests

    @abstractmethod
    def manifest(self, name: str, reference: str) -> bytes:
        """The manifest with this tag or digest, byte for byte, checked.

        Raises NotFound; Corrupt if it is not what it was.
        """

    @abstractmethod
    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        """Let `reference` stand for this manifest, at once and durably, if until now it stood for `replacing`
        (None: for nothing). That it stands for this manifest already is success too. All that the manifest names must
        be there: a reader sees all of an artefact or nothing. A dated tag is never replaced.

        Returns the manifest's digest. Raises Conflict if the reference stands for something else, NotFound if a blob
        is missing, Corrupt if `reference` is a digest and not the manifest's.
        """

    @abstractmethod
    def delete_tag(self, name: str, tag: str, *, expected: Digest | None = None) -> None:
        """Take the tag away, at once and durably; its manifest and blobs stay. That it is not there is success.

        Raises Conflict if it stands for another manifest than `expected`; Denied if the store cannot
        (`traits().deletes_names`).
        """

    @abstractmethod
    def names(self, prefix: str = "") -> Iterator[str]:
        """All names that begin with `prefix` and have a tag, sorted."""

    @abstractmethod
    def tags(self, name: str) -> Iterator[str]:
        """All tags of a name, sorted; none if there is no such name."""

    @abstractmethod
    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        """The manifests of this name whose subject is `digest`, of one artifact type or of all."""

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Keep other publishers of this name out while the block runs, where `traits().holds`; waits for them.

        For looking first and putting then. What must never go wrong relies on `put_manifest` alone.
        """
        return nullcontext()


class Collectable(ABC):
    """A store whose blobs naust itself takes away. (A registry collects by itself.)"""

    @abstractmethod
    def blobs(self) -> Iterator[Stored]:
        """Every blob, in no order; manifests are blobs too."""

    @abstractmethod
    def delete(self, digest: Digest, *, older_than: timedelta = timedelta(0)) -> bool:
        """Take a blob away if its age is at least that; whether it did. Whether it may go is the caller's to know.

        `write` and `put_manifest` renew the age of what they find there already, so nothing that a push counts on is
        older than the push. When a tag is put, that is all that can be reached from it: children, their blobs,
        referrers.
        """

    def delete_many(self, digests: Iterable[Digest], *, older_than: timedelta) -> list[Digest]:
        """Take away those of them whose age was at least that when this was called; which ones."""
        begun = time.monotonic()
        return [
            digest
            for digest in digests
            if self.delete(digest, older_than=older_than + timedelta(seconds=time.monotonic() - begun))
        ]

    def roots(self) -> Iterator[tuple[str, str]]:
        """Every name with each of its tags, name by name; also those tags that `Store.tags` does not show."""
        assert isinstance(self, Store)
        for name in self.names():
            for tag in self.tags(name):
                yield name, tag

    def pushing(self) -> timedelta | None:
        """How long the oldest push has been under way that is known of; None if there is none. What is younger than
        that may be part of it, though nothing refers to it yet."""
        return None

    def stale_uploads(self, older_than: timedelta) -> int:
        """Give up uploads that nobody goes on with and that are at least that old; how many that were."""
        return 0

    def tidy(self) -> int:
        """Take away what is kept about blobs that are gone, such as who refers to whom; how many entries."""
        return 0

    def dangling(self) -> Iterator[tuple[str, Digest, Digest]]:
        """Referrers that are known of and are not there: name, subject, referrer. Left by a collector that was killed,
        or lost."""
        yield from ()

    def mend(self, name: str, tag: str, manifest: bytes) -> None:
        """Let the tag stand for this manifest, whose blobs are there, whatever it stands for now: it is damaged."""
        assert isinstance(self, Store)
        self.delete_tag(name, tag)
        self.put_manifest(name, tag, manifest)

    def replace(self, name: str, digest: Digest, size: int, source: BinaryIO) -> None:
        """As `Store.write`, but what is there under this digest is damaged and is not relied on.

        Raises Corrupt if `source` holds something else.
        """
        assert isinstance(self, Store)
        self.delete(digest)
        self.write(name, digest, size, source)


class Indexed(ABC):
    """A store that lists quickly, from an index that it rebuilds by itself."""

    @abstractmethod
    def artifacts(self, prefix: str = "") -> Iterator[tuple[str, Artifact | Corrupt]]:
        """Every artefact that has a tag and whose name begins with `prefix`, each with its name, in no order: the same
        as going through names, tags and manifests. One that cannot be read comes as the error that says so.

        What is listed is not checked (`manifest` does that) and brief: see naust.manifest.brief.
        """

    def rows(self, prefix: str = "", *, annotations: bool = False) -> Iterator[Brief | tuple[str, Corrupt]]:
        """The same as rows with their channels, or name and error; annotations only where they are asked for. A store
        that can make rows without artefacts says so by its own method: that is several times as fast."""
        names: dict[str, list[Brief]] = {}
        for name, found in self.artifacts(prefix):
            if isinstance(found, Corrupt):
                yield name, found
            else:
                names.setdefault(name, []).append(brief(found))
        for rows in names.values():
            yield from with_channels(rows)

    def check_index(self) -> tuple[str, ...]:
        """Every difference between the index and what the store holds, as a sentence; reads every manifest and changes
        nothing. Empty also where the index is the truth itself, or a server's own affair."""
        return ()

    def rebuild_index(self) -> None:  # noqa: B027  # a store that makes its list anew each time has nothing to do
        """Forget the index and make it anew from the manifests. Others may list and publish meanwhile."""


def check_name(name: str) -> str:
    """The name, if it is `kind/name` and no more; so it is safe as a path. Raises BadInput."""
    reference = Reference.parse(name)
    if reference.tag or len(name) > LONGEST_NAME:
        raise BadInput(f"{name!r} names no artefact", resolution=f"A name is KIND/NAME, at most {LONGEST_NAME} long.")
    return name


def check_tag(name: str, tag: str) -> str:
    """The tag, if it is one; so it is safe as a file name. Raises BadInput."""
    if not tag or Reference.parse(f"{check_name(name)}:{tag}").tag != tag:
        raise BadInput(f"{tag!r} is no tag", resolution="A tag has letters, digits, `.`, `_` and `-`, at most 128.")
    return tag


def check_replacing(name: str, tag: str, replacing: Digest | None) -> None:
    """Versions are immutable, whatever the caller thinks that they stand for. Raises Conflict."""
    if replacing is not None and is_dated(tag):
        raise Conflict(
            f"{name}:{tag} is a version, and versions never change",
            resolution="Publish again: the new content gets a name with its own date.",
        )


def taken(name: str, reference: str, there: Digest | None, wanted: Digest, replacing: Digest | None) -> Conflict:
    """The error for a name that stands for something else than the writer believed."""
    believed = f"stands for {replacing}" if replacing else "is free"
    return Conflict(
        f"{name}:{reference} stands for {there or 'nothing'}",
        details=f"{wanted} was to take its place, in the belief that it {believed}.",
        resolution="Somebody else was faster. Look at what is there now with `naust show`, then decide anew.",
    )


def mismatch(digest: Digest, size: int, found: Digest, length: int) -> Corrupt:
    """The error of a source that holds something else."""
    return Corrupt(
        f"what was to be stored as {digest} is something else",
        details=f"Expected were {size} bytes; came {length}{' or more' if length > size else ''}, with {found}.",
        resolution="Nothing was stored. The source changed or is damaged: make it anew.",
    )


def no_blob(name: str, digest: Digest, url: str) -> NotFound:
    """The error for a blob that is not there."""
    return NotFound(
        f"{url} has no blob {digest} of {name}", resolution="Push or build the artefact again; only that is sent."
    )


def no_manifest(name: str, reference: str, url: str) -> NotFound:
    """The error for a tag or digest that stands for no manifest."""
    return NotFound(
        f"{url} has no {name}{'@' if ':' in reference else ':'}{reference}",
        resolution="`naust list` shows what there is.",
    )
