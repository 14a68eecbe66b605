"""Pulls that fetch what changed: never a wrong byte, whatever seed and index say."""

from __future__ import annotations

import io
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import BadInput, Conflict, Corrupt, Denied, Unavailable
from common.model import Artifact, Digest, Event, Reference
from naust import manifest as oci
from naust.content.chunks import CONTENT, FIXED, TYPE, Chunks, Cutter, Method
from naust.manifest import Blob
from naust.proof.attached import attach
from naust.pull import get_file
from naust.push import push_file, push_stream
from naust.store.memory import MemoryStore
from naust.transfer import delta, digests, pull_any, seeds
from naust.transfer.delta import Cut, Moved, copy, fetch_from_seed, find_chunks
from naust.transfer.delta_plan import AGAIN, COPY, FETCH, ZERO, Piece, plan

BLOCK = 1 << 16
SIZE = 160 * BLOCK + 12_345
REFERENCE = Reference.parse("vm/thing:1")
INDEX = Blob(Digest.of(b""), 0)


class Counting(MemoryStore):
    """Counts what is read of blobs, and breaks off where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int | None]] = []
        self.breaks_after = 1 << 60
        self.shortens = False

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        self.ranges.append((start, length))
        with super().read(name, digest, start, length) as source:
            data = source.read()
        if length is not None and self.shortens:
            data = data[: len(data) // 2]
        yield Breaking(data, self)


class Breaking(io.BytesIO):
    def __init__(self, data: bytes, store: Counting) -> None:
        super().__init__(data)
        self._store = store

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._store.breaks_after -= len(buffer)
        if self._store.breaks_after < 0:
            raise Unavailable("the connection broke", resolution="Try again.")
        return super().readinto(buffer)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store() -> Counting:
    return Counting()


def content(seed: int = 1, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def rewritten(data: bytes, *blocks: int) -> bytes:
    changed = bytearray(data)
    for block in blocks:
        changed[block * BLOCK + 100 : block * BLOCK + 200] = b"y" * 100
    return bytes(changed)


def pushed(store: MemoryStore, folder: Path, data: bytes, title: str = "disk.qcow2", version: str = "1") -> Artifact:
    folder.mkdir(exist_ok=True)
    path = folder / title
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return push_file(store, path, Reference.parse(f"vm/thing:{version}"))


def pulled(store: MemoryStore, artifact: Artifact, path: Path, data: bytes, seed: Path | None = None) -> Moved:
    done = get_file(store, artifact, path, seed=seed)
    assert path.read_bytes() == data
    return Moved(done.fetched, done.reused)


# What is saved


def test_of_the_next_version_only_changed_blocks_are_fetched(store: Counting, tmp_path: Path) -> None:
    old, new = content(), rewritten(content(), 7, 8, 90)
    pulled(store, pushed(store, tmp_path / "a", old), tmp_path / "old", old)
    second = pushed(store, tmp_path / "a", new, version="2")
    store.ranges.clear()
    moved = pulled(store, second, tmp_path / "new", new)
    index = find_chunks(store, "vm/thing", second.digest, oci_blob(second, store))
    assert index is not None
    assert moved == Moved(3 * BLOCK + index[1], SIZE - 3 * BLOCK)
    assert sorted(each for each in store.ranges if each[1] is not None) == [(7 * BLOCK, 2 * BLOCK), (90 * BLOCK, BLOCK)]


def test_the_figure_that_is_promised_holds(store: Counting, tmp_path: Path) -> None:
    """5 % rewritten in place: at most 6 % fetched."""
    old, changed = content(), random.Random(2).sample(range(160), 8)
    new = rewritten(old, *changed)
    pulled(store, pushed(store, tmp_path / "a", old), tmp_path / "old", old)
    moved = pulled(store, pushed(store, tmp_path / "a", new, version="2"), tmp_path / "new", new)
    assert moved.fetched <= 0.06 * SIZE


def test_in_a_tar_what_moved_is_not_fetched_again(store: Counting, tmp_path: Path) -> None:
    old = content(size=16 << 20)
    new = old[: 8 << 20] + b"z" * 1000 + old[8 << 20 :]
    pulled(store, pushed(store, tmp_path / "a", old, "t.tar"), tmp_path / "old", old)
    moved = pulled(store, pushed(store, tmp_path / "a", new, "t.tar", "2"), tmp_path / "new", new)
    assert moved.fetched <= 0.1 * len(new)


def test_a_seed_that_is_named_is_taken_whatever_it_is_called(store: Counting, tmp_path: Path) -> None:
    old, new = content(), rewritten(content(), 3)
    (tmp_path / "seed").write_bytes(old)
    moved = pulled(store, pushed(store, tmp_path / "a", new), tmp_path / "new", new, seed=tmp_path / "seed")
    assert moved.reused == SIZE - BLOCK


def test_what_comes_twice_is_fetched_once_and_zeros_not_at_all(store: Counting, tmp_path: Path) -> None:
    old = content()
    block = random.Random(5).randbytes(BLOCK)
    new = block + bytes(4 * BLOCK) + block + block + bytes(40 * BLOCK) + old[47 * BLOCK :]
    (tmp_path / "seed").write_bytes(old)
    moved = pulled(store, pushed(store, tmp_path / "a", new), tmp_path / "new", new, seed=tmp_path / "seed")
    assert moved.reused == len(new) - BLOCK
    assert (tmp_path / "new").stat().st_blocks * 512 < len(new) - 40 * BLOCK


def test_a_pulled_file_need_not_be_hashed_to_be_a_seed(
    store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, newest = content(), rewritten(content(), 3), rewritten(content(), 3, 4)
    pulled(store, pushed(store, tmp_path / "a", old), tmp_path / "old", old)
    pulled(store, pushed(store, tmp_path / "a", new, version="2"), tmp_path / "new", new)
    third = pushed(store, tmp_path / "a", newest, version="3")
    monkeypatch.setattr(seeds, "of_file", None)
    assert pulled(store, third, tmp_path / "newest", newest).reused == SIZE - BLOCK


def test_the_last_file_of_a_name_that_is_still_there_is_the_seed(store: Counting, tmp_path: Path) -> None:
    versions = [content(), rewritten(content(), 3), rewritten(content(), 3, 4)]
    for number, data in enumerate(versions[:2]):
        pulled(store, pushed(store, tmp_path / "a", data, version=str(number)), tmp_path / str(number), data)
    assert seeds.remembered("vm/thing") == (tmp_path / "1", tmp_path / "0")
    (tmp_path / "1").unlink()
    moved = pulled(store, pushed(store, tmp_path / "a", versions[2], version="9"), tmp_path / "2", versions[2])
    assert moved.reused == SIZE - 2 * BLOCK


# What is not worth it


def test_a_first_pull_reads_no_index(store: Counting, tmp_path: Path) -> None:
    data = content()
    assert pulled(store, pushed(store, tmp_path / "a", data), tmp_path / "f", data) == Moved(SIZE, 0)
    assert store.ranges == [(0, None)]


def test_a_seed_with_too_little_in_common_is_let_be(store: Counting, tmp_path: Path) -> None:
    old, new = content(), content(2)[: 150 * BLOCK] + content()[150 * BLOCK :]
    (tmp_path / "seed").write_bytes(old)
    artifact = pushed(store, tmp_path / "a", new)
    store.ranges.clear()
    moved = pulled(store, artifact, tmp_path / "new", new, seed=tmp_path / "seed")
    assert moved.reused == 0
    assert [each for each in store.ranges if each[1] is not None] == []


@pytest.mark.parametrize("what", ["small", "compressed", "unwanted"])
def test_where_an_index_is_of_no_use_there_is_none(store: Counting, tmp_path: Path, what: str) -> None:
    path = tmp_path / ("f.gz" if what == "compressed" else "f.img")
    path.write_bytes(content(size=1 << 20 if what == "small" else SIZE))
    artifact = push_file(store, path, REFERENCE, chunks=what != "unwanted")
    assert not list(store.referrers("vm/thing", artifact.digest, TYPE))


def test_pushing_again_makes_no_second_index(store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SETTLED", -(10**15))  # every file was left alone for long enough
    first = pushed(store, tmp_path / "a", content())
    monkeypatch.setattr(delta, "chunks_of", None)
    assert push_file(store, tmp_path / "a" / "disk.qcow2", REFERENCE) == first
    assert len(list(store.referrers("vm/thing", first.digest, TYPE))) == 1


def test_a_stream_is_cut_while_it_is_sent(store: Counting, tmp_path: Path) -> None:
    data = content()
    artifact = push_stream(store, io.BytesIO(data), REFERENCE, title="t.tar")
    found = find_chunks(store, "vm/thing", artifact.digest, oci_blob(artifact, store))
    assert found is not None and found[0] == cut(data, Method(CONTENT), Digest.of(data))


def test_a_stream_that_is_read_again_is_cut_anew() -> None:
    data = content(size=300_000)
    stream = Cut(io.BytesIO(data), Method(FIXED))
    stream.read(100_000)
    assert stream.seek(0) == stream.tell() == 0 and stream.seekable()
    assert stream.readall() == data
    with pytest.raises(io.UnsupportedOperation):
        stream.seek(5)
    assert stream._cutter is not None
    assert stream._cutter.end(INDEX.digest) == cut(data, Method(FIXED), INDEX.digest)


class NoReferrers(MemoryStore):
    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        if ":" in reference:
            raise Denied("no referrers here", resolution="Live without.")
        return super().put_manifest(name, reference, manifest, replacing=replacing)


def test_that_no_index_can_be_attached_is_told_and_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content())
    told: list[Event] = []
    push_file(NoReferrers(), tmp_path / "f", REFERENCE, report=told.append)
    assert any("no referrers here" in event.message for event in told)


# What lies


def lying(store: Counting, artifact: Artifact, data: bytes, change: str) -> None:
    """An index that is not what it should be, instead of the one that is there."""
    store._subjects.clear()
    good = cut(data, Method(FIXED), Digest.of(data))
    if change == "of another blob":
        bad = Chunks(Digest.of(b"other"), good.size, good.method, good.digests).encode()
    elif change == "of another size":
        bad = cut(data + b"x", Method(FIXED), Digest.of(data)).encode()
    elif change == "rubbish":
        bad = b"rubbish" * 1000
    elif change == "cut off":
        bad = good.encode()[:-10]
    elif change == "chunks in another order":
        digests = [good.digests[at : at + 32] for at in range(0, len(good.digests), 32)]
        random.Random(1).shuffle(digests)
        bad = Chunks(good.blob, good.size, good.method, b"".join(digests)).encode()
    else:
        bad = Chunks(good.blob, good.size, good.method, bytes(32) + good.digests[32:]).encode()
    attach(store, "vm/thing", artifact.digest, bad, media_type=TYPE, artifact_type=TYPE)


@pytest.mark.parametrize(
    "change",
    ["of another blob", "of another size", "rubbish", "cut off", "chunks in another order", "one wrong digest"],
)
def test_an_index_that_lies_costs_time_and_never_a_byte(store: Counting, tmp_path: Path, change: str) -> None:
    old, new = content(), rewritten(content(), 7)
    (tmp_path / "seed").write_bytes(old)
    artifact = pushed(store, tmp_path / "a", new)
    lying(store, artifact, new, change)
    pulled(store, artifact, tmp_path / "new", new, seed=tmp_path / "seed")


@given(noise=st.binary(max_size=400), at=st.integers(0, 900))
@settings(deadline=None, max_examples=40)
def test_no_index_whatever_is_in_it_brings_a_wrong_byte(noise: bytes, at: int) -> None:
    least, delta.LEAST = delta.LEAST, 0
    old = content(size=20 * BLOCK + 5)
    new = rewritten(old, 7)
    encoded = bytearray(cut(new, Method(FIXED), Digest.of(new)).encode())
    encoded[at : at + len(noise)] = noise
    store = Counting()
    try:
        with TemporaryDirectory() as folder:
            artifact = pushed(store, Path(folder) / "a", new)
            store._subjects.clear()
            attach(store, "vm/thing", artifact.digest, bytes(encoded), media_type=TYPE, artifact_type=TYPE)
            (Path(folder) / "seed").write_bytes(old)
            pulled(store, artifact, Path(folder) / "new", new, seed=Path(folder) / "seed")
    finally:
        delta.LEAST = least


def test_a_good_index_is_found_among_bad_ones(store: Counting, tmp_path: Path) -> None:
    artifact = pushed(store, tmp_path / "a", content())
    for number in range(20):
        attach(store, "vm/thing", artifact.digest, b"rubbish %d" % number, media_type=TYPE, artifact_type=TYPE)
    assert find_chunks(store, "vm/thing", artifact.digest, oci_blob(artifact, store)) is not None


@pytest.mark.parametrize("change", ["rewritten", "shorter", "emptied"])
def test_a_seed_that_changes_while_it_is_read_costs_only_what_changed(
    store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    old, new, seed = content(), rewritten(content(), 7), tmp_path / "seed"
    seed.write_bytes(old)
    look = delta.chunks_of

    def meanwhile(file: int, method: Method) -> Chunks | None:
        found = look(file, method)
        changed = {"rewritten": rewritten(old, 50, 51), "shorter": old[: 100 * BLOCK], "emptied": b""}[change]
        seed.write_bytes(changed)
        return found

    artifact = pushed(store, tmp_path / "a", new)
    monkeypatch.setattr(delta, "chunks_of", meanwhile)
    moved = pulled(store, artifact, tmp_path / "new", new, seed=seed)
    if change == "rewritten":
        assert moved.reused == SIZE - 3 * BLOCK


@pytest.mark.parametrize("seed", ["missing", "folder", "pipe", "small", "empty"])
def test_what_can_be_no_seed_is_let_be(store: Counting, tmp_path: Path, seed: str) -> None:
    path = tmp_path / seed
    if seed == "folder":
        path.mkdir()
    elif seed == "pipe":
        os.mkfifo(path)
    elif seed != "missing":
        path.write_bytes(b"x" if seed == "small" else b"")
    data = content()
    assert pulled(store, pushed(store, tmp_path / "a", data), tmp_path / "new", data, seed=path).reused == 0


def test_a_seed_that_somebody_names_must_be_there(store: Counting, tmp_path: Path) -> None:
    artifact = pushed(store, tmp_path / "a", content())
    with pytest.raises(BadInput):
        pull_any.pull(store, artifact, str(tmp_path / "new"), pull_any.How(seed=tmp_path / "mistyped"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("trouble", ["none", "socket", "no room"])
def test_a_directory_is_a_seed_as_far_as_it_can_be_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    folder, size = tmp_path / "folder", 3 << 20
    folder.mkdir()
    (folder / "a").write_bytes(content(size=2 << 20))
    if trouble == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "b"))
    if trouble == "no room":
        room = os.statvfs(tmp_path)
        monkeypatch.setattr(
            os, "statvfs", lambda path: os.statvfs_result((*room[:4], 4 * size // room.f_frsize - 1, *room[5:]))
        )
    with seeds.opened(folder, tmp_path, size) as packed:
        assert (packed is None) == (trouble == "no room")
        assert packed is None or content(size=2 << 20) in os.pread(packed, size, 0)
    with seeds.opened(folder, tmp_path, 1 << 20) as packed:
        assert packed is None or os.fstat(packed).st_size < 3 << 20
    assert sorted(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["rubbish", "lie", "gone"])
def test_a_spoilt_cache_brings_no_wrong_byte(store: Counting, tmp_path: Path, cache: Path, damage: str) -> None:
    old, new = content(), rewritten(content(), 7)
    pulled(store, pushed(store, tmp_path / "a", old), tmp_path / "old", old)
    pulled(store, pushed(store, tmp_path / "a", new, version="2"), tmp_path / "new", new)
    for path in (cache / "seter").rglob("*"):
        if path.is_file() and damage == "gone":
            path.unlink()
        elif path.is_file() and damage == "rubbish":
            path.write_bytes(b"rubbish")
    if damage == "lie":
        wrong = cut(rewritten(new, 20, 21), Method(FIXED), INDEX.digest)
        seeds.keep((tmp_path / "new").stat(), wrong)
    newest = rewritten(new, 20, 21)
    pulled(store, pushed(store, tmp_path / "a", newest, version="3"), tmp_path / "newest", newest)


def test_a_cache_that_cannot_be_written_changes_nothing(
    store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    data = content()
    pulled(store, pushed(store, tmp_path / "a", data), tmp_path / "f", data)
    assert seeds.remembered("vm/thing") == ()


def test_the_cache_does_not_grow_without_end(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "_KEPT", 3)
    for number in range(6):
        path = tmp_path / str(number)
        path.write_bytes(b"x")
        seeds.keep(path.stat(), cut(b"x", Method(FIXED), INDEX.digest))
        seeds.remember("vm/thing", path)
    assert len(list((cache / "seter" / "chunks").iterdir())) == 3
    assert len(seeds.remembered("vm/thing")) == 4


# What breaks


@pytest.mark.parametrize("after", [0, 100_000, 900_000, 1_300_000])
def test_a_pull_that_was_broken_off_is_gone_on_with(store: Counting, tmp_path: Path, after: int) -> None:
    old, new = content(), rewritten(content(), *range(10, 150, 7))
    pulled(store, pushed(store, tmp_path / "a", old), tmp_path / "old", old)
    artifact = pushed(store, tmp_path / "a", new, version="2")
    store.breaks_after = after
    with pytest.raises(Unavailable):
        get_file(store, artifact, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    store.breaks_after = 1 << 60
    moved = pulled(store, artifact, tmp_path / "new", new)
    assert moved.reused >= SIZE - 20 * BLOCK
    assert not list(tmp_path.glob(".*.part"))


def test_a_part_that_is_there_counts(store: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = content(), rewritten(content(), 1, 2, 3, 140)
    monkeypatch.setattr(delta, "PART", BLOCK)
    pulled(store, pushed(store, tmp_path / "a", old), tmp_path / "old", old)
    artifact = pushed(store, tmp_path / "a", new, version="2")
    copied = delta.copy

    def stop(source: int, target: int, piece: Piece) -> None:
        if piece.start > 130 * BLOCK:
            raise Unavailable("no", resolution="no")
        copied(source, target, piece)

    monkeypatch.setattr(delta, "copy", stop)
    with pytest.raises(Unavailable):
        get_file(store, artifact, tmp_path / "new")
    monkeypatch.setattr(delta, "copy", copied)
    store.ranges.clear()
    pulled(store, artifact, tmp_path / "new", new)
    assert [each for each in store.ranges if each[1] is not None] == []


def test_answers_that_are_too_short_are_noticed(store: Counting, tmp_path: Path) -> None:
    old, new = content(), rewritten(content(), 7, 9)
    (tmp_path / "seed").write_bytes(old)
    artifact = pushed(store, tmp_path / "a", new)
    store.shortens = True
    pulled(store, artifact, tmp_path / "new", new, seed=tmp_path / "seed")


def test_a_damaged_blob_is_damaged_with_a_seed_too(store: Counting, tmp_path: Path) -> None:
    old, new = content(), rewritten(content(), 7)
    (tmp_path / "seed").write_bytes(old)
    artifact = pushed(store, tmp_path / "a", new)
    flipped = bytearray(new)
    flipped[7 * BLOCK] ^= 1
    store._contents[Digest.of(new)] = bytes(flipped)
    with pytest.raises(Corrupt):
        get_file(store, artifact, tmp_path / "new", seed=tmp_path / "seed")
    del store._contents[Digest.of(new)]
    with pytest.raises(Corrupt):
        get_file(store, artifact, tmp_path / "new", seed=tmp_path / "seed")
    assert not (tmp_path / "new").exists()


def test_what_is_there_already_is_not_overwritten(store: Counting, tmp_path: Path) -> None:
    artifact = pushed(store, tmp_path / "a", content())
    (tmp_path / "f").write_bytes(b"mine")
    with pytest.raises(Conflict):
        get_file(store, artifact, tmp_path / "f")


# The plan


def index_of(blocks: str) -> Chunks:
    """An index with a block for each letter; `0` are zeros."""
    return cut(b"".join(bytes(BLOCK) if b == "0" else b.encode() * BLOCK for b in blocks), Method(FIXED), INDEX.digest)


@pytest.mark.parametrize(
    ("wanted", "seed", "expected"),
    [
        ("abc", "abc", [(COPY, 0, 3, 0)]),
        ("abc", "cab", [(COPY, 0, 2, 1), (COPY, 2, 1, 0)]),
        ("axc", "abc", [(COPY, 0, 1, 0), (FETCH, 1, 1, 0), (COPY, 2, 1, 2)]),
        ("xx0x", "abc", [(FETCH, 0, 1, 0), (AGAIN, 1, 1, 0), (ZERO, 2, 1, 0), (AGAIN, 3, 1, 0)]),
        ("xyxy", "abc", [(FETCH, 0, 2, 0), (AGAIN, 2, 2, 0)]),
        ("", "abc", []),
    ],
)
def test_each_byte_comes_from_where_it_is_cheapest(
    wanted: str, seed: str, expected: list[tuple[str, int, int, int]]
) -> None:
    found = [
        (p.how, p.start // BLOCK, p.length // BLOCK, p.source // BLOCK) for p in plan(index_of(wanted), index_of(seed))
    ]
    assert found == expected


def test_small_gaps_are_fetched_if_that_saves_requests_and_little_is_lost() -> None:
    seed = index_of("a")
    many = "".join(chr(0x100 + number) for number in range(100))
    blocks = [many[at].encode("utf-16-le") * (BLOCK // 2) for at in range(100)]
    wanted = cut(b"".join([*blocks[:50], b"a" * BLOCK, *blocks[50:]]), Method(FIXED), INDEX.digest)
    assert plan(wanted, seed) == [Piece(FETCH, 0, 101 * BLOCK)]
    few = cut(b"".join([*blocks[:5], b"a" * BLOCK, *blocks[5:9]]), Method(FIXED), INDEX.digest)
    assert [piece.how for piece in plan(few, seed)] == [FETCH, COPY, FETCH]


def test_a_piece_is_copied_whole_or_as_far_as_there_is_something(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        copy(source.fileno(), target.fileno(), Piece(COPY, 2, 4, 5))
        copy(source.fileno(), target.fileno(), Piece(COPY, 8, 4, 8))
    assert (tmp_path / "b").read_bytes() == b"\0\x005678\0\x0089"


def test_a_seed_alone_can_be_asked_for_its_part(store: Counting, tmp_path: Path) -> None:
    new = rewritten(content(), 7)
    artifact = pushed(store, tmp_path / "a", new)
    (tmp_path / "seed").write_bytes(content())
    with (tmp_path / "f").open("w+b") as file:
        index = cut(new, Method(FIXED), Digest.of(new))
        moved = fetch_from_seed(
            store, "vm/thing", oci_blob(artifact, store), index, tmp_path / "seed", file.fileno(), "it"
        )
    assert moved == Moved(BLOCK, SIZE - BLOCK)
    assert (tmp_path / "f").read_bytes() == new


def cut(data: bytes, method: Method, blob: Digest) -> Chunks:
    cutter = Cutter(method)
    cutter.feed(data)
    found = cutter.end(blob)
    assert found is not None
    return found


def oci_blob(artifact: Artifact, store: MemoryStore) -> Blob:
    return oci.parse(store.manifest("vm/thing", str(artifact.digest)), "it").layers[0]
