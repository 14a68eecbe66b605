"""What goes in gets one name and stays; what comes out is what went in, or nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.model import Artifact, Digest, Kind, Reference
from naust import manifest as oci
from naust.listing import artifacts, find, matching, resolve
from naust.manifest import Blob, ContainerImage
from naust.pull import pull_file, pull_layout
from naust.push import checked_title, publish, push_container, push_file
from naust.show import rows, show
from naust.store.memory import MemoryStore

NOW = datetime(2026, 11, 24, 22, 15, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
FILE = Reference.parse("file/thing:1.0")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "thing.txt").write_bytes(b"content")
    return tmp_path / "thing.txt"


def image(tmp_path: Path, *layers: bytes, **config: object) -> ContainerImage:
    blobs = []
    for layer in layers:
        (tmp_path / Digest.of(layer).hex).write_bytes(layer)
        blobs.append(Blob(Digest.of(layer), len(layer), path=tmp_path / Digest.of(layer).hex))
    rootfs = {"type": "layers", "diff_ids": [str(blob.digest) for blob in blobs]}
    return ContainerImage(json.dumps({"rootfs": rootfs, **config}).encode(), tuple(blobs))


def crafted(store: MemoryStore, title: str, annotations: Mapping[str, str] | None = None) -> Artifact:
    """An artefact that somebody else made, with any title."""
    digest, size = store.add("file/evil", io.BytesIO(b"evil"))
    store.add("file/evil", io.BytesIO(oci.EMPTY_CONFIG))
    data = oci.file_manifest(Kind.FILE, Blob(digest, size, "text/plain"), title, annotations or {})
    return publish(store, Reference.parse("file/evil"), "1", data, NOW)


# Names


def test_the_name_has_the_version_and_the_date_of_first_publication(store: MemoryStore, path: Path) -> None:
    pushed = push_file(store, path, FILE, version="1:1.0+b1", now=NOW)
    assert str(pushed.reference) == "file/thing:1.0_b1-20261124T221500Z"
    assert (pushed.version, pushed.created) == ("1:1.0+b1", NOW)


def test_the_same_content_again_keeps_its_name(store: MemoryStore, path: Path) -> None:
    assert push_file(store, path, FILE, now=NOW) == push_file(store, path, FILE, now=LATER)
    assert len(artifacts(store)) == 1


def test_other_content_of_one_version_gets_another_name(store: MemoryStore, path: Path) -> None:
    first = push_file(store, path, FILE, now=NOW)
    path.write_bytes(b"changed")
    second = push_file(store, path, FILE, now=NOW)
    assert [first.reference.tag, second.reference.tag] == ["1.0-20261124T221500Z", "1.0-20261124T221501Z"]
    assert resolve(store, FILE) == second


def test_the_same_content_as_another_version_gets_another_name(store: MemoryStore, path: Path) -> None:
    push_file(store, path, FILE, now=NOW)
    assert push_file(store, path, Reference.parse("file/thing:2.0"), now=NOW).version == "2.0"
    assert len(artifacts(store)) == 2


@pytest.mark.parametrize("reference", ["file/thing", "container/thing:1"])
def test_a_file_needs_a_version_and_is_no_container(store: MemoryStore, path: Path, reference: str) -> None:
    with pytest.raises(BadInput):
        push_file(store, path, Reference.parse(reference))
    assert not list(store.blobs())


# Containers


def test_a_container_is_pushed_and_found_by_its_recipe(store: MemoryStore, tmp_path: Path) -> None:
    recipe = Digest.of(b"recipe")
    pushed = push_container(store, image(tmp_path, b"a", b"b"), name="x", version="1", made_from=recipe, now=NOW)
    assert find(store, recipe) == pushed
    assert find(store, Digest.of(b"other")) is None
    assert find(store, recipe, Kind.CONTAINER, "y") is None


def test_an_artefact_that_lost_a_blob_is_not_found_by_its_recipe_and_mended_by_the_next_push(
    store: MemoryStore, tmp_path: Path
) -> None:
    recipe, made = Digest.of(b"recipe"), image(tmp_path, b"a")
    pushed = push_container(store, made, name="x", version="1", made_from=recipe, now=NOW)
    store.delete(Digest.of(b"a"))
    assert find(store, recipe) is None
    assert push_container(store, made, name="x", version="1", made_from=recipe, now=LATER) == pushed
    assert find(store, recipe) == pushed


def test_a_layer_without_a_path_must_be_in_the_store(store: MemoryStore, tmp_path: Path) -> None:
    made = image(tmp_path, b"a")
    bare = ContainerImage(made.config, (Blob(Digest.of(b"a"), 1),))
    with pytest.raises(NotFound):
        push_container(store, bare, name="x", version="1")
    assert not artifacts(store)
    push_container(store, made, name="y", version="1")
    assert push_container(store, bare, name="x", version="1").reference.name == "x"


def test_layers_that_the_configuration_does_not_name_are_refused(store: MemoryStore, tmp_path: Path) -> None:
    made = image(tmp_path, b"a", b"b")
    for layers in (made.layers[::-1], made.layers[:1], ()):
        with pytest.raises(Corrupt):
            push_container(store, ContainerImage(made.config, layers), name="x", version="1")
    assert not list(store.blobs())


def test_a_layer_that_changed_since_it_was_described_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    made = image(tmp_path, b"a")
    (tmp_path / Digest.of(b"a").hex).write_bytes(b"b")
    with pytest.raises(Corrupt):
        push_container(store, made, name="x", version="1")
    assert not artifacts(store)


# What is meant


def test_a_reference_means_the_newest_that_fits(store: MemoryStore, path: Path) -> None:
    pushed = []
    for number, version in enumerate(("1.0", "2.0", "1.0")):
        path.write_text(str(number))
        pushed.append(push_file(store, path, Reference.parse(f"file/thing:{version}"), now=NOW + timedelta(number)))
    assert resolve(store, "file/thing") == pushed[2]
    assert resolve(store, "file/thing:2.0") == pushed[1]
    assert resolve(store, "file/thing:1.0") == pushed[2]
    assert resolve(store, str(pushed[0].reference)) == pushed[0]
    assert resolve(store, f"file/thing@{pushed[0].digest}") == pushed[0]
    assert resolve(store, f"file/thing:2.0@{pushed[1].digest}") == pushed[1]
    with pytest.raises(NotFound):
        resolve(store, f"file/thing:2.0@{pushed[0].digest}")


def test_who_knows_the_name_needs_no_list_of_names(
    store: MemoryStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large registries give such a list to nobody."""
    pushed = push_file(store, path, FILE, now=NOW)
    monkeypatch.setattr(store, "names", None)
    assert resolve(store, "file/thing") == resolve(store, "file/thing:1.0") == pushed
    assert resolve(store, f"file/thing@{pushed.digest}") == pushed


