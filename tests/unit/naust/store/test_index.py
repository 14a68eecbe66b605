"""The index of a directory: it saves work and never lies."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.errors import Conflict, Corrupt
from common.model import Artifact, Digest, Kind
from naust import manifest as oci
from naust.brief import ALONE, CHANNEL, VERSION, Brief, escaped, plain
from naust.manifest import Blob
from naust.store import index
from naust.store.directory import DirectoryStore
from naust.store.index import FILE
from tests.bench.hundred_thousand import filled

NAMES = ("file/a", "file/a-b", "vm/a")
TAGS = ("1.0-20261124T221500Z", "1.1-20261124T221501Z", "production", "staging")
LATER = 3_000_000_000  # ns; past what the clock's step is taken for


def put(store: DirectoryStore, name: str, tag: str, content: bytes, **more: str) -> bytes:
    """Publish one blob under a tag, in place of what has it."""
    for data in (content, oci.EMPTY_CONFIG):
        store.write(name, Digest.of(data), len(data), io.BytesIO(data))
    blob = Blob(Digest.of(content), len(content), "text/plain")
    manifest = oci.file_manifest(Kind.FILE, blob, "thing", oci.annotated(Kind.FILE, "1.0", more=more))
    there = Digest.of((store.root / name / tag).read_bytes()) if (store.root / name / tag).is_file() else None
    with suppress(Conflict):  # versions stay
        store.put_manifest(name, tag, manifest, replacing=there)
    return manifest


def walked(store: DirectoryStore) -> set[object]:
    """What the folders say, without an index."""
    found: set[object] = set()
    for name in store.names():
        for tag in store.tags(name):
            path = store.root / name / tag
            try:
                found.add(oci.brief(oci.artifact(name, tag, path.read_bytes())))
            except Corrupt as error:
                found.add((name, error.message))
    return found


def indexed(store: DirectoryStore) -> set[object]:
    """What the index says."""
    return {each if isinstance(each, Artifact) else (name, each.message) for name, each in store.artifacts()}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change is long ago."""
    monkeypatch.setattr(index.Index, "_now", lambda self: time.time_ns() + LATER)


def stamps(store: DirectoryStore) -> list[str]:
    with closing(sqlite3.connect(store.root / FILE)) as database:
        return [stamp for (stamp,) in database.execute("SELECT stamp FROM folder ORDER BY name")]


# It never lies


def spoil(path: Path, how: int) -> None:
    """Damage the index as crashes, disks and people do."""
    if not path.exists():
        return
    data = bytearray(path.read_bytes())
    if how == 0:
        path.unlink()
    elif how == 1:
        path.write_bytes(data[: len(data) // 2])
    elif how == 2:
        path.write_bytes(b"rubbish")
    else:
        for at in range(how, len(data), 997):
            data[at] ^= 1 << how % 8
        path.write_bytes(data)


STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.sampled_from(TAGS), st.integers(0, 2)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.sampled_from(TAGS), st.just(0)),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(TAGS), st.integers(0, 3)),
    st.tuples(st.just("replace by rubbish"), st.sampled_from(NAMES), st.sampled_from(TAGS), st.just(0)),
    st.tuples(st.just("remove the folder"), st.sampled_from(NAMES), st.just(""), st.just(0)),
    st.tuples(st.just("spoil the index"), st.just(""), st.just(""), st.integers(0, 300)),
    st.tuples(st.just("let time pass"), st.just(""), st.just(""), st.just(0)),
)


def act(store: DirectoryStore, what: str, name: str, tag: str, number: int) -> None:
    path = store.root / name / tag
    if what == "put":
        put(store, name, tag, str(number).encode())
    elif what == "delete":
        store.delete_tag(name, tag)
    elif what == "rename" and path.is_file():
        path.rename(path.with_name(TAGS[number]))
    elif what == "replace by rubbish" and path.parent.is_dir():
        fresh = store.root / "fresh"
        fresh.write_bytes(b"rubbish")
        fresh.rename(path)
    elif what == "remove the folder":
        shutil.rmtree(path, ignore_errors=True)
    elif what == "spoil the index":
        spoil(store.root / FILE, number)
    elif what == "let time pass":
        time.sleep(0.03)


