"""A store in memory, for tests and for what is only passed on. One process, any number of threads."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import BinaryIO

from common.errors import Corrupt
from common.model import Digest
from naust import manifest as oci
from naust import reach
from naust.store.interface import (
    Collectable,
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

_TRAITS = Traits(compare_and_swap=True, lists_blobs=True, holds=True, referrers=True)


class MemoryStore(Store, Collectable):
    """Gone with the process."""

    def __init__(self) -> None:
        self._contents: dict[Digest, bytes] = {}
        self._renewed: dict[Digest, float] = {}  # time.monotonic()
        self._tagged: dict[str, dict[str, Digest]] = {}
        self._subjects: dict[tuple[str, Digest], set[Digest]] = {}
        self._lock = threading.Lock()
        self._held: dict[str, threading.Lock] = {}

    @property
    def url(self) -> str:
        return "memory://"

    def traits(self) -> Traits:
        return _TRAITS

    def stat(self, name: str, digest: Digest) -> int | None:
        check_name(name)
        found = self._contents.get(digest)
        return None if found is None else len(found)

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        check_name(name)
        if digest not in self._contents:
            raise no_blob(name, digest, self.url)
        end = None if length is None else start + length
        yield io.BytesIO(self._contents[digest][start:end])

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        if self.stat(name, digest) == size:
            self._renewed[digest] = time.monotonic()
            return
        data = b""
        while len(data) <= size and (more := source.read(size + 1 - len(data))):
            data += more  # a stream may give less than it is asked for
        found = Digest.of(data, digest.algorithm)
        if (found, len(data)) != (digest, size):
            raise mismatch(digest, size, found, len(data))
        self._keep(digest, data)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        check_name(name)
        data = source.read()
        digest = Digest.of(data)
        self._keep(digest, data)
        return digest, len(data)

    def manifest(self, name: str, reference: str) -> bytes:
        check_name(name)
        digest = Digest.parse(reference) if ":" in reference else self._tags(name).get(check_tag(name, reference))
        if digest is None or digest not in self._contents:
            raise no_manifest(name, reference, self.url)
        return self._contents[digest]

    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        stated = Digest.parse(reference) if ":" in reference else None
        wanted = Digest.of(manifest, stated.algorithm if stated else "sha256")
        read = oci.parse(manifest, f"{check_name(name)}:{reference}")
        missing = next((blob for blob in read.blobs if self.stat(name, blob.digest) != blob.size), None)
        if missing:
            raise no_blob(name, missing.digest, self.url)
        if stated not in (None, wanted):
            raise Corrupt(f"the manifest of {name} is not {reference}", resolution="Nothing was stored.")
        with self._lock:
            if ":" not in reference:
                self._swap(name, check_tag(name, reference), wanted, replacing)
            self._contents[wanted] = manifest
            for node in reach.around(self, name, reach.Node(wanted, manifest, read), damaged=lambda error: None):
                for each in (node.digest, *(blob.digest for blob in node.read.blobs)):
                    self._renewed[each] = time.monotonic()
            if read.subject:
                self._subjects.setdefault((name, read.subject), set()).add(wanted)
        return wanted

    def _swap(self, name: str, tag: str, wanted: Digest, replacing: Digest | None) -> None:
        check_replacing(name, tag, replacing)
        there = self._tags(name).get(tag)
        if there not in (wanted, replacing):
            raise taken(name, tag, there, wanted, replacing)
        if there is None and replacing is not None:
            raise taken(name, tag, there, wanted, replacing)
        self._tagged.setdefault(name, {})[tag] = wanted

    def delete_tag(self, name: str, tag: str, *, expected: Digest | None = None) -> None:
        with self._lock:
            tags = self._tags(check_name(name))
            there = tags.get(check_tag(name, tag))
            if there is None:
                return
            if expected not in (None, there):
                raise taken(name, tag, there, expected or there, expected)
            del tags[tag]

    def names(self, prefix: str = "") -> Iterator[str]:
        yield from sorted(name for name in self._tagged if name.startswith(prefix) and self._tagged[name])

    def tags(self, name: str) -> Iterator[str]:
        yield from sorted(self._tags(check_name(name)))

    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        for found in sorted(self._subjects.get((check_name(name), digest), ())):
            if found not in self._contents:
                continue
            read = oci.parse(self._contents[found], f"{name}@{found}")
            if type in (None, read.artifact_type):
                yield Referrer(found, len(self._contents[found]), read.media_type, read.artifact_type)

    def hold(self, name: str) -> AbstractContextManager[None]:
        with self._lock:
            lock = self._held.setdefault(check_name(name), threading.Lock())
        return _holding(lock)

    def blobs(self) -> Iterator[Stored]:
        for digest, data in list(self._contents.items()):
            yield Stored(digest, len(data), self._age(digest))

    def delete(self, digest: Digest, *, older_than: timedelta = timedelta(0)) -> bool:
        with self._lock:
            return self._age(digest) >= older_than and self._contents.pop(digest, None) is not None

    def _age(self, digest: Digest) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._renewed.get(digest, 0.0))

    def _keep(self, digest: Digest, data: bytes) -> None:
        self._contents[digest] = data
        self._renewed[digest] = time.monotonic()

    def _tags(self, name: str) -> dict[str, Digest]:
        return self._tagged.get(name, {})


@contextmanager
def _holding(lock: threading.Lock) -> Iterator[None]:
    with lock:
        yield
