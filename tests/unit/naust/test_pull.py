"""A pull that was broken off goes on where it was; one that goes wrong leaves nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Corrupt, Error, Unavailable
from common.model import Artifact, Digest, Reference
from naust.listing import resolve
from naust.manifest import Blob
from naust.pull import get_file, into_stream
from naust.push import push_file
from naust.transfer.partial import Partial, partial
from naust.transfer.pull_any import How, pull
from naust.transfer.pull_folder import get_folder, get_member
from naust.transfer.push_folder import push_folder
from tests.lab.shapes import full_tree
from tests.unit.naust.content.test_tree import HOSTILE, tar
from tests.unit.naust.transfer.test_verified import Store

SIZE = 20 << 20
FILE = Reference.parse("file/thing:1")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def pushed(store: Store, tmp_path: Path, data: bytes, name: str = "thing.bin") -> Artifact:
    (tmp_path / name).write_bytes(data)
    return push_file(store, tmp_path / name, FILE)


def broken(store: Store, artifact: Artifact, target: Path, at: int) -> Path:
    """The part that a pull left whose connection broke at this byte."""
    store.breaks = at
    with pytest.raises(Unavailable):
        get_file(store, artifact, target)
    store.breaks = -1
    (part,) = target.parent.glob(".*.part")
    return part


def test_a_broken_pull_goes_on_where_it_was(store: Store, folder: Path, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    found = pushed(store, tmp_path, data)
    broken(store, found, folder / "f", 18 << 20)
    done = get_file(store, found, folder / "f")
    assert (folder / "f").read_bytes() == data
    assert done.fetched + done.reused == SIZE
    assert done.fetched <= 4 << 20  # all but the last mark
    assert [path.name for path in folder.iterdir()] == ["f"]


def test_a_pull_that_was_killed_goes_on_where_it_was(store: Store, folder: Path, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    found = pushed(store, tmp_path, data)
    child = os.fork()
    if not child:
        mark = Partial.mark

        def killing(self: Partial, count: int) -> None:
            mark(self, count)
            if count:
                os.kill(os.getpid(), signal.SIGKILL)

        Partial.mark = killing  # type: ignore[method-assign]
        try:
            get_file(store, found, folder / "f")
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert not (folder / "f").exists()
    done = get_file(store, found, folder / "f")
    assert (folder / "f").read_bytes() == data
    assert 0 < done.reused < SIZE


@pytest.mark.parametrize("damage", ["content", "record", "short", "rubbish", "another size"])
def test_a_wrong_part_costs_time_and_nothing_else(store: Store, folder: Path, tmp_path: Path, damage: str) -> None:
    data = os.urandom(SIZE)
    found = pushed(store, tmp_path, data)
    part = broken(store, found, folder / "f", 18 << 20)
    content = bytearray(part.read_bytes())
    if damage == "content":
        content[1000] ^= 1
    elif damage == "record":
        content[-88] ^= 1
    elif damage == "short":
        del content[-200:]
    elif damage == "another size":
        content += b"!"
    part.write_bytes(b"rubbish" if damage == "rubbish" else content)
    done = get_file(store, found, folder / "f")
    assert (folder / "f").read_bytes() == data
    assert done.fetched == SIZE
    assert [path.name for path in folder.iterdir()] == ["f"]


def test_the_part_of_an_older_version_goes(store: Store, folder: Path, tmp_path: Path) -> None:
    broken(store, pushed(store, tmp_path, os.urandom(SIZE)), folder / "f", 18 << 20)
    get_file(store, pushed(store, tmp_path, b"new"), folder / "f")
    assert [path.name for path in folder.iterdir()] == ["f"]


def test_a_damaged_blob_leaves_nothing_even_after_a_broken_pull(store: Store, folder: Path, tmp_path: Path) -> None:
    found = pushed(store, tmp_path, os.urandom(SIZE))
    broken(store, found, folder / "f", 18 << 20)
    (blob,) = [digest for digest, data in store._contents.items() if len(data) == SIZE]
    store._contents[blob] = bytes(SIZE)
    with pytest.raises(Corrupt):
        get_file(store, found, folder / "f")
    assert not list(folder.iterdir())


def test_two_pulls_to_one_place_share_the_work(store: Store, folder: Path, tmp_path: Path) -> None:
    found = pushed(store, tmp_path, os.urandom(SIZE))
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda: results.append(get_file(store, found, folder / "f").place)) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [str(folder / "f")] * 2
    assert [path.name for path in folder.iterdir()] == ["f"]


def test_a_link_in_place_of_the_part_or_the_target_is_not_followed(store: Store, folder: Path, tmp_path: Path) -> None:
    found = pushed(store, tmp_path, b"content")
    (tmp_path / "precious").write_bytes(b"precious")
    (folder / "f").symlink_to(tmp_path / "precious")
    with pytest.raises(Conflict):
        get_file(store, found, folder / "f")
    (folder / "f").unlink()
    (folder / f".f.{Digest.of(b'content').hex[:16]}.part").symlink_to(tmp_path / "precious")
    with pytest.raises(Error):
        get_file(store, found, folder / "f")
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_part_stays_when_somebody_interrupts_and_goes_when_the_disk_is_full(folder: Path) -> None:
    blob = Blob(Digest.of(b"x"), 1)
    with pytest.raises(KeyboardInterrupt), partial(folder / "f", blob):
        raise KeyboardInterrupt
    assert list(folder.iterdir())
    with pytest.raises(OSError), partial(folder / "f", blob):
        raise OSError(28, "No space left on device")
    assert not list(folder.iterdir())


def test_what_is_here_already_is_a_seed(store: Store, folder: Path, tmp_path: Path) -> None:
    data = os.urandom(SIZE)
    found = pushed(store, tmp_path, data)
    done = get_file(store, found, folder / "f", seed=tmp_path / "thing.bin")
    assert done.fetched < 20_000  # the index
    assert done.reused == SIZE
    assert (folder / "f").read_bytes() == data
    (tmp_path / "other").write_bytes(os.urandom(SIZE))
    assert get_file(store, found, folder / "g", seed=tmp_path / "other").fetched >= SIZE


def test_a_stream_that_was_damaged_says_so_at_its_end(store: Store, tmp_path: Path) -> None:
    found = pushed(store, tmp_path, b"content")
    with (tmp_path / "sink").open("wb") as sink:
        assert into_stream(store, found, sink).fetched == 7
    store._contents[Digest.of(b"content")] = b"CONTENT"
    with (tmp_path / "sink").open("wb") as sink, pytest.raises(Corrupt):
        into_stream(store, found, sink)


# Directories


def crafted(store: Store, tmp_path: Path, data: bytes) -> Artifact:
    (tmp_path / "crafted.tar").write_bytes(data)
    push_file(store, tmp_path / "crafted.tar", FILE)
    return resolve(store, FILE)


@pytest.mark.parametrize("what", HOSTILE)
def test_an_unsafe_tar_leaves_nothing_at_all(store: Store, folder: Path, tmp_path: Path, what: str) -> None:
    found = crafted(store, tmp_path, HOSTILE[what])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Corrupt):
        pull(store, found, str(folder / "tree"), How(unpack=True))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_tar_without_an_index_is_unpacked_when_asked(store: Store, folder: Path, tmp_path: Path) -> None:
    found = crafted(store, tmp_path, tar(("d/f", b"content")))
    assert pull(store, found, str(folder)).place == str(folder / "crafted.tar")
    assert pull(store, found, str(folder / "tree"), How(unpack=True)).place == str(folder / "tree")
    assert (folder / "tree" / "d" / "f").read_bytes() == b"content"
    with pytest.raises(BadInput):
        pull(store, pushed(store, tmp_path, b"x"), str(folder / "x"), How(unpack=True))


def test_a_directory_goes_where_it_was_asked_for(store: Store, folder: Path, tmp_path: Path) -> None:
    push_folder(store, full_tree(tmp_path / "tree"), Reference.parse("rootfs/tree:1"))
    found = resolve(store, "rootfs/tree")
    assert get_folder(store, found, folder).place == str(folder)  # it was empty
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "mine").touch()
    assert get_folder(store, found, tmp_path / "busy").place == str(tmp_path / "busy" / "tree")
    with pytest.raises(Conflict):
        get_folder(store, found, tmp_path / "busy")
    with pytest.raises(Conflict):
        get_folder(store, found, tmp_path / "busy" / "mine")
    with pytest.raises(BadInput):
        get_folder(store, pushed(store, tmp_path, b"x"), tmp_path / "no")


def test_a_broken_pull_of_a_directory_goes_on_where_it_was(store: Store, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "large").write_bytes(os.urandom(SIZE))
    push_folder(store, tmp_path / "tree", FILE)
    found = resolve(store, FILE)
    store.breaks = 18 << 20
    with pytest.raises(Unavailable):
        get_folder(store, found, folder / "tree")
    store.breaks = -1
    assert not (folder / "tree").exists()
    assert get_folder(store, found, folder / "tree").reused >= 16 << 20
    assert [path.name for path in folder.iterdir()] == ["tree"]


@pytest.mark.parametrize("damage", ["tar", "index"])
def test_a_damaged_directory_leaves_nothing(store: Store, folder: Path, tmp_path: Path, damage: str) -> None:
    push_folder(store, full_tree(tmp_path / "tree"), Reference.parse("rootfs/tree:1"))
    found = resolve(store, "rootfs/tree")
    for digest, data in store._contents.items():
        if (damage == "tar") == (len(data) > 10_000) and digest != found.digest:
            store._contents[digest] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(Corrupt):
        get_folder(store, found, folder / "out")
    assert not list(folder.iterdir())
    store._contents |= {digest: bytes(len(data)) for digest, data in store._contents.items() if len(data) > 10_000}
    with pytest.raises(Corrupt):
        get_member(store, found, "plain", folder / "f")
    assert not list(folder.iterdir())


def test_a_directory_that_changes_a_little_is_pushed_again_and_one_that_does_not_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    now, store = time.time_ns, Store()
    tree = full_tree(tmp_path / "tree")
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now() + 10 * 10**9)
        first = push_folder(store, tree, Reference.parse("rootfs/tree:1"))
    with monkeypatch.context() as patch:
        patch.setattr("naust.transfer.push_folder.put_stream", None)
        assert push_folder(store, tree, Reference.parse("rootfs/tree:1")) == first
    (tree / "empty").write_text("no more")
    assert push_folder(store, tree, Reference.parse("rootfs/tree:1")).digest != first.digest
