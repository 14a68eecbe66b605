"""Which names go, and which do not go by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Corrupt, Denied, NotFound
from naust import promote, rm
from naust.store.directory import DirectoryStore
from naust.store.interface import Traits
from naust.store.memory import MemoryStore
from tests.lab.images import image

NAME = "container/thing"
DATED = "1.0-20261124T221500Z"
AGAIN = "1.0-20261125T221500Z"


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    image(made, NAME, b"x", tag=DATED)
    return made


def test_a_version_that_was_published_twice_is_named_with_its_date(store: MemoryStore) -> None:
    image(store, NAME, b"y", tag=AGAIN)
    with pytest.raises(BadInput, match="published 2 times") as error:
        rm.plan(store, [f"{NAME}:1.0"])
    assert DATED in error.value.details and AGAIN in error.value.details
    assert [each.tag for each in rm.plan(store, [f"{NAME}:{DATED}"])] == [DATED]


def test_a_name_alone_removes_nothing(store: MemoryStore) -> None:
    with pytest.raises(BadInput, match="names no tag"):
        rm.plan(store, [NAME])


def test_what_is_not_there_is_not_found_and_nothing_else_goes(store: MemoryStore) -> None:
    with pytest.raises(NotFound):
        rm.plan(store, [f"{NAME}:1.0", f"{NAME}:9"])
    assert list(store.tags(NAME)) == [DATED]


def test_a_digest_must_be_that_of_the_name(store: MemoryStore) -> None:
    with pytest.raises(Conflict):
        rm.plan(store, [f"{NAME}:{DATED}@sha256:{'0' * 64}"])
    assert rm.plan(store, [f"{NAME}:{DATED}@{promote.stands_for(store, NAME, DATED)}"])


def test_a_version_and_its_channel_go_together(store: MemoryStore) -> None:
    promote.promote(store, NAME, "production")
    with pytest.raises(Conflict):
        rm.plan(store, [f"{NAME}:{DATED}"])
    found = rm.plan(store, [f"{NAME}:{DATED}", f"{NAME}:production", f"{NAME}:{DATED}"])
    free = rm.free(store, found)
    assert free is not None and free.exact
    # Manifest, configuration and layer; the record of the channel: manifest, document and configuration.
    assert (len(found), free.blobs) == (2, 6)
    rm.remove(store, found)
    assert not list(store.names())


def test_a_damaged_name_goes_only_by_force(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    image(store, NAME, b"x", tag=DATED)
    path = tmp_path / NAME / DATED
    path.chmod(0o644)
    path.write_text("{}")
    with pytest.raises(Corrupt):
        rm.plan(store, [f"{NAME}:{DATED}"])
    found = rm.plan(store, [f"{NAME}:{DATED}"], force=True)
    assert (found[0].digest, rm.free(store, found)) == (None, None)
    assert rm.said(None)
    rm.remove(store, found)
    assert not path.exists()


def test_a_store_that_cannot_take_names_away_says_so() -> None:
    class Registry(MemoryStore):
        def traits(self) -> Traits:
            return Traits(False, False, False, False, deletes_names=False)

    with pytest.raises(Denied, match="cannot take a name away"):
        rm.plan(Registry(), [f"{NAME}:{DATED}"])
