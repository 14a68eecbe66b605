"""What an artefact consists of: an OCI image manifest, made and read as data. Nothing here touches a store.

OCI image specification 1.1: manifest.md (also "Guidelines for artifact usage"), image-index.md, config.md, layer.md,
annotations.md. A manifest has at most 4 MiB, which is what the distribution specification 1.1 asks registries to take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from common.errors import BadInput, Corrupt
from common.model import Artifact, Digest, Kind, Reference
from naust.version import split

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIGS = (CONFIG, "application/vnd.docker.container.image.v1+json")  # of container images
INDEXES = (INDEX, DOCKER_INDEX)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST, *INDEXES)
PLAIN_LAYERS = (LAYER, "application/vnd.docker.image.rootfs.diff.tar")  # uncompressed
FILES = "application/vnd.naust.files.v1+jsonl"  # configuration of a directory: see naust.content.tree
TAR = "application/x-tar"
EMPTY = "application/vnd.oci.empty.v1+json"
EMPTY_CONFIG = b"{}"

CREATED = "org.opencontainers.image.created"
VERSION = "org.opencontainers.image.version"
REVISION = "org.opencontainers.image.revision"
TITLE = "org.opencontainers.image.title"
KIND = "naust.kind"
MADE_FROM = "naust.made-from"  # fingerprint of the recipe
INPUTS = "naust.inputs"  # JSON: list of {name, version, digest}
IMAGE_ID = "naust.image-id"  # what a container engine calls it: the digest of the configuration

LARGEST = 4 << 20  # bytes of a manifest
LONGEST_LISTED = 1024  # characters of an annotation that a listing still carries
RAW_DISK = "application/x-raw-disk-image"
DISKS = ("application/x-qemu-disk", RAW_DISK)
# Media types that are registered (IANA), else those of freedesktop.org's shared-mime-info.
_BY_SUFFIX = {
    ".qcow2": "application/x-qemu-disk",
    ".raw": RAW_DISK,
    ".img": RAW_DISK,
    ".iso": "application/x-iso9660-image",
    ".tar": TAR,
    ".tar.xz": "application/x-xz-compressed-tar",
    ".tar.zst": "application/x-zstd-compressed-tar",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".zst": "application/zstd",
    ".xz": "application/x-xz",
    ".zip": "application/zip",
    ".json": "application/json",
    ".txt": "text/plain",
    ".deb": "application/vnd.debian.binary-package",
}
# Layers whose bytes come from their maker alone (layer.md, "Non-Distributable Layers"; Docker's foreign layers).
_ELSEWHERE = re.compile(
    r"application/vnd\.oci\.image\.layer\.nondistributable\.v1\.tar(?:\+(?:gzip|zstd))?"
    r"|application/vnd\.docker\.image\.rootfs\.foreign\.diff\.tar(?:\.gzip)?"
)
_BY_MAGIC = {
    b"QFI\xfb": "application/x-qemu-disk",
    b"\x7fELF": "application/x-executable",
    b"#!": "text/x-script",
    b"!<arch>\ndebian-binary": "application/vnd.debian.binary-package",
}


@dataclass(frozen=True, slots=True)
class Blob:
    """A descriptor: which bytes, how many, of what type. `path` is where they are; None says that a store has them.
    `platform` is `os/architecture` or `os/architecture/variant` of a child of an index, else ''."""

    digest: Digest
    size: int
    media_type: str = LAYER
    path: Path | None = None
    platform: str = ""

    def described(self, title: str = "") -> dict[str, object]:
        """As a manifest has it."""
        plain: dict[str, object] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        return plain | ({"annotations": {TITLE: title}} if title else {})


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """An image's configuration, byte for byte, and its layers from the bottom up. Uncompressed ones have their diff ids
    as digests; compressed ones stay as they came. A layer without a path is in the store already."""

    config: bytes
    layers: tuple[Blob, ...]

    @property
    def id(self) -> Digest:
        """What the engine calls it."""
        return Digest.of(self.config)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was read. `title` is the file name that its only layer had, or ''."""

    digest: Digest
    media_type: str
    artifact_type: str
    config: Blob | None
    layers: tuple[Blob, ...]
    children: tuple[Blob, ...]  # of an index
    subject: Digest | None
    annotations: tuple[tuple[str, str], ...]
    title: str = ""

    @property
    def is_container(self) -> bool:
        """Whether it is a container image of one platform."""
        return self.config is not None and self.config.media_type in CONFIGS

    @property
    def is_folder(self) -> bool:
        """Whether it is a directory: one tar, and an index of the files in it as configuration."""
        return self.config is not None and self.config.media_type == FILES and len(self.layers) == 1

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Everything that must be there for this to be whole, each once; layers that may not be passed on need not."""
        every = (*((self.config,) if self.config else ()), *self.layers, *self.children)
        return tuple({blob.digest: blob for blob in every if not _ELSEWHERE.fullmatch(blob.media_type)}.values())


def encode(document: Mapping[str, object]) -> bytes:
    """JSON whose bytes depend on the content alone."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def container_manifest(image: ContainerImage, annotations: Mapping[str, str]) -> bytes:
    """The manifest of a container image."""
    config = Blob(image.id, len(image.config), CONFIG)
    layers = [layer.described() for layer in image.layers]
    return _manifest({"config": config.described(), "layers": layers}, annotations)


