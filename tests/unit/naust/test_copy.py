"""Copies that meet trouble: stores that go away, full disks, damage, collectors, attackers."""

from __future__ import annotations

import io
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from common.errors import BadInput, Conflict, Corrupt, Error, NotFound, Partial, Unavailable
from common.model import Digest, Reference
from naust import copy as verb
from naust import manifest as oci
from naust import revoke
from naust.copy import Options, copy
from naust.listing import resolve
from naust.manifest import Blob
from naust.store.directory import DirectoryStore
from naust.store.interface import Store
from naust.store.memory import MemoryStore
from tests.lab.images import image, index, put, two_platforms

NAME = "container/thing"
DATED = "1.0-20261124T221500Z"


class Watched(MemoryStore):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Digest] = []
        self.mounts: list[tuple[str, str | None]] = []
        self.fails_after = 1 << 60  # reads, or writes, until it does not answer

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        self._answer()
        self.reads.append(digest)
        with super().read(name, digest, start, length) as source:
            yield source

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        self._answer()
        self.mounts.append((name, mount_from))
        super().write(name, digest, size, source, mount_from=mount_from)

    def _answer(self) -> None:
        self.fails_after -= 1
        if self.fails_after < 0:
            raise Unavailable("it does not answer", resolution="Try again.")


class PerName(Watched):
    """As a registry: a blob belongs to a name, and can be had from another by mounting."""

    def stat(self, name: str, digest: Digest) -> int | None:
        return super().stat(name, digest) if (name, digest) in self._has() else None

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        if mount_from and (mount_from, digest) in self._has():
            self.mounts.append((name, mount_from))
        else:
            super().write(name, digest, size, source, mount_from=mount_from)
        self._has().add((name, digest))

    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        found = super().put_manifest(name, reference, manifest, replacing=replacing)
        self._has().add((name, found))
        return found

    def _has(self) -> set[tuple[str, Digest]]:
        return self.__dict__.setdefault("_had", set())


def test_nothing_is_read_that_is_there() -> None:
    source, dest = Watched(), MemoryStore()
    image(source, NAME, b"base", b"new", tag=DATED)
    image(dest, NAME, b"base", tag="other")
    (done,) = copy(source, dest, [NAME])
    assert Digest.of(b"base") not in source.reads
    assert done.there == len(b"base")
    source.reads.clear()
    copy(source, dest, [NAME])
    assert not source.reads


def test_a_blob_of_many_artefacts_is_read_once_and_mounted_for_other_names() -> None:
    source, dest = Watched(), PerName()
    names = [f"container/thing-{number}" for number in range(8)]
    for name in names:
        image(source, name, b"base" * 1000, name.encode(), tag=DATED)
    done = copy(source, dest, ["*"], Options(at_once=4))
    assert not any(each.error for each in done)
    assert source.reads.count(Digest.of(b"base" * 1000)) == 1
    assert sum(origin is not None for _, origin in dest.mounts) == 7
    assert all(dest.stat(name, Digest.of(b"base" * 1000)) for name in names)


def test_a_store_that_goes_away_costs_only_what_was_under_way() -> None:
    source, dest = Watched(), MemoryStore()
    image(source, NAME, *(bytes([number]) * 10 for number in range(6)), tag=DATED)
    source.fails_after = 3
    (broken,) = copy(source, dest, [NAME], Options(at_once=1))
    assert (broken.code, list(dest.names())) == (9, [])
    with pytest.raises(Unavailable):
        verb.check([broken], dest)
    assert len(source.reads) == 3
    source.fails_after = 1 << 60
    (done,) = copy(source, dest, [NAME], Options(at_once=1))
    assert done.error == ""
    assert len(source.reads) == len(set(source.reads)) == 7


def test_when_a_store_is_gone_the_rest_is_not_tried() -> None:
    source, dest = Watched(), MemoryStore()
    for number in range(10):
        image(source, NAME, str(number).encode(), tag=f"1.{number}-20261124T22150{number}Z")
    source.fails_after = 4
    done = copy(source, dest, ["*"], Options(at_once=1))
    assert [each.error == "" for each in done] == [True] * 2 + [False] * 8
    assert sum("not tried" in each.error for each in done) == 5
    with pytest.raises(Partial) as error:
        verb.check(done, dest)
    assert all(f"1.{number}-" in error.value.details for number in range(2, 10))


