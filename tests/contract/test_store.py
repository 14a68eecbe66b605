"""What every store promises (naust/store/interface.py). A new back-end is one more line in tests/lab/stores.py."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import BadInput, Conflict, Corrupt, Denied, Error, NotFound, Unavailable
from common.model import Artifact, Digest, Kind, Reference
from naust import manifest as oci
from naust.listing import artifacts
from naust.manifest import Blob
from naust.proof.attached import attach
from naust.push import publish
from naust.store.interface import Collectable, Indexed, Store
from tests.lab.stores import COLLECTABLE, REGISTRIES, STORES

NAME = "file/thing"
DATED = "1.0-20261124T221500Z"
HOSTILE = (
    "../x", "file/../../x", "/etc/passwd", "file//x", "file/x/y", "file/.x", "file/x\0", "file/x\n", "file/..",
    "blobs/sha256", ".locks/x", "file", "", "file/X", "file/x:1", "file/" + "a" * 300,
)  # fmt: skip


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with STORES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=COLLECTABLE)
def collectable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Those that list and delete blobs."""
    with STORES[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=REGISTRIES)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Those that promise less."""
    with STORES[request.param](tmp_path) as opened:
        yield opened


class Unread(io.BytesIO):
    """A source that must not be touched."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("what is there already is not read again")


def put(store: Store, content: bytes, tag: str = "", *, name: str = NAME, **more: str) -> bytes:
    """Store a one-blob manifest; with a tag, under it."""
    for data in (content, oci.EMPTY_CONFIG):
        store.write(name, Digest.of(data), len(data), io.BytesIO(data))
    blob = Blob(Digest.of(content), len(content), "text/plain")
    manifest = oci.file_manifest(Kind.FILE, blob, "thing", oci.annotated(Kind.FILE, "1.0", more=more))
    if tag:
        store.put_manifest(name, tag, manifest)
    return manifest


def blobs(store: Store, *contents: bytes) -> set[Digest]:
    """All blobs that are there; where they cannot be listed, those of these contents that are."""
    if isinstance(store, Collectable):
        return {each.digest for each in store.blobs()}
    return {Digest.of(each) for each in contents if store.stat(NAME, Digest.of(each)) is not None}


def test_a_store_says_what_it_can_do(store: Store, request: pytest.FixtureRequest) -> None:
    weak = request.node.callspec.params["store"] in REGISTRIES
    assert isinstance(store, Collectable) == store.traits().lists_blobs == store.traits().compare_and_swap == (not weak)
    assert store.traits().streams >= 1


# Blobs


@pytest.mark.parametrize("content", [b"", b"a", b"ab" * (1 << 20)], ids=["empty", "one", "2MiB"])
def test_what_was_written_comes_out(store: Store, content: bytes) -> None:
    digest = Digest.of(content)
    assert store.stat(NAME, digest) is None
    store.write(NAME, digest, len(content), io.BytesIO(content))
    assert store.stat(NAME, digest) == len(content)
    with store.read(NAME, digest) as source:
        assert source.read() == content


def test_a_part_comes_out_where_it_was_asked_for(store: Store) -> None:
    digest, _ = store.add(NAME, io.BytesIO(b"0123456789"))
    for start, length, expected in ((3, 4, b"3456"), (8, 10, b"89"), (4, None, b"456789"), (0, 0, b""), (20, 5, b"")):
        with store.read(NAME, digest, start, length) as source:
            assert source.read() == expected


@pytest.mark.parametrize(("content", "size"), [(b"other", 5), (b"wan", 6), (b"wanted", 7), (b"wanted and more", 6)])
def test_another_content_than_announced_leaves_nothing(store: Store, content: bytes, size: int) -> None:
    digest = Digest.of(b"wanted")
    with pytest.raises(Corrupt) as error:
        store.write(NAME, digest, size, io.BytesIO(content))
    assert str(digest) in error.value.message
    assert store.stat(NAME, digest) is None
    assert not blobs(store, content, content[:size], b"wanted")


def test_writing_twice_is_writing_once(store: Store) -> None:
    digest = Digest.of(b"once")
    store.write(NAME, digest, 4, io.BytesIO(b"once"))
    store.write(NAME, digest, 4, Unread(b"once"))
    assert store.add(NAME, io.BytesIO(b"once")) == (digest, 4)
    assert blobs(store, b"once") == {digest}


