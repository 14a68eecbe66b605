"""Images, indexes and what refers to them, made of a few bytes, for tests of what keeps them together."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import docker

from common.model import Digest
from naust import manifest as oci
from naust.manifest import Blob
from naust.store.interface import Store

SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SBOM = "application/vnd.cyclonedx+json"


def blob(store: Store, name: str, content: bytes, media_type: str = oci.LAYER) -> Blob:
    """Write it, and describe it."""
    digest = Digest.of(content)
    store.write(name, digest, len(content), io.BytesIO(content))
    return Blob(digest, len(content), media_type)


def image(
    store: Store,
    name: str,
    *layers: bytes,
    tag: str = "",
    platform: str = "linux/amd64",
    config: Mapping[str, object] | None = None,
) -> Blob:
    """A container image; with a tag, under it. `config` is how it runs."""
    system, _, architecture = platform.partition("/")
    plain: dict[str, object] = {"os": system, "architecture": architecture}
    plain |= {"rootfs": {"type": "layers", "diff_ids": []}} | ({"config": dict(config)} if config else {})
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": blob(store, name, oci.encode(plain | {"comment": repr(layers)}), oci.CONFIG).described(),
        "layers": [blob(store, name, layer).described() for layer in layers],
    }
    return put(store, name, document, tag)


def index(store: Store, name: str, images: dict[str, Blob], tag: str = "") -> Blob:
    """An index: platform → image."""
    entries = []
    for platform, each in images.items():
        system, _, architecture = platform.partition("/")
        entries.append(each.described() | {"platform": {"os": system, "architecture": architecture}})
    return put(store, name, {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}, tag)


def refer(store: Store, name: str, subject: Blob, content: bytes, type: str = SIGNATURE) -> Blob:
    """A document that is attached to a manifest."""
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": type,
        "config": blob(store, name, oci.EMPTY_CONFIG, oci.EMPTY).described(),
        "layers": [blob(store, name, content, type).described()],
        "subject": subject.described(),
    }
    return put(store, name, document)


def put(store: Store, name: str, document: dict[str, object], tag: str = "") -> Blob:
    """Store a manifest by its digest, and under the tag if there is one."""
    data = oci.encode(document)
    store.put_manifest(name, str(Digest.of(data)), data)
    if tag:
        store.put_manifest(name, tag, data)
    return Blob(Digest.of(data), len(data), str(document["mediaType"]))


def two_platforms(store: Store, name: str, tag: str) -> tuple[Blob, Blob, Blob, list[Blob]]:
    """An index of two images that share a layer, the first with a signature and an SBOM, which is signed itself.
    Returns index, both images, what refers."""
    first = image(store, name, b"shared layer", b"layer of amd64")
    second = image(store, name, b"shared layer", b"layer of arm64", platform="linux/arm64")
    whole = index(store, name, {"linux/amd64": first, "linux/arm64": second}, tag)
    signature, sbom = refer(store, name, first, b"signature"), refer(store, name, first, b"sbom", SBOM)
    return whole, first, second, [signature, sbom, refer(store, name, sbom, b"signature of the sbom")]


@dataclass(frozen=True)
class Listed:
    """An image of the engine."""

    id: str
    tags: tuple[str, ...]


def listed(client: docker.DockerClient, name: str | None = None, *, all: bool = False) -> list[Listed]:
    """The engine's images, as it lists them: Docker's library looks at each again, and fails for one that has gone."""
    rows = client.api.images(name=name, all=all)
    return [Listed(row["Id"], tuple(tag for tag in row["RepoTags"] or () if "<none>" not in tag)) for row in rows]
