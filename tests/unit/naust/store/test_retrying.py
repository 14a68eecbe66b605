"""Patience: what is tried again, how long is waited, where a transfer goes on."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.model import Digest, Event
from naust.store.interface import Collectable, Indexed, Referrer, Store, Traits
from naust.store.memory import MemoryStore
from naust.store.retrying import RetryingStore, retrying
from naust.store.tries import GaveUp, Patience

NAME = "file/thing"
CONTENT = os.urandom(300_000)
DIGEST = Digest.of(CONTENT)


def busy(seconds: int | None = None) -> Unavailable:
    error = Unavailable("busy", resolution="later")
    error.retry_after = None if seconds is None else timedelta(seconds=seconds)
    return error


class Breaking(io.RawIOBase):
    """Bytes that break after so many."""

    def __init__(self, data: bytes, after: int | None, *, lost: bool = False) -> None:
        self._data, self._after, self._lost = io.BytesIO(data), after, lost

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)
        if self._after is not None:
            if self._data.tell() >= self._after:
                if self._lost:
                    return 0
                raise busy()
            view = view[: self._after - self._data.tell()]
        return self._data.readinto(view)


class Troubled(MemoryStore):
    """Raises what is in `errors`, one a call; breaks reads after what is in `cuts`; counts."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Error] = []
        self.cuts: list[int] = []
        self.lost = False  # a broken read looks like the end
        self.starts: list[int] = []
        self.calls = 0

    def _trouble(self) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)

    def stat(self, name: str, digest: Digest) -> int | None:
        return super().stat(name, digest)

    def manifest(self, name: str, reference: str) -> bytes:
        self._trouble()
        return b"manifest"

    @contextmanager
    def read(self, name: str, digest: Digest, start: int = 0, length: int | None = None) -> Iterator[BinaryIO]:
        self._trouble()
        self.starts.append(start)
        with super().read(name, digest, start, length) as source:
            cut = self.cuts.pop(0) if self.cuts else None
            # Only where it was broken before can a wrong end be told from a right one.
            yield Breaking(source.read(), cut, lost=self.lost and len(self.starts) > 1)  # type: ignore[misc]

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        if self.errors:
            source.read(1000)
        self._trouble()
        super().write(name, digest, size, source)

    def tags(self, name: str) -> Iterator[str]:
        for tag in ("a", "b", "c", "d"):
            self._trouble()
            yield tag


@pytest.fixture
def inner() -> Troubled:
    store = Troubled()
    store.write(NAME, DIGEST, len(CONTENT), io.BytesIO(CONTENT))
    store.calls = 0
    return store


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def store(inner: Troubled, waits: list[float], events: list[Event]) -> RetryingStore:
    return retrying(inner, events.append, Patience(sleep=waits.append))


def test_only_what_is_unavailable_is_tried_again(inner: Troubled, store: Store) -> None:
    for error in (NotFound, Denied, Conflict, Corrupt, Error):
        inner.errors, inner.calls = [error("no", resolution="")], 0
        with pytest.raises(error):
            store.manifest(NAME, "1")
        assert inner.calls == 1
    inner.errors, inner.calls = [busy(), busy()], 0
    assert store.manifest(NAME, "1") == b"manifest" and inner.calls == 3


def test_waits_rise_are_spread_and_are_told(
    inner: Troubled, store: Store, waits: list[float], events: list[Event]
) -> None:
    inner.errors = [busy() for _ in range(5)]
    store.manifest(NAME, "1")
    assert all(0 <= wait <= 0.5 * 2**number for number, wait in enumerate(waits)) and len(set(waits)) == 5
    assert [each.kind for each in events] == ["retry"] * 5 and "busy; again in" in events[0].message


@given(st.integers(0, 100), st.integers(0, 10**6))
def test_a_wait_is_never_longer_than_it_may_be(number: int, seconds: int) -> None:
    assert 0 <= Patience().wait(number, busy()) <= 30
    assert Patience().wait(number, busy(seconds)) == seconds


def test_seven_seconds_are_seven_seconds(inner: Troubled, store: Store, waits: list[float]) -> None:
    inner.errors = [busy(7), busy(0)]
    store.manifest(NAME, "1")
    assert waits == [7.0, 0.0]


def test_patience_ends(inner: Troubled, store: Store, waits: list[float]) -> None:
    inner.errors = [busy() for _ in range(100)]
    with pytest.raises(GaveUp) as found:
        store.manifest(NAME, "1")
    assert inner.calls == 6 and len(waits) == 5 and "Tried 6 times" in found.value.details
    inner.errors, inner.calls = [busy(100), busy(100), busy(200)], 0
    with pytest.raises(GaveUp) as found:
        store.manifest(NAME, "1")
    assert waits[5:] == [100, 100] and "200 s more" in found.value.details


def test_who_gave_up_is_not_asked_again_by_others(inner: Troubled, store: Store, waits: list[float]) -> None:
    outer = retrying(store, lambda event: None, Patience(sleep=waits.append))
    inner.errors = [busy() for _ in range(100)]
    with pytest.raises(GaveUp):
        outer.manifest(NAME, "1")
    assert inner.calls == 6


