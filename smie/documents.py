"""The documents that go with an artefact and explain it: what is in it (CycloneDX), what it was made from (SLSA), how
large its parts are, the log of its build, and the checks that held.

They are attached to the manifest by its digest, before it gets a name: so nothing that has a name is without them. With
the key of $NAUST_KEY the first two and the last are signed, and so is a list with the digests of the other two. Of the
same artefact all but the log, and what it is in, have the same bytes again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from common.model import Artifact, Digest, Secret
from naust import manifest as oci
from naust.listing import name_of
from naust.manifest import CREATED, encode
from naust.proof import bundle, sbom
from naust.proof.attached import attach
from naust.proof.bundle import Subject
from naust.proof.keys import SigningKey
from naust.store.interface import Store
from smie import provenance
from smie.builder.interface import Built
from smie.contents import contents
from smie.layer import Layer
from smie.recipe import Recipe
from smie.sbom import bom
from smie.sizes import MEDIA_TYPE as SIZES
from smie.sizes import sizes
from smie.workspace import Workspace

PREDICATE = "in-toto.io/predicate-type"  # annotation of a statement that is not signed, as buildkit has it
LOG = "application/vnd.smie.log.v1"  # artifact type; the log itself is text/plain
CHECKS = "https://in-toto.io/attestation/test-result/v0.1"
LIST = "urn:smie:documents:1"  # predicate type: `documents` are ResourceDescriptors of in-toto
STEPS = "smie.steps"  # annotation of the log: JSON, seconds by step of the build


@dataclass(frozen=True, slots=True)
class Making:
    """How an artefact came about. `parent` is what the recipe stands on, as the store has it; `layers` is what can be
    looked into, the lowest first: the artefact's own, or of a disk the root file system's. `checks` are those that
    held, in words; `steps` how many seconds what took."""

    recipe: Recipe
    parent: Artifact | None
    layers: Sequence[Layer]
    tools: Artifact | None = None  # what a disk was written with
    log: bytes = b""
    revision: str = ""
    checks: Sequence[str] = ()
    steps: Mapping[str, float] = field(default_factory=dict)


def record(store: Store, workspace: Workspace, artifact: Artifact, making: Making) -> None:
    """Attach all documents to the artefact; twice is once. Reads the layers that were never read here.

    Raises Corrupt if a layer is damaged; BadInput or Denied if the key cannot be used.
    """
    key = signing_key()
    found = contents(store, workspace, making.layers)
    origin = provenance.predicate(making.recipe, making.parent, making.tools, making.revision)
    _state(store, artifact, key, bundle.SBOM, bom(artifact, making.recipe, found))
    _state(store, artifact, key, bundle.PROVENANCE, origin)
    if making.checks:
        _state(store, artifact, key, CHECKS, _held(making))
    plain = [_Plain("sizes", encode(sizes(found)), SIZES, SIZES)]
    if any(store.referrers(name_of(artifact.reference), artifact.digest, LOG)):
        return  # of a build that was killed later than here, or of the same artefact under another name
    if making.log:
        plain.append(_Plain("log", making.log, "text/plain", LOG, {CREATED: _now(), STEPS: json.dumps(making.steps)}))
    if key is not None:  # before what it lists: so a log that is there is one that is listed
        _state(store, artifact, key, LIST, {"documents": [each.descriptor() for each in plain]})
    for each in plain:
        each.attach(store, artifact)


def looked_into(
    store: Store, artifact: Artifact, recipe: Recipe, made: Built, parent: Artifact | None
) -> tuple[Layer, ...]:
    """What of an artefact can be looked into, the lowest first: the layers of an image, a root file system, and of a
    disk the root file system that was written onto it."""
    name = name_of(artifact.reference)
    if isinstance(made, oci.ContainerImage):
        titles = [one.name for one in reversed(recipe.ancestors)]
        return tuple(Layer(name, blob, title, blob.path) for blob, title in zip(made.layers, titles, strict=True))
    if made.tar is None and parent is not None:
        below = name_of(parent.reference)
        return tuple(Layer(below, blob, parent.reference.name) for blob in _layers(store, below, parent))
    plain = made.tar.path if made.tar else None
    return tuple(Layer(name, blob, recipe.name, plain) for blob in _layers(store, name, artifact))


def _layers(store: Store, name: str, artifact: Artifact) -> tuple[oci.Blob, ...]:
    return oci.parse(store.manifest(name, str(artifact.digest)), name).layers


def signing_key() -> SigningKey | None:
    """The key that signs artefacts here, if one is set."""
    place = os.environ.get("NAUST_KEY")
    if not place:
        return None
    from naust.proof.keys import is_encrypted, load_private

    passphrase = os.environ.get("NAUST_KEY_PASSPHRASE")
    known = Secret(passphrase) if passphrase and is_encrypted(Path(place)) else None
    return load_private(Path(place), known)


def _state(
    store: Store, artifact: Artifact, key: SigningKey | None, kind: str, predicate: Mapping[str, object]
) -> Digest:
    """Attach what is said of the artefact: as a signed statement, else an SBOM as it is and the rest as a statement."""
    name = name_of(artifact.reference)
    subject = Subject((str(artifact.digest),), name)
    if key is not None:
        from naust.sign import put

        return put(store, artifact, key, bundle.statement(subject, kind, predicate), kind)
    if kind == bundle.SBOM:
        return attach(store, name, artifact.digest, encode(predicate), media_type=sbom.PLAIN, artifact_type=sbom.PLAIN)
    return attach(
        store,
        name,
        artifact.digest,
        bundle.statement(subject, kind, predicate),
        media_type=bundle.IN_TOTO,
        artifact_type=bundle.IN_TOTO,
        annotations={PREDICATE: kind},
    )


@dataclass(frozen=True, slots=True)
class _Plain:
    """A document that is attached as it is."""

    what: str
    data: bytes
    media_type: str
    artifact_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def attach(self, store: Store, artifact: Artifact) -> None:
        attach(
            store, name_of(artifact.reference), artifact.digest, self.data, media_type=self.media_type,
            artifact_type=self.artifact_type, annotations=self.annotations,
        )  # fmt: skip

    def descriptor(self) -> Mapping[str, object]:
        """A ResourceDescriptor of in-toto."""
        return {"name": self.what, "mediaType": self.media_type, "digest": {"sha256": Digest.of(self.data).hex}}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _held(making: Making) -> Mapping[str, object]:
    """A test result of in-toto (https://in-toto.io/attestation/test-result/v0.1)."""
    tested = {"name": making.recipe.title, "digest": {"sha256": making.recipe.fingerprint.hex}}
    return {"result": "PASSED", "configuration": [tested], "passedTests": sorted(making.checks)}
