"""Limits: so many at once, so many bytes a second."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from common.model import Digest
from naust.store.interface import Collectable
from naust.store.limiting import LimitingStore, Pace, limiting
from naust.store.memory import MemoryStore

NAME = "file/thing"
CONTENT = bytes(100_000)
DIGEST = Digest.of(CONTENT)


class Counting(MemoryStore):
    """Knows how many read at once."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.most = 0

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            with super().read(name, digest, start, length) as source:
                time.sleep(0.005)
                yield source
        finally:
            self.inside -= 1


def filled(limit: int = 0, at_once: int = 2) -> tuple[Counting, LimitingStore]:
    inner = Counting()
    inner.write(NAME, DIGEST, len(CONTENT), io.BytesIO(CONTENT))
    return inner, limiting(inner, at_once, limit)


def test_no_more_transfers_than_allowed_run_side_by_side() -> None:
    inner, store = filled()

    def work() -> None:
        for _ in range(5):
            with store.read(NAME, DIGEST) as source:
                source.read()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inner.most == 2 and store.traits().streams == 1


def test_a_copy_within_one_store_does_not_wait_for_itself() -> None:
    _, store = filled(at_once=1)
    with store.read(NAME, DIGEST) as source, store.read(NAME, DIGEST) as again:
        store.write("file/other", Digest.of(again.read()), len(CONTENT), source)


def test_a_limit_holds_in_each_direction() -> None:
    _, store = filled(limit=400_000)
    begun = time.monotonic()
    with store.read(NAME, DIGEST) as source:
        assert source.read(len(CONTENT)) == CONTENT[: (piece := 40_000)]
        assert b"".join(iter(lambda: source.read(1 << 20), b"")) == CONTENT[piece:]
    assert 0.2 < time.monotonic() - begun < 2
    begun = time.monotonic()
    store.write(NAME, Digest.of(CONTENT[1:]), len(CONTENT) - 1, io.BufferedReader(io.BytesIO(CONTENT[1:])))  # type: ignore[arg-type]
    assert 0.2 < time.monotonic() - begun < 2


def test_bytes_are_paid_for_one_after_the_other() -> None:
    waits: list[float] = []
    pace = Pace(1000, clock=lambda: 50.0, sleep=waits.append)
    for count in (100, 0, 500):
        pace.carried(count)
    assert waits == pytest.approx([0.1, 0.1, 0.6])


def test_without_a_limit_a_source_is_handed_on_as_it_is() -> None:
    seen: list[object] = []

    class Looking(MemoryStore):
        def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
            seen.append(source)
            return super().add(name, source)

    source = io.BytesIO(b"x")
    store = limiting(Looking(), at_once=1)
    store.add(NAME, source)
    assert seen == [source] and isinstance(store, Collectable)