@given(steps=st.lists(STEPS, min_size=1, max_size=14))
@example(steps=[("put", "file/a", "1.0-20261124T221500Z", 0), ("spoil the index", "", "", 255)])
@settings(deadline=None, max_examples=60)
def test_whatever_happens_the_index_lists_what_a_walk_finds(steps: list[tuple[str, str, str, int]]) -> None:
    step, index._STEP = index._STEP, 12_000_000  # past the tick of any kernel
    try:
        with TemporaryDirectory() as folder:
            store = DirectoryStore(Path(folder) / "store")
            for each in steps:
                act(store, *each)
                assert indexed(store) == walked(store)
            assert {row.tag for row in store.rows() if isinstance(row, Brief)} == {
                each.reference.tag for each in walked(store) if isinstance(each, Artifact)
            }
    finally:
        index._STEP = step


def test_a_folder_that_changed_just_now_is_read_again(store: DirectoryStore) -> None:
    put(store, "file/a", TAGS[0], b"x")
    indexed(store)
    assert stamps(store) == [""]


def test_a_folder_that_changed_long_ago_is_believed(store: DirectoryStore, settled: None) -> None:
    put(store, "file/a", TAGS[0], b"x")
    indexed(store)
    assert "" not in stamps(store)


def test_a_change_while_the_folder_is_read_is_not_missed(
    store: DirectoryStore, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "file/a", TAGS[0], b"x")
    read = index.Index._read

    def meanwhile(self: index.Index, name: str, tag: str) -> object:
        if tag == TAGS[0]:
            put(store, "file/a", TAGS[1], b"y")
        return read(self, name, tag)

    monkeypatch.setattr(index.Index, "_read", meanwhile)
    indexed(store)
    monkeypatch.setattr(index.Index, "_read", read)
    assert indexed(store) == walked(store)
    assert len(indexed(store)) == 2


def test_a_backup_of_the_index_beside_a_newer_store_is_seen_through(store: DirectoryStore, settled: None) -> None:
    put(store, "file/a", TAGS[0], b"x")
    indexed(store)
    old = (store.root / FILE).read_bytes()
    put(store, "file/a", TAGS[1], b"y")
    indexed(store)
    (store.root / FILE).write_bytes(old)
    assert len(indexed(store)) == 2


def test_an_artefact_that_was_mended_in_place_is_listed_again(store: DirectoryStore, settled: None) -> None:
    manifest = put(store, "file/a", TAGS[0], b"x")
    path = store.root / "file/a" / TAGS[0]
    path.unlink()
    path.write_bytes(b"rubbish")
    assert any(isinstance(each, tuple) for each in indexed(store))
    path.write_bytes(manifest)
    assert indexed(store) == walked(store)


# It saves work


