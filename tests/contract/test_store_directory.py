"""What the directory store promises beyond the interface: many processes, killed writers, full disks, damage, index."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import naust.store.incoming as incoming_module
from common.errors import Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.model import Digest, Kind, Reference
from naust import listing
from naust.manifest import Blob
from naust.push import push_file
from naust.store import open_store
from naust.store.directory import DirectoryStore
from naust.store.index import FILE
from naust.transfer.verified import content
from tests.contract.test_store import DATED, NAME, put

REFERENCE = Reference.parse("file/thing:1.0")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "naust-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def in_child(act: Callable[[], None]) -> int:
    """Run it in a process of its own; 0 done, 7 Conflict, 1 any other error, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except Conflict:
            code = 7
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stored(store: DirectoryStore) -> list[Path]:
    """Every file that holds content, and those on their way in."""
    return [path for part in ("blobs", ".incoming") for path in (store.root / part).rglob("*") if path.is_file()]


# Many processes


def test_many_processes_that_write_the_same_blob_all_succeed(store: DirectoryStore) -> None:
    data = os.urandom(3 << 20)
    digest = Digest.of(data)
    children = [
        in_child(lambda: DirectoryStore(store.root).write(NAME, digest, len(data), io.BytesIO(data))) for _ in range(6)
    ]
    assert [ended(child) for child in children] == [0] * 6
    assert content(store, NAME, Blob(digest, len(data)), "it") == data
    assert stored(store) == [store.root / "blobs" / "sha256" / digest.hex]


def test_of_many_processes_that_want_one_name_exactly_one_gets_it(store: DirectoryStore) -> None:
    manifests = [put(store, str(number).encode()) for number in range(6)]
    children = [in_child(lambda m=manifest: store.put_manifest(NAME, DATED, m)) for manifest in manifests]  # type: ignore[misc]  # lambda
    assert sorted(ended(child) for child in children) == [0, 7, 7, 7, 7, 7]
    assert store.manifest(NAME, DATED) in manifests


def test_many_processes_that_publish_the_same_file_get_one_name(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"same")

    def publish(second: int) -> None:
        now = datetime(2026, 11, 24, 22, 15, second, tzinfo=UTC)
        push_file(open_store(store.url), tmp_path / "f", REFERENCE, now=now)

    children = [in_child(lambda n=number: publish(n)) for number in range(6)]  # type: ignore[misc]  # lambda
    assert [ended(child) for child in children] == [0] * 6
    assert len(listing.artifacts(store)) == 1


def test_many_processes_that_publish_different_files_lose_none(store: DirectoryStore, tmp_path: Path) -> None:
    now = datetime(2026, 11, 24, 22, 15, tzinfo=UTC)
    for number in range(6):
        (tmp_path / f"{number}").write_bytes(str(number).encode())
    children = [
        in_child(lambda n=number: (push_file(store, tmp_path / f"{n}", REFERENCE, title="f", now=now), None)[1])  # type: ignore[misc]  # lambda
        for number in range(6)
    ]
    assert [ended(child) for child in children] == [0] * 6
    assert len({each.digest for each in listing.artifacts(store)}) == 6


# Killed writers