def test_blobs_are_shared_by_all_names(store: Store) -> None:
    digest, _ = store.add("file/one", io.BytesIO(b"shared"))
    store.write("vm/two", digest, 6, Unread(b"shared"))
    with store.read("vm/two", digest) as source:
        assert source.read() == b"shared"


def test_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound), store.read(NAME, Digest.of(b"no")):
        pass
    for reference in ("no", str(Digest.of(b"no"))):
        with pytest.raises(NotFound):
            store.manifest(NAME, reference)
    assert list(store.names()) == list(store.tags(NAME)) == list(store.referrers(NAME, Digest.of(b"no"))) == []


def test_a_deleted_blob_is_gone_and_deleting_twice_is_deleting_once(collectable: Store) -> None:
    assert isinstance(collectable, Collectable)
    digest, _ = collectable.add(NAME, io.BytesIO(b"x"))
    collectable.delete(digest)
    collectable.delete(digest)
    assert collectable.stat(NAME, digest) is None


# Manifests and names


def test_a_manifest_comes_out_by_tag_and_by_digest_byte_for_byte(store: Store) -> None:
    manifest = put(store, b"content", DATED)
    assert store.manifest(NAME, DATED) == store.manifest(NAME, str(Digest.of(manifest))) == manifest


def test_a_manifest_is_refused_while_a_blob_is_missing(store: Store) -> None:
    store.write(NAME, Digest.of(oci.EMPTY_CONFIG), 2, io.BytesIO(oci.EMPTY_CONFIG))
    manifest = oci.file_manifest(Kind.FILE, Blob(Digest.of(b"content"), 7, "text/plain"), "thing", {})
    with pytest.raises(NotFound) as error:
        store.put_manifest(NAME, DATED, manifest)
    assert str(Digest.of(b"content")) in error.value.message
    assert not list(store.names())


def test_a_manifest_is_refused_once_a_blob_is_gone(collectable: Store) -> None:
    manifest = put(collectable, b"content")
    assert isinstance(collectable, Collectable)
    collectable.delete(Digest.of(b"content"))
    with pytest.raises(NotFound):
        collectable.put_manifest(NAME, DATED, manifest)
    assert not list(collectable.names())


def test_a_manifest_is_refused_under_a_digest_that_is_not_its_own(store: Store) -> None:
    manifest = put(store, b"content")
    with pytest.raises(Corrupt):
        store.put_manifest(NAME, str(Digest.of(b"other")), manifest)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}" * 2, b'{"layers": 1}', b'{"config": {"digest": "md5:0"}}', b"[" * 100_000]
)
def test_what_is_no_manifest_is_refused(store: Store, data: bytes) -> None:
    with pytest.raises(Corrupt):
        store.put_manifest(NAME, DATED, data)
    assert not list(store.names())


def test_a_name_that_is_taken_is_a_conflict_and_stays(store: Store) -> None:
    first, second = put(store, b"first", DATED), put(store, b"second")
    with pytest.raises(Conflict):
        store.put_manifest(NAME, DATED, second)
    store.put_manifest(NAME, DATED, first)
    assert store.manifest(NAME, DATED) == first


def test_a_channel_moves_only_from_where_the_mover_believes_it_is(store: Store) -> None:
    first, second = put(store, b"first", "production"), put(store, b"second")
    for believed in (None, Digest.of(second), Digest.of(b"other")):
        third = put(store, b"third")
        with pytest.raises(Conflict):
            store.put_manifest(NAME, "production", third, replacing=believed)
    store.put_manifest(NAME, "production", second, replacing=Digest.of(first))
    assert store.manifest(NAME, "production") == second
    with pytest.raises(Conflict):
        store.put_manifest(NAME, "staging", second, replacing=Digest.of(first))


def test_a_version_never_moves(store: Store) -> None:
    first, second = put(store, b"first", DATED), put(store, b"second")
    with pytest.raises(Conflict):
        store.put_manifest(NAME, DATED, second, replacing=Digest.of(first))
    assert store.manifest(NAME, DATED) == first


def test_names_and_tags_are_listed_in_order(store: Store) -> None:
    for name in ("vm/b", "file/b", "file/a"):
        for tag in ("2", "1"):
            put(store, b"x", tag, name=name)
    assert list(store.names()) == ["file/a", "file/b", "vm/b"]
    assert list(store.names("file/")) == ["file/a", "file/b"]
    assert list(store.tags("vm/b")) == ["1", "2"]


