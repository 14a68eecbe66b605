"""The blobs of a bucket, and how they are collected while others push.

S3 cannot delete an object only if it is old enough, and has no locks. Yet nothing that a push counts on may go, so:

- Whoever collects (`delete`) first writes `.condemned/<digest>`, then asks for the blob's age, then deletes, and takes
  the mark away when that is over. What is younger than twice `RENEWED` is never collected by age.
- Whoever pushes renews what is older than `RENEWED`: the server copies the blob onto itself. Before a manifest gets its
  name (`secure`) all that it needs was seen young; then there was no mark for any of it; then all was seen again.

A collector who saw a blob old did so before it was young, so his mark was there before. Either it still is when the
pusher looks, and the pusher waits; or the collector is through, and the second look finds the blob missing. A collector
whose mark comes later finds the blob young. A mark older than two minutes is a dead collector's.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from io import FileIO
from typing import BinaryIO, cast

from common.errors import BadInput, NotFound, Unavailable
from common.model import Digest
from naust.store.interface import Stored, no_blob
from naust.store.s3_answers import Seen
from naust.store.s3_bucket import Bucket
from naust.store.s3_multipart import Multipart
from naust.store.s3_upload import SMALL, put_blob, put_unknown
from naust.wire.bodies import filled, is_file

RENEWED = timedelta(hours=1)  # a blob that is older is renewed when somebody counts on it
FOLDER = "blobs/"
CONDEMNED = ".condemned/"
INCOMING = ".incoming/"
DEAD = timedelta(minutes=2)  # a mark that is older was left by a collector who died
Needed = Mapping[Digest, int | None]  # size, where it is known
_ROUNDS = 5
_PAUSE = 0.1  # seconds between looks at marks


class Blobs:
    """Blobs by their digests. Any number of threads, processes and machines."""

    def __init__(self, bucket: Bucket, renewed: timedelta = RENEWED) -> None:
        self._bucket = bucket
        self._multipart = Multipart(bucket)
        self._renewed = renewed
        self._copies_renew = True  # until a server copies an object onto itself and leaves its date

    @property
    def patience(self) -> timedelta:
        """What is younger does not go by its age."""
        return 2 * self._renewed

    def key(self, digest: Digest) -> str:
        """Where it is."""
        return f"{FOLDER}{digest.algorithm}/{digest.hex}"

    def size(self, digest: Digest) -> int | None:
        """Its size, or None."""
        seen = self._bucket.head(self.key(digest))
        return None if seen is None else seen.size

    def write(self, digest: Digest, size: int, source: BinaryIO) -> None:
        """Store it, unless it is there: then it is renewed. Raises Corrupt."""
        if not self._keep(digest, size):
            put_blob(self._bucket, self.key(digest), digest, size, source)

    def replace(self, digest: Digest, size: int, source: BinaryIO) -> None:
        """Store it in place of what is there. Raises Corrupt."""
        put_blob(self._bucket, self.key(digest), digest, size, source)

    def add(self, source: BinaryIO) -> tuple[Digest, int]:
        """Store what nobody knows the digest of. A file is read twice, first to hash it; a long stream is sent to a
        place of its own while it is hashed, and then copied by the server."""
        if is_file(source):
            begin = source.tell()
            digest, size = _hashed(source)
            source.seek(begin)
            self.write(digest, size, source)
            return digest, size
        first = bytearray(SMALL + 1)
        del first[filled(source, memoryview(first)) :]
        if len(first) <= SMALL:
            digest = Digest.of(bytes(first))
            if not self._keep(digest, len(first)):
                self._bucket.put(self.key(digest), bytes(first), sha256=digest.hex)
            return digest, len(first)
        return self._staged(first, source)

    def _staged(self, first: bytearray, source: BinaryIO) -> tuple[Digest, int]:
        place = f"{INCOMING}{os.urandom(8).hex()}"
        digest, size = put_unknown(self._bucket, place, first, source)
        try:
            if not self._keep(digest, size):
                self._multipart.copy(place, self.key(digest), size, digest.hex)
        finally:
            self._bucket.delete(place)
        return digest, size

    # Renewing

    def check(self, name: str, needed: Needed, url: str) -> list[tuple[Digest, Seen]]:
        """All of it is there and has its size, where that is known. Raises NotFound."""
        digests = sorted(needed)
        found = self._bucket.each(lambda digest: self._bucket.head(self.key(digest)), digests)
        seen = [(digest, there) for digest, there in zip(digests, found, strict=True) if _fits(there, needed[digest])]
        if len(seen) < len(digests):
            raise no_blob(name, min(set(digests) - {digest for digest, _ in seen}), url)
        return [(digest, there) for digest, there in seen if there is not None]

    def secure(self, name: str, needed: Needed, url: str) -> None:
        """As `check`; and nothing of it is about to be collected: see the module."""
        for _ in range(_ROUNDS):
            old = [pair for pair in self.check(name, needed, url) if self._is_old(pair[1])]
            if old:
                list(self._bucket.each(lambda pair: self._young(*pair), old))
                continue
            self._wait(needed)
            if not any(self._is_old(there) for _, there in self.check(name, needed, url)):
                return
        raise Unavailable(
            f"blobs of {name} in {url} stay old, though they were renewed",
            resolution="Look at the server's clock, and whether it takes minutes to answer.",
        )

    def _wait(self, digests: Iterable[Digest]) -> None:
        """Until nobody collects any of them."""
        marks = {_mark(digest) for digest in digests}
        while any(each.key in marks and each.age < DEAD for each in self._bucket.listed(CONDEMNED)):
            time.sleep(_PAUSE)

    def _keep(self, digest: Digest, size: int) -> bool:
        """Whether it is there; then it is young too."""
        seen = self._bucket.head(self.key(digest))
        return _fits(seen, size) and self._young(digest, seen)

    def _is_old(self, seen: Seen) -> bool:
        return seen.age > self._renewed

    def _young(self, digest: Digest, seen: Seen | None) -> bool:
        """Renew it if it is old; whether it is still there."""
        if seen is None or not self._is_old(seen):
            return seen is not None
        try:
            self._renew(digest, seen)
        except NotFound:
            return False
        return True

    def _renew(self, digest: Digest, seen: Seen) -> None:
        key, sha256 = self.key(digest), digest.hex if digest.algorithm == "sha256" else ""
        if seen.size == 0:
            self._bucket.put(key, b"", sha256=sha256)
            return
        if self._copies_renew:
            self._multipart.copy(key, key, seen.size, sha256)
            after = self._bucket.head(key)
            if after is None or after.age < seen.age:
                return
            self._copies_renew = False
        # versitygw changes only the metadata when an object is copied onto itself.
        self._multipart.copy_in_parts(key, key, seen.size, sha256)

    # Collecting

    def every(self) -> Iterator[Stored]:
        """All of them."""
        for seen in self._bucket.listed(FOLDER):
            algorithm, _, digits = seen.key.removeprefix(FOLDER).partition("/")
            try:
                digest = Digest.parse(f"{algorithm}:{digits}")
            except BadInput:
                continue  # not ours
            yield Stored(digest, seen.size, seen.age)

    def delete(self, digest: Digest, older_than: timedelta) -> bool:
        """Take one away if it is old enough; whether it did. Without an age it goes at once, whoever counts on it."""
        key = self.key(digest)
        if older_than <= timedelta(0):
            there = self._bucket.head(key) is not None
            self._bucket.delete(key)
            return there
        needed = max(older_than, self.patience)
        mark, begun = _mark(digest), time.monotonic()
        self._bucket.put(mark, b"")
        try:
            seen = self._bucket.head(key)
            doomed = seen is not None and seen.age >= needed and time.monotonic() - begun < DEAD.total_seconds() / 2
            if doomed:
                self._bucket.delete(key)
        except Unavailable:
            raise  # the server may still be at it: the mark stays until it counts as a dead one's
        except BaseException:
            self._bucket.delete(mark)
            raise
        self._bucket.delete(mark)
        return doomed

    def sweep(self, older_than: timedelta) -> int:
        """Abort uploads and delete staged streams and marks that are at least that old; how many uploads and streams
        that were."""
        count = 0
        for upload, age in list(self._multipart.uploads()):
            if age >= older_than and upload.key.startswith((FOLDER, INCOMING)):
                self._multipart.abort(upload)
                count += 1
        for seen in list(self._bucket.listed(INCOMING)):
            if seen.age >= older_than:
                self._bucket.delete(seen.key)
                count += 1
        for seen in list(self._bucket.listed(CONDEMNED)):
            if seen.age >= max(older_than, DEAD):
                self._bucket.delete(seen.key)
        return count


def _fits(seen: Seen | None, size: int | None) -> bool:
    return seen is not None and size in (None, seen.size)


def _mark(digest: Digest) -> str:
    return f"{CONDEMNED}{digest.algorithm}-{digest.hex}"


def _hashed(source: BinaryIO) -> tuple[Digest, int]:
    begin = source.tell()
    found = hashlib.file_digest(cast(FileIO, source), "sha256")
    return Digest("sha256", found.hexdigest()), source.tell() - begin