def test_a_damaged_blob_leaves_nothing_at_the_destination(tmp_path: Path) -> None:
    source, dest = MemoryStore(), DirectoryStore(tmp_path)
    image(source, NAME, b"good", b"damaged", tag=DATED)
    source._contents[Digest.of(b"damaged")] = b"DAMAGED"
    (done,) = copy(source, dest, [NAME])
    assert done.code == 8
    assert f"{Digest.of(b'damaged')} of {NAME}:{DATED} in memory:// is damaged" in done.error
    assert dest.stat(NAME, Digest.of(b"damaged")) is None
    assert not list(dest.names())
    assert not list((tmp_path / ".incoming").iterdir())


def test_what_is_missing_in_the_source_is_said_before_a_byte_moves() -> None:
    source, dest = MemoryStore(), Watched()
    _, first, *_ = two_platforms(source, NAME, DATED)
    for lost in (first.digest, Digest.of(b"layer of arm64")):
        kept = source._contents.pop(lost)
        (done,) = copy(source, dest, [NAME])
        assert (done.code, dest.mounts) == (8, [])
        assert str(lost) in done.error
        source._contents[lost] = kept


def test_a_full_disk_is_said_before_a_byte_moves(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "naust-test", str(folder)], check=True)
    try:
        source = Watched()
        image(source, NAME, b"small", bytes(2 << 20), tag=DATED)
        (done,) = copy(source, DirectoryStore(folder / "store"), [NAME])
        assert (done.code, source.reads) == (1, [])
        assert "no space left" in done.error
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_what_a_collector_took_meanwhile_is_sent_again() -> None:
    class Collected(MemoryStore):
        times = 1

        def put_manifest(
            self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None
        ) -> Digest:
            if self.times:
                self.times -= 1
                self.delete(Digest.of(b"content"))
            return super().put_manifest(name, reference, manifest, replacing=replacing)

    source, dest = MemoryStore(), Collected()
    image(source, NAME, b"content", tag=DATED)
    assert [each.error for each in copy(source, dest, [NAME])] == [""]
    assert dest.stat(NAME, Digest.of(b"content")) == 7


def test_a_tag_that_appears_meanwhile_is_a_conflict() -> None:
    class Raced(MemoryStore):
        def put_manifest(
            self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None
        ) -> Digest:
            if reference == DATED and not self._tags(name):
                image(self, name, b"of somebody else")
                self._tagged.setdefault(name, {})[DATED] = Digest.of(b"somebody else")
            return super().put_manifest(name, reference, manifest, replacing=replacing)

    source, dest = MemoryStore(), Raced()
    image(source, NAME, b"content", tag=DATED)
    (done,) = copy(source, dest, [NAME])
    assert done.code == Conflict.exit_code


def test_memory_does_not_grow_with_the_size(tmp_path: Path) -> None:
    source, dest = DirectoryStore(tmp_path / "a"), DirectoryStore(tmp_path / "b")

    class Zeros(io.RawIOBase):
        left = 64 << 20

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            count = min(len(buffer), self.left)
            buffer[:count] = bytes(count)
            self.left -= count
            return count

    digest, size = source.add(NAME, Zeros())  # type: ignore[arg-type]
    source.write(NAME, Digest.of(b"{}"), 2, io.BytesIO(b"{}"))
    config = Blob(Digest.of(b"{}"), 2, oci.CONFIG).described()
    put(source, NAME, {"mediaType": oci.MANIFEST, "config": config, "layers": [Blob(digest, size).described()]}, DATED)
    tracemalloc.start()
    assert copy(source, dest, [NAME])[0].error == ""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20


def test_an_index_that_leads_in_circles_or_without_end_is_followed_once() -> None:
    source, dest = MemoryStore(), MemoryStore()
    inner = image(source, NAME, b"x")
    for number in range(200):
        inner = index(source, NAME, {"linux/amd64": inner, "linux/arm64": inner}, "" if number < 199 else "deep")
    (done,) = copy(source, dest, [f"{NAME}:deep"])
    assert done.error == ""
    assert dest.manifest(NAME, "deep") == source.manifest(NAME, "deep")


def test_an_artefact_by_its_digest_alone_comes_without_a_tag() -> None:
    source, dest = MemoryStore(), MemoryStore()
    top = image(source, NAME, b"x", tag=DATED)
    source.delete_tag(NAME, DATED)
    (done,) = copy(source, dest, [f"{NAME}@{top.digest}"])
    assert (done.error, done.digest, list(dest.names())) == ("", top.digest, [])
    assert dest.manifest(NAME, str(top.digest)) == source.manifest(NAME, str(top.digest))


