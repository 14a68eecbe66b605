"""A pull of the next version fetches what changed, on every store (naust/transfer/delta.py)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from common.model import Artifact, Digest, Reference
from naust.content.chunks import TYPE
from naust.listing import resolve
from naust.manifest import parse
from naust.pull import get_file
from naust.push import push_file
from naust.store.interface import Store
from naust.transfer.delta import find_chunks
from naust.transfer.pull_folder import get_folder
from naust.transfer.pulled import Pulled
from naust.transfer.push_folder import push_folder
from tests.conftest import Tools
from tests.lab.shapes import state
from tests.lab.stores import STORES

BLOCK = 1 << 16
SIZE = 256 * BLOCK
NAME = "vm/delta"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with STORES[request.param](tmp_path) as opened:
        yield opened


@contextmanager
def counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The bytes that come out of blobs."""
    read, counts = store.read, []

    @contextmanager
    def counting(name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[Any]:
        with read(name, digest, start, length) as source:
            yield Counting(source, counts)

    with monkeypatch.context() as patched:
        patched.setattr(store, "read", counting)
        yield counts


class Counting:
    def __init__(self, source: BinaryIO, counts: list[int]) -> None:
        self._source, self._counts = source, counts

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._counts.append(len(data))
        return data


def push(store: Store, folder: Path, data: bytes, title: str, version: str) -> Artifact:
    path = folder / title
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    return push_file(store, path, Reference.parse(f"{NAME}:{version}"))


def pull(
    store: Store, artifact: Artifact, path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> tuple[Pulled, int]:
    with counted(store, monkeypatch) as counts:
        done = get_file(store, artifact, path)
    assert path.read_bytes() == data
    return done, sum(counts)


def disk(data: bytes) -> bytes:
    """5 % rewritten in place, in runs as a file system writes them."""
    changed, size = bytearray(data), len(data) // 20 // 4
    for at in (11, 60, 130, 222):
        changed[at * BLOCK : at * BLOCK + size] = random.Random(at).randbytes(size)
    return bytes(changed)


def tar(data: bytes) -> bytes:
    """1,000 bytes inserted in the middle."""
    return data[: len(data) // 2] + b"x" * 1000 + data[len(data) // 2 :]


@pytest.mark.parametrize(("title", "change", "most"), [("d.qcow2", disk, 0.08), ("t.tar", tar, 0.10)])
def test_a_pull_of_the_next_version_fetches_what_changed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, title: str, change: Any, most: float
) -> None:
    old = random.Random(1).randbytes(SIZE)
    new = change(old)
    first = push(store, tmp_path, old, title, "1")
    done, came = pull(store, first, tmp_path / "old", old, monkeypatch)
    assert (done.fetched, done.reused) == (came, 0) == (SIZE, 0)
    second = push(store, tmp_path, new, title, "2")
    done, came = pull(store, second, tmp_path / "new", new, monkeypatch)
    assert done.fetched == came <= most * SIZE
    assert done.reused >= (1 - most) * SIZE


def test_the_index_is_a_referrer_that_anybody_finds(store: Store, tmp_path: Path) -> None:
    pushed = push(store, tmp_path, random.Random(1).randbytes(SIZE), "d.img", "1")
    (referrer,) = store.referrers(NAME, pushed.digest, TYPE)
    assert referrer.artifact_type == TYPE
    blob = parse(store.manifest(NAME, str(pushed.digest)), "it").layers[0]
    found = find_chunks(store, NAME, pushed.digest, blob)
    assert found is not None and len(found[0]) == 256
    assert resolve(store, NAME).digest == pushed.digest


def test_a_folder_gets_an_index_while_it_is_packed(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(10):
        (folder / str(number)).write_bytes(random.Random(number).randbytes(1 << 20))
    pushed = push_folder(store, folder, Reference.parse("rootfs/delta:1"))
    blob = parse(store.manifest("rootfs/delta", str(pushed.digest)), "it").layers[0]
    assert find_chunks(store, "rootfs/delta", pushed.digest, blob) is not None


def test_the_next_version_of_a_directory_comes_from_the_one_that_was_unpacked(store: Store, tmp_path: Path) -> None:
    folder, trees = tmp_path / "folder", Reference.parse("rootfs/delta:1")
    folder.mkdir()
    for number in range(12):
        (folder / str(number)).write_bytes(random.Random(number).randbytes(1 << 20))
    get_folder(store, push_folder(store, folder, trees), tmp_path / "one")
    (folder / "5").write_bytes(b"changed")
    (folder / "7").write_bytes(b"more" + (folder / "7").read_bytes())
    second = push_folder(store, folder, Reference.parse("rootfs/delta:2"))
    near = store.url.startswith("file:")  # from there it comes faster than it is packed, unless somebody wants it so
    done = get_folder(store, second, tmp_path / "two", seed=tmp_path / "one" if near else None)
    assert state(tmp_path / "two") == state(folder)
    assert done.reused > 10 << 20 > 10 * done.fetched
    assert not list(tmp_path.glob(".naust-*"))
    done = get_folder(store, second, tmp_path / "three")
    assert (done.reused == 0) == near


def test_zeros_of_a_raw_disk_are_not_fetched_even_the_first_time(store: Store, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(BLOCK) + bytes(200 * BLOCK) + random.Random(2).randbytes(BLOCK) + bytes(100)
    done = get_file(store, push(store, tmp_path, data, "d.raw", "1"), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert 2 * BLOCK < done.fetched < 3 * BLOCK
    assert (tmp_path / "out").stat().st_blocks * 512 <= 4 * BLOCK


def test_the_command_tells_what_was_fetched_and_what_was_here_already(tmp_path: Path) -> None:
    naust = Tools(tmp_path, {"XDG_CACHE_HOME": str(tmp_path / "cache"), "NAUST_STORE": str(tmp_path / "store")})
    old = random.Random(1).randbytes(SIZE)
    for version, data in (("1", old), ("2", disk(old))):
        (tmp_path / "d.qcow2").write_bytes(data)
        naust("naust", "push", "d.qcow2", f"{NAME}:{version}", "--quiet")
    first = naust("naust", "pull", f"{NAME}:1", "one", "--json").json()
    assert (first["fetched"], first["reused"]) == (SIZE, 0)
    second = naust("naust", "pull", f"{NAME}:2", "two", "--json", "--seed", "one").json()
    assert second["fetched"] <= 0.08 * SIZE
    assert (tmp_path / "two").read_bytes() == disk(old)


def test_an_index_that_nobody_wants_is_not_made(tmp_path: Path) -> None:
    naust = Tools(tmp_path, {"XDG_CACHE_HOME": str(tmp_path / "cache"), "NAUST_STORE": str(tmp_path / "store")})
    (tmp_path / "d.img").write_bytes(random.Random(1).randbytes(SIZE))
    naust("naust", "push", "d.img", f"{NAME}:1", "--quiet", "--no-chunks")
    assert naust("naust", "show", NAME, "--json").json()["attachments"] == []
    naust("naust", "push", "d.img", f"{NAME}:1", "--quiet")
    assert [each["type"] for each in naust("naust", "show", NAME, "--json").json()["attachments"]] == [TYPE]
