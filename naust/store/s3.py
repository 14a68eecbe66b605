"""A store in a bucket of any S3 server, `s3://BUCKET[/PREFIX]`, for any number of machines at once.

    blobs/<algorithm>/<hex>    every blob once, manifests too, shared by all names; its age is that of the object
    <kind>/<name>/<tag>        the manifest itself, so that an artefact's URI can be opened as it stands
    .referrers/<kind>/<name>/<subject>/<hex>
    .index/                    see naust.store.s3_index
    .format                    version of this layout, and what the server can do: naust.store.s3_format
    .incoming/ .condemned/     streams on their way in; see naust.store.s3_blobs

An object shows when it is whole, and only then. Names are given with compare-and-swap (If-None-Match and If-Match on
PUT). Where the server ignores that, `traits()` says so, and a name is looked at, put, and read back: of two who want
one name at the same moment both may be told that they have it, and the later one does.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import timedelta
from typing import BinaryIO, Self

from common.errors import BadInput, Conflict, Corrupt, Error, NotFound, Unavailable
from common.model import Artifact, Digest, Kind
from naust import manifest as oci
from naust.brief import Brief
from naust.reach import Node, around
from naust.store import s3_format
from naust.store.access import NOTHING, Access
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
    no_blob,
    no_manifest,
    taken,
)
from naust.store.s3_answers import Seen
from naust.store.s3_blobs import RENEWED, Blobs
from naust.store.s3_bucket import Bucket
from naust.store.s3_format import Format
from naust.store.s3_index import Index
from naust.store.s3_segments import rows
from naust.version import is_fallback

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_LEAVING = timedelta(minutes=1)  # a tag that is being deleted is not given anew before this has passed
_NO_TAG = b""  # what the object of a deleted tag holds until it goes; no manifest is empty


class S3Store(Store, Collectable, Indexed):
    """`s3://images/naust`. The bucket must be there; all else is made by the first write."""

    def __init__(self, bucket: Bucket, url: str, *, renewed: timedelta = RENEWED) -> None:
        self._bucket, self._url = bucket, url
        self._blobs = Blobs(bucket, renewed)
        self._index = Index(bucket)
        self._format: Format | None = None  # that of whoever writes
        self._own: Format | None = None  # the bucket's
        self._lock = threading.Lock()

    @classmethod
    def from_url(cls, url: str, access: Access = NOTHING) -> Self:
        """Raises BadInput if the URL names no bucket."""
        name, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        parts = prefix.split("/") if prefix else []
        if not _BUCKET.fullmatch(name) or not prefix.isprintable() or {"", ".", ".."} & set(parts):
            raise BadInput(f"{url!r} is no bucket", resolution="Write s3://BUCKET or s3://BUCKET/PREFIX.")
        return cls(Bucket(name, prefix, access), f"s3://{'/'.join((name, *parts))}")

    @property
    def url(self) -> str:
        return self._url

    def traits(self) -> Traits:
        try:
            swaps = self._settled().swaps
        except Error:
            swaps = False  # who may not write, or does not get through, can count on nothing
        return Traits(
            compare_and_swap=swaps, lists_blobs=True, holds=False, referrers=True, streams=self._bucket.at_once
        )

    # Blobs

    def stat(self, name: str, digest: Digest) -> int | None:
        check_name(name)
        self._read_format()
        return self._blobs.size(digest)

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        check_name(name)
        self._read_format()
        with ExitStack() as stack:
            try:
                body = stack.enter_context(self._bucket.read(self._blobs.key(digest), start, length))
            except NotFound:
                raise no_blob(name, digest, self.url) from None
            yield body

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        check_name(name)
        self._settled()
        self._blobs.write(digest, size, source)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        check_name(name)
        self._settled()
        return self._blobs.add(source)

    # Manifests

    def manifest(self, name: str, reference: str) -> bytes:
        check_name(name)
        self._read_format()
        digest = Digest.parse(reference) if ":" in reference else None
        found = self._bucket.get(self._blobs.key(digest) if digest else self._tag(name, reference))
        if found is None or not found[0]:
            raise no_manifest(name, reference, self.url)
        self._check(name, reference, digest, *found)
        return found[0]

    def _check(self, name: str, reference: str, digest: Digest | None, data: bytes, seen: Seen) -> None:
        found = Digest.of(data, digest.algorithm if digest else "sha256")
        # A tag's object says itself whose manifest it was; a copy made by others does not, but then there is the blob.
        if found == digest or (not digest and (seen.sha256 == found.hex or self._blobs.size(found) == len(data))):
            return
        raise Corrupt(
            f"the manifest of {name}{'@' if digest else ':'}{reference} in {self.url} is damaged",
            details=f"Its bytes have {found}, which was never stored.",
            resolution="Delete that object and push or build the artefact again, or restore it from a copy.",
        )

    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        check_name(name)
        stated = Digest.parse(reference) if ":" in reference else None
        wanted = Digest.of(manifest, stated.algorithm if stated else "sha256")
        if stated not in (None, wanted):
            raise Corrupt(
                f"the manifest of {name} is not {stated}", details=f"It is {wanted}.", resolution="Nothing was stored."
            )
        read = oci.parse(manifest, f"{name}:{reference}")
        if not stated:
            check_tag(name, reference)
        self._settled()
        needed = {blob.digest: blob.size for blob in read.blobs}
        self._blobs.check(name, needed, self.url) if not stated else self._blobs.secure(name, needed, self.url)
        self._blobs.write(wanted, len(manifest), io.BytesIO(manifest))
        if read.subject:
            self._bucket.put(f"{_referrers(name, read.subject)}{wanted.hex}", b"")
        if not stated:
            check_replacing(name, reference, replacing)
            self._swap(name, reference, manifest, read, replacing)
        return wanted

    def _swap(self, name: str, tag: str, manifest: bytes, read: oci.Manifest, replacing: Digest | None) -> None:
        there, seen = self._at(name, tag)
        if there != read.digest and there != replacing:
            raise taken(name, tag, there, read.digest, replacing)
        self._secure_all(name, manifest, read)
        if there == read.digest:
            return
        with self._changing(name, tag):
            try:
                self._put_tag(name, tag, manifest, read, seen)
            except (Conflict, Unavailable):
                # Somebody was faster; or we were, and the answer was lost; or neither.
                there, _ = self._at(name, tag)
                if there == read.digest:
                    return
                if there == replacing:
                    raise Unavailable(
                        f"{name}:{tag} could not be put into {self.url}", resolution="Try again later."
                    ) from None
                raise taken(name, tag, there, read.digest, replacing) from None

    def _put_tag(self, name: str, tag: str, manifest: bytes, read: oci.Manifest, seen: Seen | None) -> None:
        key = self._tag(name, tag)
        if self._settled().swaps:
            condition = seen.etag if seen else ""
            self._bucket.put(
                key, manifest, new=not seen, instead_of=condition, sha256=read.digest.hex, media_type=read.media_type
            )
            return
        self._bucket.put(key, manifest, sha256=read.digest.hex, media_type=read.media_type)
        if self._at(name, tag)[0] != read.digest:
            raise Conflict(f"{name}:{tag} was put by somebody else", resolution="Look at what is there now.")

    def _secure_all(self, name: str, manifest: bytes, read: oci.Manifest) -> None:
        """Nothing that a reader may want of the artefact is collected before the name says that it is wanted."""
        top = Node(read.digest, manifest, read)
        needed: dict[Digest, int | None] = {}
        for node in around(self, name, top, damaged=lambda error: None):
            needed[node.digest] = len(node.data)
            if node is top:
                needed |= {blob.digest: blob.size for blob in node.read.blobs}
            else:  # what others damaged is not for this push to find out
                needed |= {blob.digest: None for blob in node.read.blobs if self._blobs.size(blob.digest) is not None}
        self._blobs.secure(name, needed, self.url)

    def _at(self, name: str, tag: str) -> tuple[Digest | None, Seen | None]:
        """What the tag stands for, and its object, which may be there without standing for anything."""
        found = self._bucket.get(self._tag(name, tag))
        if found is None:
            return None, None
        data, seen = found
        if not data and seen.age < _LEAVING:
            raise Unavailable(f"{name}:{tag} is being deleted by somebody", resolution="Try again in a minute.")
        return (Digest.of(data) if data else None), seen

    def delete_tag(self, name: str, tag: str, *, expected: Digest | None = None) -> None:
        key = self._tag(name, tag)
        able = self._settled()
        there, seen = self._at(name, tag)
        if seen is None:
            return
        if there and expected not in (None, there):
            raise taken(name, tag, there, expected or there, expected)
        with self._changing(name, tag):
            try:
                if expected and there and able.swaps and not able.deletes:
                    # RadosGW deletes whatever is there. So what we saw is first replaced by nothing, by
                    # compare-and-swap, and nobody puts a manifest in place of that before we are through (see `_at`).
                    self._bucket.put(key, _NO_TAG, instead_of=seen.etag)
                self._bucket.delete(key, only=seen.etag if expected and able.deletes else "")
            except Conflict:
                there, _ = self._at(name, tag)
                if there is not None:
                    raise taken(name, tag, there, there, expected) from None

    def names(self, prefix: str = "") -> Iterator[str]:
        self._read_format()
        for kind in sorted(Kind):
            if f"{kind}/".startswith(prefix[: len(kind) + 1]):
                found = self._tags(prefix if len(prefix) > len(kind) else f"{kind}/")
                yield from sorted({name for name, tag in found if not is_fallback(tag)})

    def tags(self, name: str) -> Iterator[str]:
        check_name(name)
        self._read_format()
        yield from (tag for _, tag in self._tags(f"{name}/") if not is_fallback(tag))

    def _tags(self, prefix: str) -> Iterator[tuple[str, str]]:
        for seen in self._bucket.listed(prefix):
            name, _, tag = seen.key.rpartition("/")
            if seen.size and name.count("/") == 1:
                yield name, tag

    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        check_name(name)
        self._read_format()
        for seen in self._bucket.listed(_referrers(name, digest)):
            digits = seen.key.rpartition("/")[2]
            found = Digest.parse(f"{'sha256' if len(digits) == 64 else 'sha512'}:{digits}")
            try:
                data = self.manifest(name, str(found))
            except NotFound:
                continue  # collected since, or lost: `dangling` says so
            read = oci.parse(data, f"{name}@{found}")
            if type in (None, read.artifact_type):
                yield Referrer(found, len(data), read.media_type, read.artifact_type)

    def hold(self, name: str) -> AbstractContextManager[None]:
        check_name(name)
        return nullcontext()

    # Collectable

    def blobs(self) -> Iterator[Stored]:
        self._read_format()
        yield from self._blobs.every()

    def delete(self, digest: Digest, *, older_than: timedelta = timedelta(0)) -> bool:
        """See naust.store.s3_blobs: what is younger than two hours does not go by its age."""
        self._read_format()
        return self._blobs.delete(digest, older_than)

    def roots(self) -> Iterator[tuple[str, str]]:
        for kind in sorted(Kind):
            yield from self._tags(f"{kind}/")

    def pushing(self) -> timedelta | None:
        """Nobody can see who pushes, so what is younger than this may be part of it."""
        return self._blobs.patience

    def dangling(self) -> Iterator[tuple[str, Digest, Digest]]:
        for seen in self._bucket.listed(".referrers/"):
            if self._refers_to_nothing(seen):
                _, kind, name, *digits = seen.key.split("/")
                subject, referrer = (Digest("sha256" if len(each) == 64 else "sha512", each) for each in digits)
                yield f"{kind}/{name}", subject, referrer

    def stale_uploads(self, older_than: timedelta) -> int:
        return self._blobs.sweep(older_than)

    def tidy(self) -> int:
        gone = [seen.key for seen in self._bucket.listed(".referrers/") if self._refers_to_nothing(seen)]
        for key in gone:
            self._bucket.delete(key)
        return len(gone)

    def _refers_to_nothing(self, seen: Seen) -> bool:
        digits = seen.key.rpartition("/")[2]
        return self._blobs.size(Digest("sha256" if len(digits) == 64 else "sha512", digits)) is None

    def replace(self, name: str, digest: Digest, size: int, source: BinaryIO) -> None:
        check_name(name)
        self._settled()
        self._blobs.replace(digest, size, source)

    # Indexed

    def artifacts(self, prefix: str = "") -> Iterator[tuple[str, Artifact | Corrupt]]:
        for each in self.rows(prefix, annotations=True):
            yield (f"{each.kind}/{each.name}", each.artifact()) if isinstance(each, Brief) else each

    def rows(self, prefix: str = "", *, annotations: bool = False) -> Iterator[Brief | tuple[str, Corrupt]]:
        said = self._read_format()
        if said is None:
            return
        if said.swaps:
            yield from self._index.rows(prefix, annotations=annotations)
        else:
            yield from rows(self._index.walked(prefix))

    def check_index(self) -> tuple[str, ...]:
        said = self._read_format()
        return self._index.check() if said and said.swaps else ()

    def rebuild_index(self) -> None:
        if self._settled().swaps:
            self._index.rebuild()

    def _changing(self, name: str, tag: str) -> AbstractContextManager[None]:
        """Whether there is an index is for the bucket's own format to say: all who use it must agree."""
        said = self._read_format()
        return self._index.changing(name, tag) if said and said.swaps else nullcontext()

    # Format

    def _settled(self) -> Format:
        with self._lock:
            if self._format is None:
                self._format = s3_format.settled(self._bucket)
            return self._format

    def _read_format(self) -> Format | None:
        """The bucket's own. Asked for once, unless there is none yet."""
        if self._own is None:
            self._own = s3_format.known(self._bucket)
        return self._own

    def _tag(self, name: str, tag: str) -> str:
        return f"{name}/{check_tag(name, tag)}"


def _referrers(name: str, subject: Digest) -> str:
    return f".referrers/{name}/{subject.hex}/"
