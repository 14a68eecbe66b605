"""One blob into a file: the same bytes whatever the number of streams, and never a wrong one."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import Corrupt, Unavailable
from common.model import Digest
from naust.manifest import Blob
from naust.store.interface import Traits
from naust.store.memory import MemoryStore
from naust.transfer import streams, verified
from naust.transfer.streams import HOLE, Transfer, write_sparse
from naust.transfer.verified import chunks, content, fetch

PART = 4 << 20  # bytes; see far_away
NAME = "file/thing"


class Store(MemoryStore):
    """With several streams and faults: a read breaks off at `breaks` bytes from the beginning of the blob."""

    def __init__(self, streams: int = 1) -> None:
        super().__init__()
        self.streams, self.breaks, self.reads = streams, -1, 0

    def traits(self) -> Traits:
        return Traits(compare_and_swap=True, lists_blobs=True, holds=True, referrers=True, streams=self.streams)

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        self.reads += 1
        with super().read(name, digest, start, length) as source:
            yield Breaking(source, self.breaks - start) if self.breaks >= start else source  # type: ignore[misc]

    def keep(self, data: bytes) -> Blob:
        return Blob(*self.add(NAME, io.BytesIO(data)))


class Breaking(io.RawIOBase):
    def __init__(self, source: BinaryIO, left: int) -> None:
        self._source, self._left = source, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            raise Unavailable("the connection broke", resolution="Try again.")
        data = self._source.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(autouse=True)
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_FAST", 1e15)
    monkeypatch.setattr(streams, "_MARK", 1 << 20)
    for module in (verified, streams):
        monkeypatch.setattr(module, "PART", PART)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    for module in (verified, streams):
        monkeypatch.setattr(module, "PART", 1 << 16)
    return 1 << 16


def held(file: int) -> bytes:
    return os.pread(file, 1 << 30, 0)


def pattern(size: int) -> bytes:
    return (os.urandom(4093) * (size // 4093 + 1))[:size]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [0, 1, HOLE, (2 << 20) + 1, PART + 1, 3 * PART])
def test_all_of_it_arrives(file: int, count: int, size: int) -> None:
    store = Store(count)
    data = pattern(size)
    assert fetch(store, NAME, store.keep(data), file, "it") == size
    assert held(file) == data
    assert store.reads == (-(-size // PART) if count > 1 and size > PART else 1)


@given(st.integers(0, 300_000), st.integers(0, 300_000), st.integers(1, 4), st.booleans(), st.lists(st.integers(0, 4)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_what_is_there_is_not_read_again(
    file: int, small_parts: int, size: int, have: int, count: int, sparse: bool, zeros: list[int]
) -> None:
    data = bytearray(pattern(size))
    for block in zeros:
        data[block * HOLE : (block + 1) * HOLE] = bytes(len(data[block * HOLE : (block + 1) * HOLE]))
    have, store = min(have, size), Store(count)
    blob = store.keep(bytes(data))
    os.ftruncate(file, 0)
    os.pwrite(file, data[:have] + b"left over from a part that came out of order", 0)
    assert fetch(store, NAME, blob, file, "it", have=have, sparse=sparse) == size - have
    assert held(file) == bytes(data)


@pytest.mark.parametrize("count", [1, 3])
def test_a_sha512_blob_is_checked_as_such(file: int, count: int) -> None:
    store, data = Store(count), pattern(PART + 5)
    blob = Blob(Digest.of(data, "sha512"), len(data))
    store.write(NAME, blob.digest, blob.size, io.BytesIO(data))
    fetch(store, NAME, blob, file, "it")
    assert content(store, NAME, blob, "it") == data
    store._contents[blob.digest] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(Corrupt):
        fetch(store, NAME, blob, file, "it")


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("damage", ["first", "last", "short", "long", "gone", "empty"])
def test_damage_is_told_with_digest_and_artefact(file: int, count: int, damage: str) -> None:
    store, data = Store(count), pattern(2 * PART + 7)
    blob = store.keep(data)
    damaged = {
        "first": bytes([data[0] ^ 1]) + data[1:], "last": data[:-1] + bytes([data[-1] ^ 1]), "short": data[:-1],
        "long": data + b"!", "empty": b"",
    }  # fmt: skip
    if damage == "gone":
        del store._contents[blob.digest]
    else:
        store._contents[blob.digest] = damaged[damage]
    if damage == "long" and count > 1:
        # Only what belongs to it is asked for, and that is right.
        assert fetch(store, NAME, blob, file, "the artefact") == blob.size
        return
    with pytest.raises(Corrupt) as error:
        fetch(store, NAME, blob, file, "the artefact")
    assert str(blob.digest) in error.value.message
    assert "the artefact" in error.value.message


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("at", [0, 1, PART - 1, PART, 2 * PART + 3])
def test_a_broken_connection_says_how_far_it_came(file: int, count: int, at: int) -> None:
    store, data, marks = Store(count), pattern(2 * PART + 7), []
    blob, before = store.keep(data), set(threading.enumerate())
    store.breaks = at
    with pytest.raises(Unavailable):
        fetch(store, NAME, blob, file, "it", mark=marks.append)
    assert max(marks) <= at
    assert held(file)[: max(marks)] == data[: max(marks)]
    assert marks == sorted(marks)
    assert not set(threading.enumerate()) - before
    store.breaks = -1
    assert fetch(store, NAME, blob, file, "it", have=max(marks)) == blob.size - max(marks)
    assert held(file) == data


def test_zeros_become_holes_and_nothing_else(file: int) -> None:
    store = Store()
    data = bytes(4 * HOLE) + b"x" * HOLE + bytes(HOLE) + b"y" + bytes(HOLE) + bytes(9 * HOLE)
    fetch(store, NAME, store.keep(data), file, "it", sparse=True)
    assert held(file) == data
    assert os.fstat(file).st_blocks * 512 <= 4 * HOLE


@given(st.integers(0, 200_000), st.lists(st.tuples(st.integers(0, 199_999), st.binary(max_size=3)), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sparse_writing_writes_the_same(file: int, at: int, places: list[tuple[int, bytes]]) -> None:
    data = bytearray(200_000)
    for place, what in places:
        data[place : place + len(what)] = what
    os.ftruncate(file, 0)
    write_sparse(file, memoryview(data), at)
    os.ftruncate(file, at + len(data))
    assert held(file) == bytes(at) + bytes(data)


def test_of_a_large_blob_many_parts_are_asked_for_at_once() -> None:
    store = Store(8)
    assert verified._streams(store, 100 * PART) == 8
    assert verified._streams(store, 3 * PART) == 3
    assert verified._streams(store, 1) == 1


def test_where_one_stream_is_fast_the_rest_comes_in_one(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_FAST", 1)
    store = Store(8)
    data = pattern(5 * PART + 1)
    assert fetch(store, NAME, store.keep(data), file, "it") == len(data)
    assert held(file) == data and store.reads == 2


def test_memory_stays_the_same_whatever_the_size(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import os, re, sys; from pathlib import Path\n"
        "from naust.store.directory import DirectoryStore; from naust.manifest import Blob\n"
        "from naust.transfer.streams import Transfer\n"
        "store = DirectoryStore(Path(sys.argv[1])); size = int(sys.argv[2])\n"
        "os.truncate(os.open('big', os.O_RDWR | os.O_CREAT), 0); os.truncate('big', size)\n"
        "blob = Blob(*store.add('file/x', open('big', 'rb', buffering=0)))\n"
        "for streams in (1, 4):\n"
        "    file = os.open('out', os.O_RDWR | os.O_CREAT | os.O_TRUNC)\n"
        "    total = Transfer(store, 'file/x', blob, file, sparse=True, mark=lambda n: None).run(0, streams)\n"
        "    assert total.hexdigest() == blob.digest.hex\n"
        "print(re.search(r'VmHWM:\\s+([0-9]+) kB', Path('/proc/self/status').read_text())[1])\n"
    )
    peaks = []
    for size in (64 << 20, 192 << 20):
        ended = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / str(size)), str(size)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert not ended.returncode, ended.stderr
        peaks.append(int(ended.stdout))
    assert peaks[1] < 80_000
    assert peaks[1] < peaks[0] * 1.2


def test_pieces_are_checked_to_their_end() -> None:
    store = Store()
    blob = store.keep(pattern(3 << 20))
    with chunks(store, NAME, blob, "it") as pieces:
        assert b"".join(pieces) == store._contents[blob.digest]
    store._contents[blob.digest] = bytes(blob.size)
    with pytest.raises(Corrupt), chunks(store, NAME, blob, "it") as pieces:
        for _ in pieces:
            pass


def test_the_hash_sees_every_byte_once(file: int) -> None:
    store = Store()
    data = pattern(5 << 20)
    blob = store.keep(data)
    total = Transfer(store, NAME, blob, file, sparse=False, mark=lambda count: None).run(0, 1)
    assert total.hexdigest() == blob.digest.hex
