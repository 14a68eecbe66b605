"""Channels: what is refused, what is recorded, and what a promoter leaves who is killed at any step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

import naust.store.incoming as incoming_module
from common.errors import BadInput, Corrupt, NotFound
from common.model import Digest
from naust import promote, revoke
from naust.listing import resolve
from naust.promote import CHANNEL, HISTORY, HISTORY_BLOB, NUMBER
from naust.proof.attached import attach
from naust.store.directory import DirectoryStore
from naust.store.interface import Store, Traits
from naust.store.memory import MemoryStore
from tests.lab.images import image

NAME = "container/thing"
TAGS = [f"1.{number}-20261124T22150{number}Z" for number in range(4)]
AT = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    for tag in TAGS:
        image(made, NAME, tag.encode(), tag=tag)
    return made


def move(store: Store, number: int, who: str = "ann") -> promote.Promoted:
    return promote.promote(store, f"{NAME}:{TAGS[number]}", "production", who=who, now=AT)


def where(store: Store) -> int:
    there = promote.stands_for(store, NAME, "production")
    return next(number for number, tag in enumerate(TAGS) if promote.stands_for(store, NAME, tag) == there)


def test_undo_goes_back_step_by_step_and_past_what_was_undone(store: MemoryStore) -> None:
    for number in (0, 1, 2):
        move(store, number)
    came = []
    for _ in range(2):
        promote.undo(store, NAME, "production")
        came.append(where(store))
    move(store, 3)
    promote.undo(store, NAME, "production")
    assert [*came, where(store)] == [1, 0, 0]
    with pytest.raises(NotFound):
        promote.undo(store, NAME, "production")


def test_a_channel_that_was_moved_without_a_record_goes_back_to_the_last_that_has_one(store: MemoryStore) -> None:
    move(store, 0)
    move(store, 1)
    there = promote.stands_for(store, NAME, "production")
    store.put_manifest(NAME, "production", store.manifest(NAME, TAGS[3]), replacing=there)
    assert [each.version for each in promote.history(store, NAME, "production")] == TAGS[:2]
    promote.undo(store, NAME, "production")
    assert where(store) == 1
    move(store, 2)
    assert [each.version for each in promote.history(store, NAME, "production")] == [*TAGS[:2], TAGS[1], TAGS[2]]


def test_one_channel_can_be_promoted_to_another(store: MemoryStore) -> None:
    promote.promote(store, f"{NAME}:{TAGS[2]}", "staging")
    done = promote.promote(store, f"{NAME}:staging", "production")
    assert (done.move.version, where(store)) == (TAGS[2], 2)
    assert len(promote.history(store, NAME, "production")) == len(promote.history(store, NAME, "staging")) == 1


def test_a_version_is_never_hidden_behind_a_channel(store: MemoryStore) -> None:
    image(store, NAME, b"codename", tag="trixie-20261124T221500Z")
    with pytest.raises(BadInput, match="is the version of trixie-2026"):
        promote.promote(store, f"{NAME}:{TAGS[0]}", "trixie")


def test_what_is_revoked_is_not_promoted_and_not_gone_back_to(store: MemoryStore) -> None:
    move(store, 0)
    move(store, 1)
    revoke.revoke(store, resolve(store, f"{NAME}:{TAGS[0]}"), "it leaks", by="eve")
    with pytest.raises(Corrupt, match="revoked"):
        promote.undo(store, NAME, "production")
    with pytest.raises(Corrupt, match="revoked"):
        promote.promote(store, f"{NAME}:{TAGS[0]}", "staging")
    assert where(store) == 1


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"format":2,"moves":[]}', b'{"format":1,"moves":[{"number":1}]}']
)
def test_a_history_that_cannot_be_read_is_said_and_not_lost(store: MemoryStore, text: bytes) -> None:
    move(store, 0)
    there = promote.stands_for(store, NAME, "production")
    assert there is not None
    said = {CHANNEL: "production", NUMBER: "7"}
    attach(store, NAME, there, text, media_type=HISTORY_BLOB, artifact_type=HISTORY, annotations=said)
    with pytest.raises(Corrupt, match="history"):
        promote.history(store, NAME, "production")
    with pytest.raises(Corrupt, match="history"):
        move(store, 1)
    assert where(store) == 0


def test_records_of_other_channels_and_odd_numbers_do_not_count(store: MemoryStore) -> None:
    move(store, 0)
    there = promote.stands_for(store, NAME, "production")
    assert there is not None
    for channel, number in (("staging", "9"), ("production", "-1"), ("production", "9" * 40), ("production", "x")):
        said = {CHANNEL: channel, NUMBER: number}
        attach(store, NAME, there, b"{}", media_type=HISTORY_BLOB, artifact_type=HISTORY, annotations=said)
    assert len(promote.history(store, NAME, "production")) == 1


def test_a_long_history_keeps_its_latest_moves(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promote, "LONGEST", 5)
    for number in range(9):
        move(store, number % 2)
    assert [each.number for each in promote.history(store, NAME, "production")] == [5, 6, 7, 8, 9]


def test_without_compare_and_swap_the_loser_finds_out_by_reading_back() -> None:
    """The weaker promise: of two, the one whose tag did not stay is told, if he looks after the other put."""

    class Registry(MemoryStore):
        """Takes any tag from anybody, as registries do; the other promoter comes right after."""

        other: bytes = b""

        def traits(self) -> Traits:
            return Traits(compare_and_swap=False, lists_blobs=True, holds=False, referrers=True)

        def put_manifest(
            self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None
        ) -> Digest:
            found = super().put_manifest(name, reference, manifest, replacing=replacing)
            if reference == "production" and self.other:
                other, self.other = self.other, b""
                super().put_manifest(name, reference, other, replacing=found)
            return found

    store = Registry()
    for tag in TAGS:
        image(store, NAME, tag.encode(), tag=tag)
    move(store, 0)
    store.other = store.manifest(NAME, TAGS[2])
    with pytest.raises(promote.Conflict, match="moved by somebody else"):
        move(store, 1)
    assert where(store) == 2


# Killed promoters


def promote_killed(root: Path, at: int) -> None:
    left = at

    def or_die(act: Callable[..., object] = lambda *_: None) -> Callable[..., object]:
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
    promote.promote(DirectoryStore(root), f"{NAME}:{TAGS[1]}", "production", who="bob", now=AT, report=or_die())


def in_child(act: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_promoter_killed_at_any_step_moves_all_or_nothing_and_the_next_ends_the_same(tmp_path: Path) -> None:
    """kill -9 at each event, fsync, rename and link."""

    def made(folder: str) -> DirectoryStore:
        store = DirectoryStore(tmp_path / folder)
        for tag in TAGS[:2]:
            image(store, NAME, tag.encode(), tag=tag)
        move(store, 0)
        return store

    def history(store: Store) -> list[tuple[str, str, Digest | None]]:
        return [(each.who, each.version, each.before) for each in promote.history(store, NAME, "production")]

    calm = made("calm")
    before = history(calm)
    move(calm, 1, who="bob")
    after = history(calm)
    points = 0
    while True:
        store = made(f"store{points}")
        code = in_child(lambda: promote_killed(store.root, points))  # noqa: B023  # it ends before the next
        assert history(store) == (after if where(store) else before)
        move(store, 1, who="bob")
        assert (history(store), where(store)) == (after, 1)
        assert set(store.tags(NAME)) == {*TAGS[:2], "production"}
        if code == 0:
            break
        assert code == -signal.SIGKILL
        points += 1
    assert points > 10
    print(f"{points} points")


def test_who_waited_for_somebody_else_is_told_and_does_not_undo_his_move(tmp_path: Path) -> None:
    """Two processes on one machine: the second looked before the first had moved, then waited for him."""
    store = DirectoryStore(tmp_path)
    for tag in TAGS:
        image(store, NAME, tag.encode(), tag=tag)
    move(store, 0)

    class Waiting(DirectoryStore):
        def hold(self, name: str) -> AbstractContextManager[None]:
            assert in_child(lambda: move(DirectoryStore(tmp_path), 1, who="bob")) == 0
            return super().hold(name)

    for act in (lambda: move(Waiting(tmp_path), 2), lambda: promote.undo(Waiting(tmp_path), NAME, "production")):
        with pytest.raises(promote.Conflict) as error:
            act()
        assert "bob moved it to 1.1-" in error.value.details
        assert where(store) == 1
        move(store, 3)
