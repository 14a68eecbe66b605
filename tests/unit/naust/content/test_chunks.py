"""Indexes of chunks: how blobs are cut, and what is believed of an index that somebody else wrote."""

from __future__ import annotations

import os
import random
import tracemalloc
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Corrupt
from common.model import Digest
from naust.content import chunks
from naust.content.chunks import AVERAGE, CONTENT, FIXED, Chunks, Cutter, Method, of_file, parse, zeros

BOTH = (Method(FIXED), Method(CONTENT))
BLOB = Digest.of(b"")


KNOWN = [74185, 106069, 24113, 27575, 78084, 66565, 101816, 100216, 75214, 79992, 65561, 71019, 55970, 69770, 3851]


def data(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def cut(content: bytes, method: Method, piece: int = 1 << 20) -> Chunks:
    cutter = Cutter(method)
    for start in range(0, len(content), piece):
        cutter.feed(content[start : start + piece])
    found = cutter.end(BLOB)
    assert found is not None
    return found


@pytest.mark.parametrize("method", BOTH, ids=str)
@pytest.mark.parametrize("size", [0, 1, AVERAGE - 1, AVERAGE, AVERAGE + 1, 3_000_000])
def test_chunks_cover_the_blob_in_order_and_are_what_they_say(method: Method, size: int) -> None:
    content, end = data(size), 0
    for offset, length, digest in cut(content, method):
        assert (offset, digest) == (end, bytes.fromhex(Digest.of(content[offset : offset + length]).hex))
        end = offset + length
    assert end == size


@pytest.mark.parametrize("method", BOTH, ids=str)
def test_the_cut_does_not_depend_on_how_the_bytes_come(method: Method) -> None:
    content = data(2_500_000)
    assert cut(content, method, 1 << 20) == cut(content, method, 777) == cut(content, method, 1 << 30)


def test_the_cut_is_the_one_that_others_made_before() -> None:
    """A library that cuts otherwise would make every old index useless."""
    assert list(cut(data(1_000_000), Method(CONTENT)).lengths) == KNOWN


def test_content_defined_chunks_find_themselves_again_behind_an_insertion() -> None:
    content = data(8 << 20)
    moved = content[: 4 << 20] + b"x" * 1000 + content[4 << 20 :]
    before = {digest for _, _, digest in cut(content, Method(CONTENT))}
    fresh = sum(length for _, length, digest in cut(moved, Method(CONTENT)) if digest not in before)
    assert fresh < 512 << 10


@pytest.mark.parametrize("method", BOTH, ids=str)
def test_a_file_is_cut_as_its_bytes_are(method: Method, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(data(1_500_000))
    with path.open("rb") as file:
        assert of_file(file.fileno(), 1_500_000, method, BLOB) == cut(path.read_bytes(), method)
        assert file.tell() == 0
        assert of_file(file.fileno(), 1_500_001, method, BLOB) is None


@pytest.mark.parametrize("method", BOTH, ids=str)
def test_memory_is_constant(method: Method, tmp_path: Path) -> None:
    def most(size: int) -> int:
        path = tmp_path / str(size)
        with path.open("wb") as file:
            for number in range(size >> 20):
                file.write(random.Random(number).randbytes(1 << 20))
        descriptor = os.open(path, os.O_RDONLY)
        tracemalloc.start()
        try:
            assert of_file(descriptor, size, method, BLOB)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            os.close(descriptor)

    most(1 << 20)
    assert most(24 << 20) < most(6 << 20) + (200 << 10)


@pytest.mark.parametrize(
    ("media_type", "size", "expected"),
    [
        ("application/x-qemu-disk", 1 << 30, Method(FIXED)),
        ("application/octet-stream", 1 << 30, Method(FIXED)),
        ("application/x-tar", 1 << 30, Method(CONTENT)),
        ("application/vnd.oci.image.layer.v1.tar", 1 << 30, Method(CONTENT)),
        ("application/vnd.oci.image.layer.v1.tar+gzip", 1 << 30, None),
        ("application/gzip", 1 << 30, None),
        ("application/zstd", 1 << 30, None),
        ("application/x-qemu-disk", 16 << 30, Method(FIXED)),
        ("application/x-qemu-disk", (16 << 30) + 1, Method(FIXED, 2 * AVERAGE)),
        ("application/x-tar", 1 << 50, Method(CONTENT, 4 << 20)),
    ],
)
def test_the_type_decides_how_a_blob_is_cut(media_type: str, size: int, expected: Method | None) -> None:
    assert Method.of(media_type, size) == expected


def test_a_blob_of_endless_chunks_gets_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MOST", 2)
    cutter = Cutter(Method(FIXED))
    cutter.feed(bytes(5 * AVERAGE))
    assert cutter.end(BLOB) is None


def test_zeros_are_known_by_their_digest() -> None:
    for length in (0, 1, AVERAGE, (1 << 20) + 1, 5 << 20):
        assert zeros(length).hex() == Digest.of(bytes(length)).hex


# Indexes of others

INDEXES = st.one_of(
    st.builds(lambda size: cut(data(size), Method(FIXED)), st.integers(0, 200_000)),
    st.builds(lambda size: cut(data(size), Method(CONTENT)), st.integers(0, 400_000)),
)


@given(index=INDEXES)
@settings(deadline=None, max_examples=30)
def test_an_index_comes_back_as_it_was_written(index: Chunks) -> None:
    assert parse(index.encode(), "it") == index


@given(index=INDEXES, at=st.integers(0, 100_000), value=st.integers(0, 255), cut_at=st.none() | st.integers(0, 100_000))
@settings(deadline=None, max_examples=200)
def test_a_damaged_index_is_refused_or_covers_its_blob_exactly(
    index: Chunks, at: int, value: int, cut_at: int | None
) -> None:
    encoded = bytearray(index.encode())
    encoded[at % len(encoded)] = value
    try:
        read = parse(bytes(encoded[:cut_at]), "it")
    except Corrupt:
        return
    end = 0
    for offset, length, _ in read:
        assert offset == end and length > 0
        end += length
    assert end == read.size


@given(data=st.binary(max_size=300))
@settings(max_examples=200)
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse(data, "it")


def test_what_lies_about_its_measures_is_refused() -> None:
    good = cut(data(200_000), Method(CONTENT))
    fixed = cut(data(200_000), Method(FIXED))
    huge = array("I", [2**32 - 1, *good.lengths[1:]])
    for bad in (
        Chunks(BLOB, good.size + 1, good.method, good.digests, good.lengths),
        Chunks(BLOB, good.size, good.method, good.digests, huge),
        Chunks(BLOB, good.size, good.method, good.digests, array("I", [0, *good.lengths[1:]])),
        Chunks(BLOB, fixed.size + AVERAGE, fixed.method, fixed.digests),
        Chunks(BLOB, 0, fixed.method, fixed.digests),
        Chunks(BLOB, 1 << 63, fixed.method, fixed.digests),
        Chunks(BLOB, fixed.size, Method("other"), fixed.digests),
        Chunks(BLOB, fixed.size, Method(FIXED, 1), fixed.digests),
        Chunks(BLOB, fixed.size, Method(FIXED, 1 << 30), fixed.digests),
    ):
        with pytest.raises(Corrupt):
            parse(bad.encode(), "it")