def test_who_mistypes_is_told_what_there_is(store: MemoryStore, path: Path) -> None:
    push_file(store, path, FILE)
    with pytest.raises(NotFound) as error:
        resolve(store, "file/thign")
    assert error.value.resolution == "Did you mean file/thing?"
    with pytest.raises(NotFound) as error:
        resolve(store, "file/thing:2")
    assert error.value.resolution == "It has these versions: 1.0."


def test_patterns_fit_names_and_references(store: MemoryStore, path: Path) -> None:
    for name in ("ceph-mon", "ceph-osd", "etcd"):
        push_file(store, path, Reference.parse(f"file/{name}:1"), now=NOW)
    found = artifacts(store)
    for pattern, expected in (("ceph-*", 2), ("file/ceph-*", 2), ("etcd", 1), ("*:1-2026*", 3), ("vm/*", 0), ("*", 3)):
        assert len(matching(found, pattern)) == expected, pattern


def test_show_says_everything(store: MemoryStore, tmp_path: Path) -> None:
    said = {
        oci.REVISION: "abc",
        oci.INPUTS: json.dumps([{"name": "bird2", "version": "2", "digest": "sha256:1"}]),
        "k": "v",
    }
    made = image(tmp_path, b"a", created="2026-11-24T00:00:00Z")
    pushed = push_container(store, made, name="x", version="1+b", annotations=said, made_from=Digest.of(b"r"), now=NOW)
    lines = rows(show(store, "container/x"))
    assert lines == [
        ("URI", "memory:///container/x/1_b-20261124T221500Z"),
        ("kind", "container"),
        ("name", "x"),
        ("version", "1+b"),
        ("published", "2026-11-24T22:15:00+00:00"),
        ("created", "2026-11-24T00:00:00Z"),
        ("digest", str(pushed.digest)),
        ("size", f"{pushed.size} bytes"),
        ("type", "application/vnd.oci.image.config.v1+json"),
        ("source revision", "abc"),
        ("made from", str(Digest.of(b"r"))),
        ("k", "v"),
        ("naust.image-id", str(made.id)),
        ("blob", f"{made.id} {len(made.config)} bytes application/vnd.oci.image.config.v1+json"),
        ("blob", f"{Digest.of(b'a')} 1 bytes application/vnd.oci.image.layer.v1.tar"),
        ("input", "bird2 2 sha256:1"),
    ]
    store.delete(Digest.of(b"a"))
    assert any(text.endswith("MISSING") for _, text in rows(show(store, "container/x")))