def test_referrers_of_a_manifest_are_found_by_type(store: Store) -> None:
    subject = Digest.of(put(store, b"subject", DATED))
    for kind in ("signature", "sbom"):
        document: dict[str, object] = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "artifactType": f"test/{kind}"}
        document["config"] = Blob(Digest.of(b"{}"), 2, oci.EMPTY).described()
        manifest = oci.encode(document | {"subject": Blob(subject, 1, oci.MANIFEST).described(), "layers": []})
        store.put_manifest(NAME, str(Digest.of(manifest)), manifest)
    assert {each.artifact_type for each in store.referrers(NAME, subject)} == {"test/signature", "test/sbom"}
    assert [each.artifact_type for each in store.referrers(NAME, subject, "test/sbom")] == ["test/sbom"]
    assert not list(store.referrers("file/other", subject))


def test_what_is_published_can_be_read_by_its_digest_before_it_has_a_name(store: Store) -> None:
    manifest, told = put(store, b"x"), list[tuple[bytes, list[str]]]()

    def look(unnamed: Artifact) -> None:
        assert unnamed.digest == Digest.of(manifest) and not unnamed.reference.tag
        attach(store, NAME, unnamed.digest, b"said", media_type="text/plain", artifact_type="test/said")
        told.append((store.manifest(NAME, str(unnamed.digest)), list(store.tags(NAME))))

    published = publish(store, Reference.parse(NAME), "1.0", manifest, before=look)
    assert told == [(manifest, [])]
    assert [each.artifact_type for each in store.referrers(NAME, published.digest)] == ["test/said"]
    assert list(store.tags(NAME)) == [published.reference.tag]


def test_what_is_found_bad_before_it_has_a_name_gets_none(store: Store) -> None:
    def refuse(unnamed: Artifact) -> None:
        raise Conflict("no", resolution="")

    with pytest.raises(Conflict):
        publish(store, Reference.parse(NAME), "1.0", put(store, b"x"), before=refuse)
    assert not list(store.tags(NAME)) and not list(store.names())


# Hostile names


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_everywhere(store: Store, tmp_path: Path, name: str) -> None:
    digest, manifest = Digest.of(b"x"), put(store, b"x")
    before = sorted(tmp_path.rglob("*"))
    for act in (
        lambda: store.stat(name, digest),
        lambda: store.write(name, Digest.of(b"y"), 1, io.BytesIO(b"y")),
        lambda: store.add(name, io.BytesIO(b"y")),
        lambda: store.manifest(name, "1"),
        lambda: store.put_manifest(name, "1", manifest),
        lambda: list(store.tags(name)),
        lambda: list(store.referrers(name, digest)),
        lambda: store.hold(name).__enter__(),
    ):
        with pytest.raises(BadInput):
            act()
    assert sorted(tmp_path.rglob("*")) == before


@given(tag=st.text(max_size=200) | st.sampled_from(["..", ".", "../../x", "/x", "a/b", "a\0", "a\n", "", "x" * 129]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_no_tag_leads_out_of_the_store(store: Store, tmp_path: Path, tag: str) -> None:
    manifest = put(store, b"x")
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "store")} - {
        tmp_path / "store"
    }
    try:
        store.put_manifest(NAME, tag, manifest)
        assert store.manifest(NAME, tag) == manifest
    except Error:
        assert tag not in store.tags(NAME)
    assert outside == {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "store")} - {
        tmp_path / "store"
    }


# Many at once


