"""Everything that a page tells about one artefact, gathered from the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice

from common.errors import Corrupt
from common.model import Artifact, Digest
from naust import manifest as oci
from naust.brief import Brief
from naust.listing import rows
from naust.serve.pages_attached import Attachments, attachments, is_package, revoked
from naust.serve.pages_text import web_address
from naust.show import Input
from naust.store.interface import Store, check_tag

LONGEST_LIST = 500  # parts, versions and annotations that one page shows
MOST_PACKAGES = 5000
# Shown in fields or sections of their own.
_FIELDS = (oci.VERSION, oci.REVISION, oci.KIND, oci.MADE_FROM, oci.INPUTS, oci.CREATED)


@dataclass(frozen=True, slots=True)
class Part:
    """A blob, or for an index the manifest of one platform. `stored` says whether it is there in its size."""

    digest: Digest
    size: int
    media_type: str
    label: str
    stored: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one artefact."""

    name: str
    artifact: Artifact
    manifest: oci.Manifest
    parts: tuple[Part, ...]
    inputs: tuple[Input, ...]
    attached: Attachments
    refused: Corrupt | None  # why naust refuses it: it is revoked, or what it was built from is

    @property
    def annotations(self) -> tuple[tuple[str, str], ...]:
        """Those that are not shown elsewhere."""
        return tuple(pair for pair in self.artifact.annotations if pair[0] not in _FIELDS)

    @property
    def missing(self) -> int:
        """How many parts the store lacks."""
        return sum(not part.stored for part in self.parts)

    def address_of(self, key: str) -> str:
        """The annotation's value, if it is a web address."""
        return web_address(self.artifact.annotation(key))


def facts(store: Store, name: str, tag: str) -> Facts:
    """Read the manifest and what refers to it; blobs are looked for but not read.

    Raises NotFound, BadInput; Corrupt if the manifest is damaged.
    """
    data = store.manifest(name, check_tag(name, tag))
    artifact, read = oci.artifact(name, tag, data), oci.parse(data, f"{name}:{tag}")
    inputs = tuple(Input(*each) for each in islice(oci.inputs(artifact), MOST_PACKAGES))
    attached = attachments(store, name, artifact)
    others = tuple(each for each in inputs if not is_package(each.name, each.version))
    return Facts(
        name, artifact, read, tuple(_parts(store, name, read, data)), others, attached, revoked(store, artifact)
    )


def tagged(store: Store, name: str, digest: Digest, *, but: str) -> tuple[str, ...]:
    """The other tags that stand for the same manifest."""
    found = (row for row in rows(store, name) if isinstance(row, Brief) and f"{row.kind}/{row.name}" == name)
    return tuple(sorted(row.tag for row in found if row.digest == str(digest) and row.tag != but))


def _parts(store: Store, name: str, read: oci.Manifest, data: bytes) -> list[Part]:
    titles, needed = _titles(data), {blob.digest for blob in read.blobs}
    config = read.config if read.config and read.config.media_type != oci.EMPTY else None
    listed = (*((config,) if config else ()), *read.layers, *read.children)
    return [
        Part(
            blob.digest,
            blob.size,
            blob.media_type,
            "configuration" if blob is config else titles.get(str(blob.digest), "") or blob.platform,
            blob.digest not in needed or store.stat(name, blob.digest) == blob.size,
        )
        for blob in listed[:LONGEST_LIST]
    ]


def _titles(data: bytes) -> dict[str, str]:
    """File names of layers, by digest."""
    layers = ((each, each.get("annotations")) for each in json.loads(data).get("layers", ()))
    return {str(each["digest"]): str(said.get(oci.TITLE, "")) for each, said in layers if isinstance(said, dict)}