def test_the_same_thing_named_twice_is_copied_once() -> None:
    source, dest = MemoryStore(), MemoryStore()
    image(source, NAME, b"x", tag=DATED)
    assert len(copy(source, dest, [NAME, f"{NAME}:1.0", "*", f"{NAME}:{DATED}"])) == 1


def test_copies_at_once_of_overlapping_artefacts_all_arrive(tmp_path: Path) -> None:
    source, dest = MemoryStore(), DirectoryStore(tmp_path)
    for number in range(20):
        layers = [f"{each}".encode() * 50 for each in range(number % 5, number % 5 + 4)]
        image(
            source,
            f"container/n{number % 3}",
            *layers,
            str(number).encode(),
            tag=f"1.{number}-20261124T2215{number:02}Z",
        )
    threads = [threading.Thread(target=copy, args=(source, DirectoryStore(tmp_path), ["*"])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each.sent == 0 and not each.error for each in copy(source, dest, ["*"]))


@pytest.mark.parametrize("text", ["linux", "/amd64", "linux/", "a/b/c/d"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        verb.check_platform(text)


def test_an_image_for_another_platform_is_not_passed_off_as_the_one_that_was_asked_for() -> None:
    source, dest = MemoryStore(), MemoryStore()
    image(source, NAME, b"x", tag=DATED, platform="linux/arm64")
    (done,) = copy(source, dest, [NAME], Options(platform="linux/amd64"))
    assert "is for linux/arm64" in done.error
    assert copy(source, dest, [NAME], Options(platform="linux/arm64"))[0].error == ""


def test_the_verdict_has_the_kind_of_what_went_wrong() -> None:
    def of(*codes: int) -> type[Error]:
        with pytest.raises(Error) as error:
            verb.check(
                [verb.Copied("x", None, None, error="e" if code else "", code=code) for code in codes], MemoryStore()
            )
        return error.type

    assert [of(*codes) for codes in ((8,), (9, 9), (7, 8), (0, 8), (2,), (1,))] == [
        Corrupt, Unavailable, Partial, Partial, BadInput, Error,
    ]  # fmt: skip
    verb.check([verb.Copied("x", None, None)], MemoryStore())


def test_a_plan_names_the_bytes_that_carrying_it_out_sends() -> None:
    source: Store = MemoryStore()
    image(source, NAME, b"content", tag=DATED)
    found = resolve(source, Reference.parse(NAME))
    planned = verb.plan(source, MemoryStore(), found)
    assert planned.sizes == (sum(blob.size for blob in planned.missing), 0)
    assert {blob.digest for blob in planned.missing} > {Digest.of(b"content")}
    with pytest.raises(NotFound):
        resolve(source, "container/none")


def test_a_list_of_revocations_grows_by_copies_and_never_shrinks() -> None:
    source, dest = MemoryStore(), MemoryStore()
    for number in range(3):
        image(source, NAME, str(number).encode(), tag=f"1.{number}-20261124T22150{number}Z")
    revoked = [resolve(source, f"{NAME}:1.{number}") for number in range(3)]
    revoke.revoke(source, revoked[0], "first", by="ann")
    assert not any(each.error for each in copy(source, dest, ["*"]))
    revoke.revoke(source, revoked[1], "second", by="ann")
    assert not any(each.error for each in copy(source, dest, ["*"]))
    assert {each.reason for each in revoke.the_list(dest).listing.entries} == {"first", "second"}

    revoke.revoke(dest, revoked[2], "of its own", by="bob")
    revoke.revoke(source, revoked[2], "third", by="ann", now=oci.moment("2020-01-01"))
    (refused,) = [each for each in copy(source, dest, ["*"], Options(move=True)) if each.error]
    assert (refused.reference, refused.code) == ("file/revocations:current", 7)
    assert "of its own" in refused.error
    for each in revoked:
        with pytest.raises(Corrupt):
            revoke.check(dest, each)


def test_what_several_artefacts_share_is_sent_and_counted_once() -> None:
    source, dest = Watched(), Watched()
    for number in range(4):
        image(source, NAME, b"x" * 5000, f"own {number}".encode(), tag=f"1.{number}-20261124T221500Z")
    done = copy(source, dest, ["*"])
    size = sum(each.size for each in dest.blobs())
    manifests = sum(len(dest.manifest(NAME, tag)) for tag in dest.tags(NAME))
    assert sum(each.sent for each in done) == size - manifests
    assert all(each.sent + each.there == done[0].sent + done[0].there for each in done)