@given(st.lists(st.integers(1, 120_000), max_size=5), st.integers(0, 310_000), st.none() | st.integers(0, 310_000))
def test_a_read_goes_on_at_the_byte_where_it_broke(cuts: list[int], start: int, length: int | None) -> None:
    inner = Troubled()
    inner.write(NAME, DIGEST, len(CONTENT), io.BytesIO(CONTENT))
    inner.cuts = list(cuts)
    expected = CONTENT[start:] if length is None else CONTENT[start : start + length]
    with retrying(inner, lambda event: None, Patience(sleep=lambda s: None)).read(
        NAME, DIGEST, start, length
    ) as source:
        assert b"".join(iter(lambda: source.read(50_000), b"")) == expected
    assert inner.starts == sorted(inner.starts) and inner.starts[0] == start


def test_a_wrong_end_of_what_goes_on_is_not_taken_for_the_end(inner: Troubled, store: Store) -> None:
    inner.cuts, inner.lost = [100_000, 0, 50_000], True
    with store.read(NAME, DIGEST) as source:
        assert source.read(len(CONTENT)) + source.read(len(CONTENT)) + source.read(len(CONTENT)) == CONTENT


def test_a_read_that_gets_on_may_break_more_often_than_one_that_does_not(inner: Troubled, store: Store) -> None:
    inner.cuts = [70_000] * 4
    with store.read(NAME, DIGEST) as source:
        assert b"".join(iter(lambda: source.read(10_000), b"")) == CONTENT
    inner.cuts = [0] * 100
    with pytest.raises(GaveUp), store.read(NAME, DIGEST) as source:
        source.read(1)


def test_what_is_not_there_is_said_when_it_is_opened(store: Store) -> None:
    with pytest.raises(NotFound), store.read(NAME, Digest.of(b"other")):
        raise AssertionError("not reached")


def test_a_read_can_go_back_so_that_its_reader_can_try_again(inner: Troubled, store: Store) -> None:
    inner.cuts = [1000]
    other = Troubled()
    other.errors = [busy()]
    with store.read(NAME, DIGEST) as source:
        retrying(other, lambda event: None, Patience(sleep=lambda s: None)).write(NAME, DIGEST, len(CONTENT), source)
        assert source.tell() == len(CONTENT) + 0 and source.seek(5) == 5 and source.read(3) == CONTENT[5:8]
        with pytest.raises(io.UnsupportedOperation):
            source.seek(0, io.SEEK_END)
    assert other.stat(NAME, DIGEST) == len(CONTENT)


def test_a_write_is_tried_again_from_where_its_source_was(inner: Troubled, store: Store) -> None:
    source = io.BytesIO(b"before" + b"content")
    source.seek(6)
    inner.errors = [busy()]
    store.write(NAME, Digest.of(b"content"), 7, source)
    assert inner.stat(NAME, Digest.of(b"content")) == 7


def test_a_stream_that_cannot_go_back_is_not_tried_again(inner: Troubled, store: Store) -> None:
    inner.errors = [busy()]
    with pytest.raises(Unavailable):
        store.write(NAME, Digest.of(b"content"), 7, Breaking(b"content", None))  # type: ignore[arg-type]
    assert inner.calls == 1


def test_a_list_that_breaks_goes_on_and_says_nothing_twice(inner: Troubled, store: Store) -> None:
    inner.errors = [busy()]
    listed = []
    for tag in store.tags(NAME):
        listed.append(tag)
        inner.errors = [busy()] if len(listed) < 4 else []
    assert listed == ["a", "b", "c", "d"]


class Poor(Store):
    """The least that a store can be."""

    url = "poor://"  # type: ignore[assignment]

    def traits(self) -> Traits:
        return Traits(False, False, False, False)

    def stat(self, *_: object) -> None:  # type: ignore[override]
        return None

    read = write = add = manifest = put_manifest = delete_tag = stat  # type: ignore[assignment]

    def names(self, prefix: str = "") -> Iterator[str]:
        return iter(())

    def tags(self, name: str) -> Iterator[str]:
        return iter(())

    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        return iter(())


class Rich(MemoryStore, Indexed):
    """One with an index."""

    def artifacts(self, prefix: str = "") -> Iterator:
        return iter(())


@pytest.mark.parametrize(("inner", "collectable", "indexed"), [(Poor, 0, 0), (MemoryStore, 1, 0), (Rich, 1, 1)])
def test_a_wrapper_can_what_the_store_within_can(inner: type[Store], collectable: bool, indexed: bool) -> None:
    found = retrying(inner(), lambda event: None)
    assert isinstance(found, RetryingStore)
    assert isinstance(found, Collectable) == collectable and isinstance(found, Indexed) == indexed


def test_a_wrapper_passes_on_every_method() -> None:
    found = type(retrying(Rich(), lambda event: None))
    for interface in (Store, Collectable, Indexed):
        for name, member in vars(interface).items():
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert getattr(found, name) is not getattr(interface, name), f"{name} is not passed on"
