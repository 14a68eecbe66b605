"""Damage in a directory: each kind is found, says whom it hurts, and is mended from a second store or stays said."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import Corrupt
from common.model import Digest
from naust import fsck
from naust import manifest as oci
from naust.copy import copy
from naust.store.directory import DirectoryStore
from naust.store.index import FILE
from naust.store.interface import Store, Traits
from naust.store.memory import MemoryStore
from tests.lab.images import image, refer, two_platforms

NAME = "container/thing"
DATED = "1.0-20261124T221500Z"
Stores = tuple[DirectoryStore, DirectoryStore]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """A store and its copy."""
    store, other = DirectoryStore(tmp_path / "store"), DirectoryStore(tmp_path / "other")
    two_platforms(store, NAME, DATED)
    image(store, "container/other", b"shared layer", b"own", tag="1.1-20261124T221500Z")
    assert not any(each.error for each in copy(store, other, ["*"]))
    return store, other


def blob(store: DirectoryStore, digest: Digest) -> Path:
    return store.root / "blobs" / digest.algorithm / digest.hex


def flip(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])


def mended(stores: Stores) -> fsck.Checked:
    found = fsck.mend(*stores)
    fsck.verdict(stores[0], found)
    assert fsck.check(stores[0]).damage == ()
    return found


@pytest.mark.parametrize(("spoil", "what"), [(flip, "bytes"), (cut, "size"), (os.unlink, "missing")])
def test_a_damaged_layer_names_all_that_suffer_and_is_mended(
    stores: Stores, spoil: Callable[[Path], object], what: str
) -> None:
    digest = Digest.of(b"shared layer")
    spoil(blob(stores[0], digest))
    (one,) = fsck.check(stores[0]).damage
    assert (one.what, one.digest) == (what, digest)
    assert one.artifacts == ("container/other:1.1-20261124T221500Z", f"{NAME}:{DATED}")
    with pytest.raises(Corrupt) as error:
        fsck.verdict(stores[0], fsck.check(stores[0]))
    assert f"{NAME}:{DATED}" in error.value.details
    assert [each.repaired for each in mended(stores).damage] == [True]


def test_quick_sees_sizes_and_no_bytes(stores: Stores) -> None:
    flip(blob(stores[0], Digest.of(b"own")))
    assert fsck.check(stores[0], quick=True).whole
    cut(blob(stores[0], Digest.of(b"shared layer")))
    assert [one.what for one in fsck.check(stores[0], quick=True).damage] == ["size"]


@pytest.mark.parametrize("spoil", [flip, cut], ids=["flipped", "cut off"])
def test_a_damaged_name_gets_its_manifest_back(stores: Stores, spoil: Callable[[Path], object]) -> None:
    spoil(stores[0].root / NAME / DATED)
    (one,) = fsck.check(stores[0]).damage
    assert (one.what, one.name, one.tag) == ("manifest", NAME, DATED)
    mended(stores)
    assert stores[0].manifest(NAME, DATED) == stores[1].manifest(NAME, DATED)


@pytest.mark.parametrize("spoil", [flip, cut, os.unlink], ids=["flipped", "cut off", "lost"])
def test_a_damaged_copy_of_a_tagged_manifest_is_mended(stores: Stores, spoil: Callable[[Path], object]) -> None:
    spoil(blob(stores[0], Digest.of(stores[0].manifest(NAME, DATED))))
    assert not fsck.check(stores[0]).whole
    mended(stores)


@pytest.mark.parametrize("spoil", [flip, cut, os.unlink], ids=["flipped", "cut off", "lost"])
def test_what_is_hidden_below_a_damaged_child_is_mended_too(stores: Stores, spoil: Callable[[Path], object]) -> None:
    first = oci.parse(stores[0].manifest(NAME, DATED), NAME).children[0].digest
    spoil(blob(stores[0], first))
    blob(stores[0], Digest.of(b"layer of amd64")).unlink()
    found = mended(stores)
    assert {one.digest for one in found.damage} == {first, Digest.of(b"layer of amd64")}


def test_a_lost_signature_comes_back(stores: Stores) -> None:
    first = oci.parse(stores[0].manifest(NAME, DATED), NAME).children[0].digest
    lost = next(stores[0].referrers(NAME, first)).digest
    blob(stores[0], lost).unlink()
    assert [(one.what, one.digest) for one in fsck.check(stores[0]).damage] == [("missing", lost)]
    mended(stores)
    assert lost in {each.digest for each in stores[0].referrers(NAME, first)}


def test_an_entry_about_a_referrer_that_was_collected_is_no_damage(stores: Stores) -> None:
    store = stores[0]
    gone = image(store, NAME, b"gone", tag="gone")
    signature = refer(store, NAME, gone, b"signature")
    store.delete_tag(NAME, "gone")
    store.delete(signature.digest)
    store.delete(gone.digest)
    assert fsck.check(store).whole


def test_another_manifest_of_the_same_name_is_not_slipped_in(stores: Stores, tmp_path: Path) -> None:
    liar = DirectoryStore(tmp_path / "liar")
    image(liar, NAME, b"something else", tag=DATED)
    flip(stores[0].root / NAME / DATED)
    found = fsck.mend(stores[0], liar)
    assert [one.repaired for one in found.damage] == [False]
    assert "was never in" in found.damage[0].details


def test_a_damaged_second_store_mends_nothing_and_spoils_nothing(stores: Stores) -> None:
    digest = Digest.of(b"own")
    for store in stores:
        flip(blob(store, digest))
    before = blob(stores[0], digest).read_bytes()
    assert not fsck.mend(*stores).whole
    assert blob(stores[0], digest).read_bytes() == before


def test_an_index_that_was_rolled_back_is_found_and_made_anew(stores: Stores) -> None:
    store = stores[0]
    list(store.artifacts())
    old = (store.root / FILE).read_bytes()
    image(store, NAME, b"later", tag="2.0-20261125T221500Z")
    list(DirectoryStore(store.root).artifacts())
    (store.root / FILE).write_bytes(old)
    found = fsck.check(DirectoryStore(store.root))
    if found.damage:  # an index that cannot lie may also have noticed by itself
        assert {one.what for one in found.damage} == {"index"}
    mended((DirectoryStore(store.root), stores[1]))
    assert len(list(DirectoryStore(store.root).artifacts())) == 3


def test_garbage_that_is_damaged_is_found_too(stores: Stores) -> None:
    store = stores[0]
    image(store, NAME, b"garbage", tag="gone")
    store.delete_tag(NAME, "gone")
    flip(blob(store, Digest.of(b"garbage")))
    (one,) = fsck.check(store).damage
    assert (one.what, one.artifacts) == ("bytes", ())


def test_a_registry_is_checked_as_far_as_its_tags_lead() -> None:
    """Each blob is read once, though it cannot list them."""

    inner = MemoryStore()
    two_platforms(inner, NAME, DATED)
    image(inner, "container/other", b"shared layer", tag=DATED)

    class Plain(Store):
        """What a registry has of the interface."""

        url = "docker://test"  # type: ignore[assignment]

        def traits(self) -> Traits:
            return Traits(compare_and_swap=False, lists_blobs=False, holds=False, referrers=True)

    for method in (
        "stat",
        "read",
        "write",
        "add",
        "manifest",
        "put_manifest",
        "delete_tag",
        "names",
        "tags",
        "referrers",
    ):
        setattr(Plain, method, getattr(inner, method))
    Plain.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    plain = Plain()  # type: ignore[abstract]
    found = fsck.check(plain)
    assert (found.artifacts, found.damage) == (2, ())
    assert found.blobs == 3 + 2 + 1 + 4  # layers, configurations of two, of the other; three documents and {}
    inner._contents[Digest.of(b"layer of arm64")] = b"LAYER of arm64"
    (one,) = fsck.check(plain).damage
    assert (one.what, one.artifacts) == ("bytes", (f"{NAME}:{DATED}",))
    assert "takes no bytes" in fsck.mend(plain, inner).damage[0].details


def test_reading_takes_no_more_memory_for_large_blobs(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    image(store, NAME, bytes(32 << 20), tag=DATED)
    tracemalloc.start()
    assert fsck.check(store).whole
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_progress_and_repairs_are_reported(stores: Stores) -> None:
    flip(blob(stores[0], Digest.of(b"own")))
    events: list[str] = []
    fsck.mend(*stores, report=lambda event: events.append(event.kind))
    assert events.index("repair") < events.index("repaired")
