"""A push that is killed at any of its steps leaves what was there before, and nothing half; the next push mends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.model import Artifact, Event, Reference
from naust.address import parse
from naust.listing import artifacts, is_whole, name_of, resolve
from naust.manifest import parse as parsed
from naust.push import push_file
from naust.store.directory import DirectoryStore
from naust.transfer.pull_layout import pull_layout
from naust.transfer.push_any import push
from tests.lab.shapes import full_tree, two_platforms

NOW = datetime(2026, 11, 24, 22, 15, tzinfo=UTC)
Make = Callable[[Path], tuple[str, str]]


def a_file(folder: Path) -> tuple[str, str]:
    (folder / "thing").write_bytes(os.urandom(1 << 20) * 9)
    return str(folder / "thing"), "file/thing:1"


def a_directory(folder: Path) -> tuple[str, str]:
    return str(full_tree(folder / "tree")), "rootfs/thing:1"


def a_layout(folder: Path) -> tuple[str, str]:
    return f"oci:{two_platforms(folder / 'layout')[0]}", "container/thing:1"


@pytest.mark.parametrize("make", [a_file, a_directory, a_layout])
def test_killed_at_every_step(tmp_path: Path, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    source, reference = make(tmp_path)
    kind = reference.partition("/")[0]
    events: list[Event] = []
    control = prepared(tmp_path / "control", tmp_path)
    wanted = push(control, source, parse(reference), report=events.append)
    for number in range(1, len(events) + 1):
        store = prepared(tmp_path / f"killed-{number}", tmp_path)
        assert killed_at(number, lambda report, store=store: push(store, source, parse(reference), report=report))
        look(store, f"{kind}/thing", wanted)
        assert push(store, source, parse(reference)).digest == wanted.digest
        assert blobs(store) == blobs(control)
        pull_layout(store, resolve(store, parse(reference).reference), tmp_path / f"out-{number}")
    with capsys.disabled():
        print(f"\n{make.__name__}: killed at {len(events)} points", end=" ")
    assert not killed_at(len(events) + 1, lambda report: push(control, source, parse(reference), report=report))


def prepared(folder: Path, beside: Path) -> DirectoryStore:
    """A store with something in it."""
    (beside / "old").write_bytes(b"old")
    store = DirectoryStore(folder)
    push_file(store, beside / "old", Reference.parse("file/old:1"), now=NOW)
    return store


def killed_at(number: int, work: Callable[[Callable[[Event], None]], object]) -> bool:
    """Whether the work, in a process of its own, got as far as its event of this number, where it was killed."""
    child = os.fork()
    if not child:
        seen = 0

        def report(event: Event) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            work(report)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def look(store: DirectoryStore, name: str, wanted: Artifact) -> None:
    """What was there is whole; what is new is all there or not at all."""
    found = artifacts(store)
    assert all(is_whole(store, each) for each in found)
    assert "file/old:1-20261124T221500Z" in {str(each.reference) for each in found}
    for each in found:
        if name_of(each.reference) == name:
            assert each.digest == wanted.digest
            read = parsed(store.manifest(name, str(each.digest)), "it")
            assert all(store.stat(name, blob.digest) == blob.size for blob in read.blobs)


def blobs(store: DirectoryStore) -> set[str]:
    return {str(each.digest) for each in store.blobs()}


def test_every_durable_step_is_told_before_and_after(tmp_path: Path) -> None:
    for make in (a_file, a_directory, a_layout):
        (tmp_path / make.__name__).mkdir()
        source, reference = make(tmp_path / make.__name__)
        events: list[Event] = []
        push(DirectoryStore(tmp_path / "store"), source, parse(reference), report=events.append)
        kinds = [each.kind for each in events]
        assert kinds.count("store") == kinds.count("stored") > 1
        assert kinds.index("name") > max(
            at for at, kind in enumerate(kinds[: kinds.index("named")]) if kind == "stored"
        )