def test_a_writer_killed_half_way_leaves_nothing_visible_and_the_next_cleans_up(store: DirectoryStore) -> None:
    data = os.urandom(3 << 20)
    digest = Digest.of(data)
    reading, writing = os.pipe()

    class Stuck(io.BytesIO):
        def read(self, *size: int | None) -> bytes:
            if self.tell() >= 2 << 20:
                os.write(writing, b"x")
                time.sleep(60)
            return super().read(*size)

    child = in_child(lambda: store.write(NAME, digest, len(data), Stuck(data)))
    os.read(reading, 1)
    os.kill(child, signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL
    assert store.stat(NAME, digest) is None
    assert not list(store.blobs())
    assert len(stored(store)) == 1

    DirectoryStore(store.root).write(NAME, digest, len(data), io.BytesIO(data))
    assert stored(store) == [store.root / "blobs" / "sha256" / digest.hex]


def test_a_writer_that_is_still_at_work_is_left_alone(store: DirectoryStore) -> None:
    class Intruder(io.BytesIO):
        def read(self, *size: int | None) -> bytes:
            DirectoryStore(store.root).add(NAME, io.BytesIO(b"other"))
            return super().read(*size)

    store.write(NAME, Digest.of(b"mine"), 4, Intruder(b"mine"))
    assert store.stat(NAME, Digest.of(b"mine")) == 4


def test_a_push_killed_at_any_step_leaves_all_or_nothing_and_is_finished_by_the_next(tmp_path: Path) -> None:
    """kill -9 before each fsync, rename and link that a push makes, one after another."""
    (tmp_path / "f").write_bytes(b"content")
    undisturbed = push_file(DirectoryStore(tmp_path / "calm"), tmp_path / "f", REFERENCE)
    points = 0
    while True:
        store = DirectoryStore(tmp_path / f"store{points}")
        code = ended(in_child(lambda: push_killed(store, tmp_path / "f", points)))  # noqa: B023  # it ends before the next
        whole = [each for each in listing.artifacts(store) if listing.is_whole(store, each)]
        assert whole == list(listing.artifacts(store))
        again = push_file(DirectoryStore(store.root), tmp_path / "f", REFERENCE)
        assert again.digest == undisturbed.digest
        assert not whole or whole == [again]
        assert len(listing.artifacts(store)) == 1
        assert not list((store.root / ".incoming").iterdir())
        if code == 0:
            break
        assert code == -signal.SIGKILL
        points += 1
    assert points > 10
    print(f"{points} points")


def push_killed(store: DirectoryStore, path: Path, at: int) -> None:
    left = at

    def or_die(act: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return act(*arguments)

        return step

    os.fsync = or_die(os.fsync)  # type: ignore[assignment]
    incoming_module.Path.rename = or_die(Path.rename)  # type: ignore[method-assign, assignment]
    incoming_module.Path.hardlink_to = or_die(Path.hardlink_to)  # type: ignore[method-assign, assignment]
    push_file(store, path, REFERENCE)


# Full disks and other failures


def test_a_full_disk_is_said_before_a_byte_is_written(small_disk: Path) -> None:
    store = DirectoryStore(small_disk / "store")
    data = bytes(8 << 20)
    with pytest.raises(Error) as error:
        store.write(NAME, Digest.of(data), len(data), io.BytesIO(data))
    assert "no space left" in error.value.message
    assert "Make room" in error.value.resolution
    assert not stored(store)


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_half(small_disk: Path, tmp_path: Path) -> None:
    store = DirectoryStore(small_disk / "store")
    (tmp_path / "big").write_bytes(os.urandom(8 << 20))
    with pytest.raises(Error) as error:
        push_file(store, tmp_path / "big", REFERENCE)
    assert (type(error.value), error.value.exit_code) == (Error, 1)
    assert "no space left" in error.value.message
    assert not stored(store)
    (tmp_path / "small").write_bytes(os.urandom(1 << 20))
    assert listing.is_whole(store, push_file(store, tmp_path / "small", REFERENCE))


def test_a_limit_on_file_sizes_is_told_like_a_full_disk(store: DirectoryStore) -> None:
    def write() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        data = bytes(3 << 20)
        with pytest.raises(Error, match="no space left"):
            store.write(NAME, Digest.of(data), len(data), io.BytesIO(data))

    assert ended(in_child(write)) == 0
    assert not stored(store)


def test_a_source_that_breaks_is_not_taken_for_a_broken_store(store: DirectoryStore) -> None:
    class Broken(io.BytesIO):
        def read(self, *size: int | None) -> bytes:
            raise ConnectionResetError("reset by peer")

    with pytest.raises(Unavailable) as error:
        store.add(NAME, Broken())
    assert "reset by peer" in error.value.details
    assert not stored(store)


def test_a_store_of_a_newer_format_is_refused(store: DirectoryStore) -> None:
    put(store, b"x", DATED)
    (store.root / ".format").write_text("2\n")
    with pytest.raises(Error, match="format 2"):
        DirectoryStore(store.root)


def test_opening_makes_nothing(tmp_path: Path) -> None:
    assert listing.artifacts(open_store(str(tmp_path / "none"))) == ()
    with pytest.raises(NotFound):
        listing.resolve(open_store(str(tmp_path / "none")), "file/thing")
    assert not list(tmp_path.iterdir())


# Damage


def test_a_damaged_manifest_is_refused(store: DirectoryStore) -> None:
    put(store, b"x", DATED)
    path = store.root / NAME / DATED
    damaged = path.read_bytes().replace(b"1.0", b"1.1")
    path.chmod(0o644)
    path.write_bytes(damaged)
    with pytest.raises(Corrupt) as error:
        store.manifest(NAME, DATED)
    assert f"{NAME}:{DATED}" in error.value.message


def test_a_truncated_blob_is_replaced_by_the_next_write(store: DirectoryStore) -> None:
    digest, _ = store.add(NAME, io.BytesIO(b"content"))
    path = store.root / "blobs" / "sha256" / digest.hex
    path.chmod(0o644)
    path.write_bytes(b"con")
    with pytest.raises(Corrupt) as error:
        content(store, NAME, Blob(digest, 7), "file/thing:1.0")
    assert str(digest) in error.value.message
    assert "file/thing:1.0" in error.value.message
    store.write(NAME, digest, 7, io.BytesIO(b"content"))
    assert content(store, NAME, Blob(digest, 7), "file/thing:1.0") == b"content"


def test_a_flipped_bit_is_found_while_reading(store: DirectoryStore) -> None:
    data = os.urandom(3 << 20)
    digest, size = store.add(NAME, io.BytesIO(data))
    path = store.root / "blobs" / "sha256" / digest.hex
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(2 << 20)
        file.write(bytes([data[2 << 20] ^ 1]))
    with pytest.raises(Corrupt):
        content(store, NAME, Blob(digest, size), "it")


# The index


def listed(store: DirectoryStore) -> list[str]:
    return [str(each.reference) for each in listing.artifacts(DirectoryStore(store.root))]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff\xfe rubbish\n[1,2"),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"\t1.0\t", b"\t6.6\t")),
        lambda path: path.write_bytes(path.read_bytes() * 2000),
    ],
    ids=["deleted", "emptied", "rubbish", "cut off", "changed", "bloated"],
)
def test_a_spoilt_index_changes_nothing_that_is_listed(store: DirectoryStore, spoil: Callable[[Path], object]) -> None:
    for number in range(3):
        put(store, str(number).encode(), f"1.0-20261124T22150{number}Z")
    before = listing.artifacts(store)
    index = store.root / FILE
    spoil(index)
    for _ in range(3):
        assert listing.artifacts(DirectoryStore(store.root)) == before
    assert {each.version for each in before} == {"1.0"}


def test_the_index_follows_a_channel_that_moves(store: DirectoryStore) -> None:
    first, second = put(store, b"first", "production"), put(store, b"second")
    assert listing.artifacts(store)[0].digest == Digest.of(first)
    store.put_manifest(NAME, "production", second, replacing=Digest.of(first))
    assert listing.artifacts(store)[0].digest == Digest.of(second)
    (store.root / FILE).unlink()
    assert listing.artifacts(store)[0].digest == Digest.of(second)


def test_the_index_never_lists_what_was_taken_away(store: DirectoryStore) -> None:
    put(store, b"x", DATED)
    put(store, b"y", "1.1-20261124T221500Z")
    assert len(listed(store)) == 2
    (store.root / NAME / DATED).unlink()
    assert listed(store) == [f"{NAME}:1.1-20261124T221500Z"]


def test_one_damaged_artefact_does_not_hide_the_others(store: DirectoryStore) -> None:
    put(store, b"x", DATED)
    put(store, b"y", "1.1-20261124T221500Z")
    path = store.root / NAME / DATED
    path.unlink()
    path.write_bytes(b"rubbish")
    damaged: list[Corrupt] = []
    found = listing.artifacts(store, damaged=damaged.append)
    assert [each.reference.tag for each in found] == ["1.1-20261124T221500Z"]
    assert [DATED in error.message for error in damaged] == [True]
    with pytest.raises(Corrupt):
        listing.resolve(store, NAME)


def test_a_foreign_file_among_the_tags_is_not_listed(store: DirectoryStore) -> None:
    put(store, b"x", DATED)
    (store.root / NAME / ".DS_Store").write_bytes(b"?")
    (store.root / NAME / "folder").mkdir()
    (store.root / Kind.FILE / "stray").write_bytes(b"?")
    assert listed(store) == [f"{NAME}:{DATED}"]


def test_listing_reads_no_manifest_that_it_knows(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        put(store, str(number).encode(), f"1.0-20261124T22150{number}Z")
    listed(store)
    monkeypatch.setattr("naust.manifest.parse", None)
    assert len(listed(store)) == 5


def test_a_reader_who_may_not_write_lists_all_the_same() -> None:
    # Not below pytest's folder, into which others may not look.
    with tempfile.TemporaryDirectory(prefix="naust-test-") as folder:
        Path(folder).chmod(0o755)
        store = DirectoryStore(Path(folder) / "store")
        put(store, b"x", DATED)

        def look() -> None:
            os.setgid(65534)
            os.setuid(65534)
            assert listed(store) == [f"{NAME}:{DATED}"]

        assert ended(in_child(look)) == 0
        assert not (store.root / FILE).exists()


def test_who_may_not_write_is_told_so() -> None:
    with tempfile.TemporaryDirectory(prefix="naust-test-") as folder:
        Path(folder).chmod(0o755)
        store = DirectoryStore(Path(folder) / "store")
        put(store, b"x", DATED)

        def write() -> None:
            os.setgid(65534)
            os.setuid(65534)
            with pytest.raises(Denied, match="may not be written"):
                DirectoryStore(store.root).add(NAME, io.BytesIO(b"y"))

        assert ended(in_child(write)) == 0