def test_only_folders_that_changed_are_looked_into(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(filled(tmp_path / "store", 60, names=20))
    indexed(store)
    looked: list[str] = []
    scan = os.scandir

    def counted(path: str) -> object:
        looked.append(str(path))
        return scan(path)

    put(store, "file/thing-3", TAGS[0], b"x")
    monkeypatch.setattr(os, "scandir", counted)
    assert indexed(store) == walked(store)
    assert sorted({Path(each).name for each in looked} - set(Kind)) == ["thing-3"]


def test_of_a_folder_that_changed_only_new_manifests_are_read(
    store: DirectoryStore, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "file/a", TAGS[0], b"x")
    indexed(store)
    put(store, "file/a", TAGS[1], b"y")
    read: list[str] = []
    original = index.Index._read
    monkeypatch.setattr(index.Index, "_read", lambda self, name, tag: (read.append(tag), original(self, name, tag))[1])
    assert len(indexed(store)) == 2
    assert read == [TAGS[1]]


def test_a_listing_of_what_did_not_change_writes_nothing(store: DirectoryStore) -> None:
    put(store, "file/a", TAGS[0], b"x")
    indexed(store)
    before = (store.root / FILE).stat().st_mtime_ns
    indexed(store)
    assert (store.root / FILE).stat().st_mtime_ns == before


def test_four_times_as_many_take_about_four_times_as_long(tmp_path: Path, settled: None) -> None:
    def taken(count: int) -> float:
        store = DirectoryStore(filled(tmp_path / str(count), count, names=count // 50))
        list(store.rows())
        return min(timed(lambda: list(store.rows())) for _ in range(5))

    assert taken(2000) < 9 * taken(500)


def test_memory_does_not_grow_with_the_store(tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_BATCH", 10)

    def most(count: int) -> int:
        store = DirectoryStore(filled(tmp_path / str(count), count, names=count // 20))
        for _ in store.artifacts():
            pass
        tracemalloc.start()
        try:
            for number, _ in enumerate(store.artifacts()):
                if number % 50 == 0:
                    gc.collect()  # when it comes by itself is chance
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert most(1200) < 1.5 * most(300)


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


# Channels, and what is none


def test_a_channel_is_known_as_one(store: DirectoryStore) -> None:
    put(store, "file/a", TAGS[0], b"x")
    put(store, "file/a", "production", b"x")
    put(store, "file/a", "latest", b"x")
    put(store, "file/a", "loose", b"other")
    rows = {row.tag: row for row in store.rows("file/") if isinstance(row, Brief)}
    assert rows[TAGS[0]].channels == "latest,production"
    assert {tag: row.role for tag, row in rows.items()} == {
        TAGS[0]: VERSION, "production": CHANNEL, "latest": CHANNEL, "loose": ALONE,
    }  # fmt: skip


def test_tags_that_only_say_who_refers_are_no_artefacts(store: DirectoryStore) -> None:
    put(store, "file/a", TAGS[0], b"x")
    for tag in (f"sha256-{'0' * 64}", f"sha256-{'0' * 64}.sig"):
        put(store, "file/a", tag, b"x")
        put(store, "file/only", tag, b"x")
    assert list(store.tags("file/a")) == [TAGS[0]]
    assert list(store.names()) == ["file/a"]
    assert [row.tag for row in store.rows() if isinstance(row, Brief)] == [TAGS[0]]


@given(text=st.text(alphabet=st.characters(codec=None), max_size=30))
def test_a_row_holds_any_text_and_is_safe_to_print(text: str) -> None:
    assert plain(escaped(text)) == text
    assert escaped(text).isprintable() and "\t" not in escaped(text)


# Checking and making anew


def test_the_check_finds_nothing_where_all_is_well(store: DirectoryStore, settled: None) -> None:
    put(store, "file/a", TAGS[0], b"x")
    assert store.check_index() == ()
    indexed(store)
    put(store, "file/b", TAGS[0], b"x")
    assert store.check_index() == ()


def test_the_check_finds_what_changed_in_place_and_a_rebuild_mends_the_index(
    store: DirectoryStore, settled: None
) -> None:
    put(store, "file/a", TAGS[0], b"x")
    put(store, "file/a", TAGS[1], b"y")
    indexed(store)
    path = store.root / "file/a" / TAGS[0]
    path.chmod(0o644)
    path.write_bytes(b"rubbish")
    assert store.check_index() == (f"the index lists file/a:{TAGS[0]}, which is not there or cannot be read",)
    store.rebuild_index()
    assert store.check_index() == ()
    assert indexed(store) == walked(store)


@pytest.mark.parametrize("how", [1, 2, 5, 130])
def test_the_check_tells_of_a_damaged_index(store: DirectoryStore, settled: None, how: int) -> None:
    for number in range(40):
        put(store, f"file/a{number}", TAGS[0], b"x" * number, filler="y" * 900)
    indexed(store)
    spoil(store.root / FILE, how)
    assert store.check_index()
    store.rebuild_index()
    assert store.check_index() == ()


def test_an_index_of_the_older_format_goes_when_the_new_one_is_rebuilt(store: DirectoryStore) -> None:
    put(store, "file/a", TAGS[0], b"x")
    (store.root / index.OLDER[0]).write_text("old")
    store.rebuild_index()
    assert not (store.root / index.OLDER[0]).exists()


def test_a_folder_that_is_no_store_gets_no_index(tmp_path: Path) -> None:
    (tmp_path / "file" / "thing").mkdir(parents=True)
    (tmp_path / "file" / "thing" / "1.0").write_bytes(b"my own")
    before = sorted(tmp_path.rglob("*"))
    list(DirectoryStore(tmp_path).artifacts())
    DirectoryStore(tmp_path / "none").rebuild_index()
    assert sorted(tmp_path.rglob("*")) == before


# Many at once


def work(root: Path, number: int) -> None:
    store = DirectoryStore(root)
    for turn in range(200):
        put(store, f"file/a{number}", f"1.{turn}-20261124T221500Z", b"x")
        list(store.rows())
        if turn % 7 == 0:
            (root / FILE).unlink(missing_ok=True)


def test_many_who_list_publish_delete_the_index_and_die_spoil_nothing(store: DirectoryStore) -> None:
    put(store, "file/a", TAGS[0], b"x")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(store.root, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    try:
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            listed = indexed(store)
            assert not any(isinstance(each, tuple) for each in listed)
    finally:
        for worker in workers:
            os.kill(worker.pid or 0, signal.SIGKILL)
            worker.join()
    assert indexed(store) == walked(store)
    assert store.check_index() == ()