def test_of_many_who_want_one_name_exactly_one_gets_it(store: Store) -> None:
    manifests = [put(store, str(number).encode()) for number in range(8)]
    start, won = threading.Barrier(8), []

    def publish(manifest: bytes) -> None:
        start.wait()
        try:
            store.put_manifest(NAME, DATED, manifest)
            won.append(manifest)
        except Conflict:
            pass

    threads = [threading.Thread(target=publish, args=(manifest,)) for manifest in manifests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if store.traits().compare_and_swap:
        assert won == [store.manifest(NAME, DATED)]
    else:
        # The weaker promise: what stands there in the end is whole, and its publisher was told so. Another one may
        # have been told too, whose name was taken away after it had looked.
        assert store.manifest(NAME, DATED) in won


def test_who_holds_a_name_keeps_others_out(store: Store) -> None:
    """Where the store can; elsewhere the block runs all the same."""
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with store.hold(NAME):
                inside += 1
                most = max(most, inside)
                threading.Event().wait(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 or not store.traits().holds


# Listing


def test_the_index_says_what_the_manifests_say(store: Store) -> None:
    for number in range(5):
        put(
            store,
            str(number).encode(),
            f"1.{number}-20261124T22150{number}Z",
            name=f"file/n{number % 2}",
            inputs="x" * 5000,
        )
    walked = {
        oci.brief(oci.artifact(name, tag, store.manifest(name, tag)))
        for name in store.names()
        for tag in store.tags(name)
    }
    assert set(artifacts(store)) == walked
    assert [each.reference.tag[:3] for each in artifacts(store)] == ["1.4", "1.3", "1.2", "1.1", "1.0"]
    assert {each.reference.name for each in artifacts(store, Kind.FILE, "n1")} == {"n1"}
    if isinstance(store, Indexed):
        assert {each for _, each in store.artifacts()} == walked


# Taking away


def test_a_deleted_tag_is_gone_and_its_manifest_stays(collectable: Store) -> None:
    manifest = put(collectable, b"content", DATED)
    put(collectable, b"content", "channel")
    collectable.delete_tag(NAME, DATED)
    collectable.delete_tag(NAME, DATED)
    assert list(collectable.tags(NAME)) == ["channel"]
    assert collectable.manifest(NAME, str(Digest.of(manifest))) == manifest
    collectable.delete_tag(NAME, "channel")
    assert list(collectable.names()) == []


def test_a_registry_that_cannot_take_a_tag_away_says_so_and_changes_nothing(registry: Store) -> None:
    manifest = put(registry, b"content", DATED)
    put(registry, b"content", "channel")
    try:
        registry.delete_tag(NAME, "channel")
        assert registry.traits().deletes_names
        assert list(registry.tags(NAME)) == [DATED]
    except Denied:
        assert not registry.traits().deletes_names
        assert list(registry.tags(NAME)) == [DATED, "channel"]
    assert registry.manifest(NAME, DATED) == manifest


def test_a_tag_that_moved_meanwhile_is_not_deleted(store: Store) -> None:
    put(store, b"content", "channel")
    with pytest.raises(Conflict):
        store.delete_tag(NAME, "channel", expected=Digest.of(b"other"))
    assert list(store.tags(NAME)) == ["channel"]


def test_what_a_push_counts_on_is_younger_than_the_push(collectable: Store) -> None:
    store = collectable
    assert isinstance(store, Collectable)
    manifest = put(store, b"content")
    digest = Digest.of(b"content")
    time.sleep(1.1)
    store.write(NAME, digest, 7, Unread())
    assert not store.delete(digest, older_than=timedelta(seconds=1))
    store.put_manifest(NAME, DATED, manifest)
    assert all(each.age < timedelta(seconds=1) for each in store.blobs())
    end = time.monotonic() + 10  # dates of some stores have whole seconds, and their clocks lag
    while not store.delete(digest, older_than=timedelta(seconds=1)) and time.monotonic() < end:
        time.sleep(0.1)
    assert store.stat(NAME, digest) is None


def put_by_digest(store: Store, algorithm: str) -> tuple[Digest, Digest, bytes]:
    """A manifest and its blob, with digests of this algorithm."""
    digest = Digest.of(b"content", algorithm)
    store.write(NAME, digest, 7, io.BytesIO(b"content"))
    store.write(NAME, Digest.of(b"{}"), 2, io.BytesIO(b"{}"))
    manifest = oci.file_manifest(Kind.FILE, Blob(digest, 7, "text/plain"), "thing", {})
    return digest, store.put_manifest(NAME, str(Digest.of(manifest, algorithm)), manifest), manifest


def test_a_registry_that_does_not_keep_sha512_says_so(registry: Store) -> None:
    with pytest.raises(Error) as error:
        put_by_digest(registry, "sha512")
    assert "sha512" in error.value.message and not isinstance(error.value, Corrupt | Unavailable)
    assert not list(registry.names())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_blobs_and_manifests_of_others_keep_the_algorithm_of_their_digest(collectable: Store, algorithm: str) -> None:
    store = collectable
    digest, stated, manifest = put_by_digest(store, algorithm)
    assert stated == Digest.of(manifest, algorithm)
    assert store.manifest(NAME, str(stated)) == manifest
    with store.read(NAME, digest) as source:
        assert source.read() == b"content"
