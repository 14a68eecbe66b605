"""OCI layouts: which artefact is meant, and all that belongs to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt, Error
from common.model import Digest, Reference
from naust import manifest as oci
from naust.content.layout import open_layout, split
from naust.store.memory import MemoryStore
from naust.transfer.push_layout import push_layout
from tests.lab.shapes import Made, layer, two_platforms

IMAGE = Reference.parse("container/image:1")


def pushed(source: object) -> Digest:
    return push_layout(MemoryStore(), str(source), IMAGE).digest


def test_one_of_several_is_meant_by_name_or_digest(tmp_path: Path) -> None:
    made = Made(tmp_path / "layout")
    first, second = made.image("amd64", layer("a")), made.image("amd64", layer("b"))
    del first["platform"], second["platform"]
    second["annotations"] = {"org.opencontainers.image.ref.name": "two"}
    made.write(first, second, name="one")
    with pytest.raises(BadInput) as error:
        pushed(made.folder)
    assert "one, two" in error.value.details
    for name, expected in (("one", first), ("two", second)):
        assert pushed(f"{made.folder}:{name}") == pushed(f"{made.folder}@{expected['digest']}")
        assert str(pushed(f"{made.folder}:{name}")) == expected["digest"]
    with pytest.raises(BadInput):
        pushed(f"{made.folder}:three")


def test_platforms_that_only_index_json_lists_are_one_artefact(tmp_path: Path) -> None:
    made = Made(tmp_path / "layout")
    folder = made.write(made.image("amd64", layer("a")), made.image("arm64", layer("b")))
    assert pushed(folder) == Digest.of((folder / "index.json").read_bytes())


def test_an_index_in_an_index_goes_in_whole(tmp_path: Path) -> None:
    made, store = Made(tmp_path / "layout"), MemoryStore()
    inner = made.document(oci.INDEX, manifests=[made.image("amd64", layer("a"))])
    outer = made.document(oci.INDEX, manifests=[inner, made.image("arm64", layer("b"))])
    push_layout(store, str(made.write(outer)), IMAGE)
    everything = {path.name for path in (made.folder / "blobs" / "sha256").iterdir()}
    assert {digest.hex for digest in store._contents} == everything


def test_what_others_said_of_the_version_does_not_make_a_second_name(tmp_path: Path) -> None:
    made, store = Made(tmp_path / "layout"), MemoryStore()
    config = made.blob(oci.EMPTY_CONFIG, oci.EMPTY)
    thing = made.document(
        oci.MANIFEST, config=config, layers=[config], annotations={oci.VERSION: "9.9"}, artifactType="x/y"
    )
    made.write(thing)
    for _ in range(2):
        push_layout(store, str(made.folder), Reference.parse("file/thing:1.0_b"), version="1:1.0+b")
    assert len(list(store.tags("file/thing"))) == 1


@pytest.mark.parametrize("text", ["x", "x:y", "x:sha256:1", "a/b:c"])
def test_a_path_with_a_colon_that_is_there_is_that_path(tmp_path: Path, text: str) -> None:
    path, _, name = f"{tmp_path}/{text}".rpartition(":")
    expected = (Path(path), name) if ":" in text else (tmp_path / text, "")
    assert split(f"{tmp_path}/{text}") == expected
    (tmp_path / text).mkdir(parents=True)
    assert split(f"{tmp_path}/{text}") == (tmp_path / text, "")


def test_what_is_no_layout_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("rubbish")
    (tmp_path / "folder").mkdir()
    for name in ("none", "file", "folder"):
        with pytest.raises(BadInput):
            pushed(tmp_path / name)


@pytest.mark.parametrize("damage", ["child", "config", "layer", "index"])
def test_damage_is_found_and_nothing_gets_a_name(tmp_path: Path, damage: str) -> None:
    folder, digest = two_platforms(tmp_path / "layout")
    index = json.loads((folder / "blobs" / "sha256" / digest.hex).read_text())
    child = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((folder / "blobs" / "sha256" / child).read_text())
    where = {
        "child": child,
        "index": digest.hex,
        "config": manifest["config"]["digest"][7:],
        "layer": manifest["layers"][0]["digest"][7:],
    }
    path = folder / "blobs" / "sha256" / where[damage]
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    store = MemoryStore()
    with pytest.raises(Corrupt):
        push_layout(store, str(folder), IMAGE)
    assert not list(store.names())


def test_a_digest_in_a_layout_is_no_path(tmp_path: Path) -> None:
    made = Made(tmp_path / "layout")
    for digest in ("sha256:../../../etc/passwd", "../x:1", "md5:1", "sha256:" + "A" * 64):
        made.write({"mediaType": oci.MANIFEST, "digest": digest, "size": 1})
        with pytest.raises(Corrupt):
            pushed(made.folder)


@given(st.binary(max_size=300) | st.sampled_from([b"[" * 100_000, b"{}", b'{"manifests":[[]]}', b'{"manifests":{}}']))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_index_json_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "index.json").write_bytes(data)
    with pytest.raises(Error), open_layout(tmp_path) as opened:
        opened.root("")