def file_manifest(kind: Kind, file: Blob, title: str, annotations: Mapping[str, str]) -> bytes:
    """The manifest of one file."""
    config = Blob(Digest.of(EMPTY_CONFIG), len(EMPTY_CONFIG), EMPTY)
    parts = {"config": config.described(), "layers": [file.described(title)], "artifactType": artifact_type(kind)}
    return _manifest(parts, annotations)


def folder_manifest(kind: Kind, files: Blob, tar: Blob, title: str, annotations: Mapping[str, str]) -> bytes:
    """The manifest of a directory: its tar, and the index of its files as configuration. Programs that do not know the
    index see one tar file."""
    parts = {"config": files.described(), "layers": [tar.described(title)], "artifactType": artifact_type(kind)}
    return _manifest(parts, annotations)


def artifact_type(kind: Kind) -> str:
    """The artifact type of a kind other than container."""
    return f"application/vnd.naust.{kind}.v1"


def file_type(name: str, begin: bytes = b"") -> str:
    """Media type of a file, by its name, else by how its bytes begin."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    known = _BY_SUFFIX.get("".join(suffixes[-2:])) or _BY_SUFFIX.get("".join(suffixes[-1:]))
    if known is None:
        known = next((found for magic, found in _BY_MAGIC.items() if begin.startswith(magic)), None)
    return known or "application/octet-stream"


def annotated(
    kind: Kind,
    version: str,
    *,
    created: str = "",
    made_from: Digest | None = None,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What every artefact says about itself. There is no date of publication in it: the same content must get the
    same digest on every day; that date is in the tag. `created` is when the content was made, if that is known."""
    own = {KIND: str(kind), VERSION: version}
    own |= {CREATED: created} if created else {}
    return dict(more or {}) | own | ({MADE_FROM: str(made_from)} if made_from else {})


def created(config: bytes) -> str:
    """When a container image was made, as its configuration says (RFC 3339); '' if it does not."""
    try:
        return str(json.loads(config).get("created") or "")
    except (ValueError, AttributeError):
        return ""


