"""Garbage collection of a directory: damage, leftovers, killed collectors, pushes beside it, size."""

from __future__ import annotations

import io
import os
import signal
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import naust.store.upkeep as upkeep_module
from common.console import Report
from common.errors import Corrupt, NotFound
from common.model import Digest, Event, Reference
from naust import gc, listing, promote
from naust.push import push_file
from naust.serve.uploads import UPLOADS
from naust.store.directory import DirectoryStore
from naust.store.upkeep import Pushes, under_way
from tests.bench.million import LAYERS, make
from tests.lab.images import image, index, refer, two_platforms

NAME = "container/thing"
DATED = "1.0-20261124T221500Z"
NEXT = "1.1-20261125T221500Z"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def collected(store: DirectoryStore, report: Report = lambda event: None, **more: bool) -> gc.Collected:
    time.sleep(0.06)  # the kernel's clock for files is a little behind
    return gc.collect(store, grace=timedelta(0), report=report, **more)


def in_child(act: Callable[[], object]) -> int:
    """Run it in a process of its own; how it ended, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def everything(store: DirectoryStore) -> set[str]:
    """All that a store holds, as paths; without locks and the index, which depend on who came when."""
    parts = ("blobs", ".referrers", "container", "file", ".incoming")
    return {str(path.relative_to(store.root)) for part in parts for path in (store.root / part).rglob("*")}


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))


# Damage


def test_an_unreadable_manifest_stops_every_deletion_and_is_named(store: DirectoryStore) -> None:
    two_platforms(store, NAME, DATED)
    image(store, NAME, b"garbage", tag="other")
    store.delete_tag(NAME, "other")
    damage(store.root / NAME / DATED)
    before = everything(store)
    with pytest.raises(Corrupt, match="nothing was deleted") as error:
        collected(store)
    assert f"{NAME}:{DATED}" in error.value.details
    assert everything(store) == before
    assert collected(store, despite_damage=True).deleted > 3


def test_a_missing_child_of_an_index_stops_every_deletion(store: DirectoryStore) -> None:
    _, first, *_ = two_platforms(store, NAME, DATED)
    store.delete(first.digest)
    with pytest.raises(Corrupt) as error:
        collected(store)
    assert str(first.digest) in error.value.details
    assert store.stat(NAME, Digest.of(b"layer of amd64"))


def test_a_file_that_somebody_put_among_the_blobs_is_left(store: DirectoryStore) -> None:
    image(store, NAME, b"content", tag=DATED)
    (store.root / "blobs" / "sha256" / "README").write_text("mine")
    collected(store)
    assert (store.root / "blobs" / "sha256" / "README").exists()


# Leftovers


def test_entries_about_what_is_gone_and_empty_folders_go_too(store: DirectoryStore) -> None:
    subject = image(store, NAME, b"content", tag=DATED)
    for number in range(3):
        refer(store, NAME, subject, str(number).encode())
    store.delete_tag(NAME, DATED)
    done = collected(store)
    assert (done.entries, done.kept) == (3, 0)
    assert not list((store.root / ".referrers").rglob("*/*/*"))
    assert not list((store.root / "blobs" / "sha256").iterdir())


def test_a_dangling_entry_hides_no_other_referrer(store: DirectoryStore) -> None:
    subject = image(store, NAME, b"content", tag=DATED)
    gone, there = (refer(store, NAME, subject, content) for content in (b"gone", b"there"))
    store.delete(gone.digest)
    assert [each.digest for each in store.referrers(NAME, subject.digest)] == [there.digest]
    assert collected(store).entries == 1
    assert [each.digest for each in store.referrers(NAME, subject.digest)] == [there.digest]


def test_uploads_that_nobody_goes_on_with_are_given_up(store: DirectoryStore) -> None:
    image(store, NAME, b"content", tag=DATED)
    folder = store.root / UPLOADS / NAME
    folder.mkdir(parents=True)
    for name, age in (("0" * 32, timedelta(days=2)), ("1" * 32, timedelta(minutes=1))):
        (folder / name).write_bytes(b"half")
        then = time.time() - age.total_seconds()
        os.utime(folder / name, (then, then))
    (store.root / ".incoming" / "1-dead").write_bytes(b"half")
    assert collected(store).uploads == 2
    assert [each.name for each in folder.iterdir()] == ["1" * 32]


# Pushes beside it


def test_a_push_that_is_under_way_is_seen_from_its_first_blob_to_its_tag(store: DirectoryStore) -> None:
    assert store.pushing() is None
    half = image(store, NAME, b"layer")
    time.sleep(0.1)
    assert (store.pushing() or timedelta(0)) >= timedelta(seconds=0.1)
    signature = refer(store, NAME, half, b"signature")
    assert store.pushing() is not None
    index(store, NAME, {"linux/amd64": half}, DATED)
    assert store.pushing() is None
    assert {each.digest for each in store.referrers(NAME, half.digest)} == {signature.digest}


def test_what_a_push_found_there_counts_as_its_own(store: DirectoryStore) -> None:
    image(store, NAME, b"layer", tag=DATED)
    store.delete_tag(NAME, DATED)
    DirectoryStore(store.root).add(NAME, io.BytesIO(b"garbage of nobody"))
    time.sleep(0.06)
    store.write(NAME, Digest.of(b"layer"), 5, io.BytesIO(b""))
    collected(DirectoryStore(store.root))
    assert store.stat(NAME, Digest.of(b"layer")) == 5


def test_a_dead_pusher_protects_nothing(store: DirectoryStore) -> None:
    def push() -> None:
        image(DirectoryStore(store.root), NAME, b"layer")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(push) == -signal.SIGKILL
    assert collected(store).deleted == 3
    assert not list((store.root / ".locks" / "pushes").iterdir())


def test_a_child_process_and_its_parent_push_apart(tmp_path: Path) -> None:
    pushes = Pushes(tmp_path)
    pushes.wrote(Digest.of(b"parent"))

    def work() -> None:
        pushes.wrote(Digest.of(b"child"))
        pushes.named(Digest.of(b"m"), [Digest.of(b"child")], subject=None, tagged=True)

    assert in_child(work) == 0
    assert under_way(tmp_path) is not None
    pushes.named(Digest.of(b"m"), [Digest.of(b"parent")], subject=None, tagged=True)
    assert under_way(tmp_path) is None


def test_pushers_and_collectors_in_processes_of_their_own_lose_nothing(store: DirectoryStore, tmp_path: Path) -> None:
    """Three push the same and different files and take names away, two collect without any grace, for a while."""
    end = time.monotonic() + 3

    def push(number: int) -> None:
        count = 0
        while time.monotonic() < end:
            count += 1
            path = tmp_path / f"f{number}"
            path.write_bytes(f"{number} {count}".encode() if count % 3 else f"shared {count // 3}".encode())
            opened = DirectoryStore(store.root)
            pushed = push_file(opened, path, Reference.parse(f"file/of-{number}:1.{count}"), title="f")
            if count % 4 == 0:
                opened.delete_tag(f"file/of-{number}", pushed.reference.tag)
            else:
                assert listing.is_whole(opened, pushed)

    def collect() -> None:
        while time.monotonic() < end:
            gc.collect(DirectoryStore(store.root), grace=timedelta(0))

    works = [*(lambda n=number: push(n) for number in range(3)), collect, collect]
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 5
    found = listing.artifacts(store)
    assert len(found) > 20
    assert all(listing.is_whole(store, each) for each in found)
    done = collected(store)
    assert done.kept == len({b.digest for b in store.blobs()})
    print(f"{len(found)} artefacts stayed whole")


def test_an_index_that_comes_back_while_a_collector_is_at_work_comes_back_whole(store: DirectoryStore) -> None:
    top, *_ = two_platforms(store, NAME, DATED)
    data = store.manifest(NAME, DATED)
    store.delete_tag(NAME, DATED)

    def bring_back(event: Event) -> None:
        if event.kind == "delete" and not list(store.tags(NAME)):
            store.put_manifest(NAME, DATED, data)

    done = collected(store, report=bring_back)
    assert (done.deleted, done.young) == (0, 15)
    assert promote.stands_for(store, NAME, DATED) == top.digest


def test_an_index_whose_layers_are_gone_does_not_come_back(store: DirectoryStore) -> None:
    two_platforms(store, NAME, DATED)
    data = store.manifest(NAME, DATED)
    store.delete_tag(NAME, DATED)
    store.delete(Digest.of(b"layer of arm64"))
    with pytest.raises(NotFound, match="no blob"):
        store.put_manifest(NAME, DATED, data)
    assert not list(store.tags(NAME))


# Killed collectors


def garbage_and_more(root: Path) -> DirectoryStore:
    """Two kept artefacts, one of them promoted, and as much garbage, with referrers; always the same."""
    store = DirectoryStore(root)
    two_platforms(store, NAME, DATED)
    image(store, NAME, b"next", tag=NEXT)
    promote.promote(store, f"{NAME}:{NEXT}", "production", who="ann", now=promote.datetime(2026, 11, 25))
    goes = image(store, "container/other", b"goes", b"shared layer", tag="a")
    refer(store, "container/other", goes, b"signature")
    store.put_manifest("container/other", "a", store.manifest("container/other", "a"))
    store.delete_tag("container/other", "a")
    store.add(NAME, io.BytesIO(b"of a push that died"))
    return DirectoryStore(root)


def collect_killed(root: Path, at: int) -> None:
    left = at

    def or_die(act: Callable[..., object] = lambda *_, **__: None) -> Callable[..., object]:
        def step(*arguments: object, **more: object) -> object:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return act(*arguments, **more)

        return step

    # Before each deletion of a file too, not only at each event.
    os.unlink = or_die(os.unlink)  # type: ignore[assignment]
    upkeep_module.Path.unlink = or_die(Path.unlink)  # type: ignore[method-assign, assignment]
    gc.collect(DirectoryStore(root), grace=timedelta(0), report=or_die())  # type: ignore[arg-type]


def test_a_collector_killed_at_any_event_or_deletion_loses_nothing_and_the_next_ends_the_same(tmp_path: Path) -> None:
    def made(folder: str) -> DirectoryStore:
        assert in_child(lambda: garbage_and_more(tmp_path / folder)) == 0
        time.sleep(0.06)
        return DirectoryStore(tmp_path / folder)

    calm = made("calm")
    assert collected(calm).deleted == 5
    points = 0
    while True:
        store = made(f"store{points}")
        code = in_child(lambda: collect_killed(store.root, points))  # noqa: B023  # it ends before the next
        assert all(listing.is_whole(store, each) for each in listing.artifacts(store))
        assert len(promote.history(store, NAME, "production")) == 1
        collected(store)
        assert everything(store) == everything(calm)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        points += 1
    assert points > 10
    print(f"{points} points")


# Size


def test_a_collection_takes_time_and_memory_in_proportion(tmp_path: Path) -> None:
    """tests/bench/million.py measures a million; here it must be less than 300 bytes a blob, and no square."""
    figures = []
    for count in (4000, 16000):
        make(tmp_path / str(count), count)
        time.sleep(0.06)
        store = DirectoryStore(tmp_path / str(count))
        tracemalloc.start()
        begin = time.process_time()
        done = gc.collect(store, grace=timedelta(0))
        figures.append((time.process_time() - begin, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
        artifacts = count // 2 // (LAYERS + 4)
        assert (done.kept, done.kept + done.deleted) == (1 + artifacts * (LAYERS + 3), count)
    (short, small), (long, large) = figures
    assert long < 12 * short
    assert large - small < 12000 * 300
