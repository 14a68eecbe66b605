"""Manifests are exactly what OCI's specification says, and depend on nothing but the content."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Corrupt
from common.model import Digest, Kind
from naust import manifest as oci
from naust.manifest import Blob, ContainerImage

LAYER = Blob(Digest.of(b"layer"), 5)
CONFIG = json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(LAYER.digest)]}, "created": "2026-11-24T00:00:00Z"})
IMAGE = ContainerImage(CONFIG.encode(), (LAYER,))


def test_a_container_is_an_oci_image_manifest() -> None:
    said = oci.annotated(Kind.CONTAINER, "1:2", created="2026-11-24T00:00:00Z", made_from=Digest.of(b"recipe"))
    assert json.loads(oci.container_manifest(IMAGE, said)) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": str(Digest.of(CONFIG.encode())),
            "size": len(CONFIG),
        },
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": str(LAYER.digest), "size": LAYER.size}
        ],
        "annotations": {
            "naust.kind": "container",
            "naust.made-from": str(Digest.of(b"recipe")),
            "org.opencontainers.image.created": "2026-11-24T00:00:00Z",
            "org.opencontainers.image.version": "1:2",
        },
    }


def test_a_file_is_an_oci_artefact_with_an_empty_configuration() -> None:
    blob = Blob(Digest.of(b"x"), 1, oci.file_type("disk.qcow2"))
    document = json.loads(oci.file_manifest(Kind.VM, blob, "disk.qcow2", {}))
    assert document["artifactType"] == "application/vnd.naust.vm.v1"
    assert document["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
    }
    assert document["layers"] == [
        {
            "mediaType": "application/x-qemu-disk",
            "digest": str(blob.digest),
            "size": 1,
            "annotations": {"org.opencontainers.image.title": "disk.qcow2"},
        }
    ]


def test_what_was_written_is_read() -> None:
    said = oci.annotated(Kind.FILE, "1.0", made_from=Digest.of(b"recipe"), more={"a": "b"})
    data = oci.file_manifest(Kind.FILE, LAYER, "name", said)
    found = oci.artifact("file/x", "1.0-20261124T221500Z", data)
    assert (found.version, found.made_from, found.annotation("a")) == ("1.0", Digest.of(b"recipe"), "b")
    assert found.created == datetime(2026, 11, 24, 22, 15, tzinfo=UTC)
    assert found.size == len(data) + 2 + LAYER.size
    assert (found.media_type, oci.parse(data, "x").title) == ("application/vnd.naust.file.v1", "name")


def test_a_blob_that_occurs_twice_counts_once() -> None:
    image = ContainerImage(b"{}", (LAYER, LAYER))
    assert len(oci.parse(oci.container_manifest(image, {}), "x").blobs) == 2


def test_inputs_come_out_as_they_were_said() -> None:
    said = {oci.INPUTS: json.dumps([{"name": "bird2", "version": "2.17", "digest": "sha256:1"}, "?", {"name": "x"}])}
    found = oci.artifact("file/x", "1", oci.file_manifest(Kind.FILE, LAYER, "n", said))
    assert list(oci.inputs(found)) == [("bird2", "2.17", "sha256:1"), ("x", "", "")]


def test_diff_ids_are_those_of_the_configuration() -> None:
    assert oci.diff_ids(IMAGE.config, "it") == (LAYER.digest,)
    for bad in (b"", b"{}", b"[]", b'{"rootfs": {"diff_ids": ["x"]}}'):
        with pytest.raises(Corrupt):
            oci.diff_ids(bad, "it")


KEYS = st.sampled_from(["config", "layers", "digest", "size", "mediaType", "subject", "manifests", "annotations"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


@given(st.binary() | DOCUMENTS.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    try:
        oci.parse(data, "it")
    except Corrupt as error:
        assert error.message == "the manifest of it cannot be read"