def parse(data: bytes, what: str) -> Manifest:
    """Read a manifest or index. `what` names it in errors. Raises Corrupt, also if it has more than 4 MiB."""
    if len(data) > LARGEST:
        raise _unreadable(what, f"It has {len(data)} bytes; {LARGEST} are the limit.")
    try:
        document = json.loads(data)
        subject = document.get("subject")
        config = document.get("config")
        layers = tuple(descriptor(each) for each in document.get("layers", ()))
        return Manifest(
            digest=Digest.of(data),
            media_type=str(document.get("mediaType") or MANIFEST),
            artifact_type=str(document.get("artifactType") or (config or {}).get("mediaType", "")),
            config=descriptor(config) if config else None,
            layers=layers,
            children=tuple(descriptor(each) for each in document.get("manifests", ())),
            subject=Digest.parse(subject["digest"]) if subject else None,
            annotations=tuple(sorted((str(k), str(v)) for k, v in (document.get("annotations") or {}).items())),
            title=_title(document) if len(layers) == 1 else "",
        )
    # RecursionError: a document that is nested without end is as bad as one that is cut off.
    except (BadInput, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(what, f"{type(error).__name__}: {error}") from error


def artifact(name: str, tag: str, data: bytes) -> Artifact:
    """The artefact that a tag stands for, from its manifest; without a tag, one that has no name yet. Its date is that
    of publication, if the tag tells it. Raises Corrupt.
    """
    reference = Reference.parse(f"{name}:{tag}" if tag else name)
    read = parse(data, str(reference))
    said = dict(read.annotations)
    dated = split(tag)
    return Artifact(
        reference=reference,
        version=said.get(VERSION) or (dated[0] if dated else tag),
        digest=read.digest,
        size=len(data) + sum(blob.size for blob in read.blobs),
        media_type=read.artifact_type or read.media_type,
        created=dated[1] if dated else moment(said.get(CREATED, "")),
        made_from=_optional(said.get(MADE_FROM, "")),
        annotations=read.annotations,
    )


def brief(artifact: Artifact) -> Artifact:
    """The artefact as listings have it: without annotations that are long, such as all packages of an image."""
    short = tuple(pair for pair in artifact.annotations if len(pair[1]) <= LONGEST_LISTED)
    return replace(artifact, annotations=short)


def inputs(artifact: Artifact) -> Iterator[tuple[str, str, str]]:
    """Name, version and digest of everything that it was made from; nothing if it does not say."""
    try:
        listed = json.loads(artifact.annotation(INPUTS) or "[]")
    except ValueError:
        return
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict):
            yield str(each.get("name", "")), str(each.get("version", "")), str(each.get("digest", ""))


def diff_ids(config: bytes, what: str) -> tuple[Digest, ...]:
    """The digests of the uncompressed layers, bottom first, as an image's configuration has them. Raises Corrupt."""
    try:
        listed: Sequence[object] = json.loads(config)["rootfs"]["diff_ids"]
        return tuple(Digest.parse(str(each)) for each in listed)
    except (BadInput, ValueError, KeyError, TypeError) as error:
        raise _unreadable(what, f"its configuration names no layers: {error}") from error


def moment(text: str) -> datetime:
    """A date as an annotation or a configuration has it; the epoch if it is none."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def platform(said: object) -> str:
    """What an index or a configuration says of a platform, as `os/architecture[/variant]`; '' if it says nothing."""
    if not isinstance(said, dict) or not said.get("os") or not said.get("architecture"):
        return ""
    return "/".join(str(said[key]) for key in ("os", "architecture", "variant") if said.get(key))


def _manifest(parts: Mapping[str, object], annotations: Mapping[str, str]) -> bytes:
    return encode({"schemaVersion": 2, "mediaType": MANIFEST, **parts, "annotations": dict(annotations)})


def descriptor(said: Mapping[str, object]) -> Blob:
    """What a descriptor (descriptor.md) says. Raises BadInput, ValueError, KeyError or TypeError for what is none."""
    size = said["size"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{size!r} is no size")
    return Blob(
        Digest.parse(str(said["digest"])),
        size,
        str(said["mediaType"]),
        platform=platform(said.get("platform")),
    )


def _title(document: Mapping[str, object]) -> str:
    layer = cast(Sequence[Mapping[str, object]], document["layers"])[0]
    annotations = layer.get("annotations")
    return str(annotations.get(TITLE, "")) if isinstance(annotations, dict) else ""


def _optional(text: str) -> Digest | None:
    try:
        return Digest.parse(text) if text else None
    except BadInput:
        return None


def _unreadable(what: str, details: str) -> Corrupt:
    return Corrupt(
        f"the manifest of {what} cannot be read", details=details, resolution="Push or build the artefact again."
    )