# Out of the store


def test_a_file_comes_out_as_it_went_in(store: MemoryStore, path: Path, tmp_path: Path) -> None:
    pushed = push_file(store, path, FILE)
    out = tmp_path / "out"
    out.mkdir()
    assert pull_file(store, pushed, out) == out / "thing.txt"
    assert pull_file(store, pushed, out / "other") == out / "other"
    assert (out / "thing.txt").read_bytes() == (out / "other").read_bytes() == b"content"
    assert pull_file(store, pushed, out) == out / "thing.txt"
    assert sorted(each.name for each in out.iterdir()) == ["other", "thing.txt"]


def test_nothing_is_overwritten(store: MemoryStore, path: Path, tmp_path: Path) -> None:
    pushed = push_file(store, path, FILE)
    (tmp_path / "mine").write_bytes(b"precious")
    with pytest.raises(Conflict):
        pull_file(store, pushed, tmp_path / "mine")
    with pytest.raises(Conflict):
        pull_layout(store, pushed, tmp_path)
    assert (tmp_path / "mine").read_bytes() == b"precious"


def test_a_damaged_blob_leaves_no_file(store: MemoryStore, path: Path, tmp_path: Path) -> None:
    pushed = push_file(store, path, FILE)
    store._contents[Digest.of(b"content")] = b"CONTENT"
    out = tmp_path / "out"
    out.mkdir()
    for act in (lambda: pull_file(store, pushed, out), lambda: pull_layout(store, pushed, out / "layout")):
        with pytest.raises(Corrupt) as error:
            act()
        assert str(Digest.of(b"content")) in error.value.message
        assert str(pushed.reference) in error.value.message
        assert not list(out.iterdir())


TITLES = (
    "../../x",
    "/etc/cron.d/x",
    "a/../../x",
    "C:\\x",
    "C:x",
    "a\0b",
    "..",
    ".",
    "",
    "a\nb",
    " a",
    "\u202ea",
    "x" * 300,
)


@pytest.mark.parametrize("title", TITLES)
def test_a_title_that_leads_elsewhere_is_refused(store: MemoryStore, tmp_path: Path, title: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    pushed = crafted(store, title)
    with pytest.raises(Corrupt):
        pull_file(store, pushed, out)
    assert list(tmp_path.rglob("*")) == [out]
    # Whoever names the file gets it.
    assert pull_file(store, pushed, out / "named").read_bytes() == b"evil"


@given(st.text())
def test_any_title_is_refused_or_one_plain_name(title: str) -> None:
    with suppress(Corrupt):
        assert (Path("/folder") / checked_title(title, "it")).parent == Path("/folder")


def test_a_layout_is_what_the_specification_says(store: MemoryStore, tmp_path: Path) -> None:
    made = image(tmp_path, b"a", b"b")
    pushed = push_container(store, made, name="x", version="1", now=NOW)
    folder = pull_layout(store, pushed, tmp_path / "deep" / "layout")
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    assert entry["digest"] == str(pushed.digest)
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "1-20261124T221500Z"}
    blobs = list((folder / "blobs" / "sha256").iterdir())
    assert len(blobs) == 4
    assert all(Digest.of(blob.read_bytes()).hex == blob.name for blob in blobs)
    assert not [each for each in folder.parent.iterdir() if each.name.startswith(".")]


def test_a_container_is_not_pulled_to_a_file(store: MemoryStore, tmp_path: Path) -> None:
    pushed = push_container(store, image(tmp_path, b"a"), name="x", version="1")
    with pytest.raises(BadInput):
        pull_file(store, pushed, tmp_path / "file")
