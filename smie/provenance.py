"""What an artefact was made from, as a document that goes with it: every input with its digest, what it stands on, and
the snapshot that they came from. The artefact itself cannot say the last, because the same packages out of another
snapshot are the same artefact.

SLSA provenance 1.0 (https://slsa.dev/spec/v1.0/provenance) in an in-toto statement. Signed with the key of $NAUST_KEY
if there is one, which `naust verify` then finds; else attached as it is. No date: the same build says the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from common.model import Artifact, Digest, Secret
from naust.listing import name_of
from naust.manifest import encode
from naust.proof import bundle
from naust.proof.attached import attach
from naust.proof.bundle import Subject
from naust.store.interface import Store
from smie.recipe import Input, Recipe

if TYPE_CHECKING:
    from naust.proof.keys import SigningKey

BUILD_TYPE = "urn:smie:build:1"  # what externalParameters mean: a kind and a name below the folder of definitions
BUILDER = "urn:smie:builder"
PREDICATE = "in-toto.io/predicate-type"  # annotation of a statement that is not signed, as buildkit has it


def record(store: Store, artifact: Artifact, recipe: Recipe, parent: Artifact | None) -> Digest:
    """Attach the provenance to the artefact; twice is once. Raises BadInput or Denied if the key cannot be used."""
    said, key = predicate(recipe, parent), signing_key()
    if key is not None:
        from naust.attest import attest

        return attest(store, artifact, key, encode(said), bundle.PROVENANCE)
    subject = Subject((str(artifact.digest),), str(artifact.reference))
    return attach(
        store,
        name_of(artifact.reference),
        artifact.digest,
        bundle.statement(subject, bundle.PROVENANCE, said),
        media_type=bundle.IN_TOTO,
        artifact_type=bundle.IN_TOTO,
        annotations={PREDICATE: bundle.PROVENANCE},
    )


def predicate(recipe: Recipe, parent: Artifact | None) -> Mapping[str, object]:
    """The provenance. `parent` is what the recipe stands on, as the store has it."""
    made = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"kind": str(recipe.kind), "name": recipe.name},
        "internalParameters": {
            "fingerprint": str(recipe.fingerprint),
            "index": {"digest": str(recipe.index.digest), "date": recipe.index.date.isoformat()},
        },
        "resolvedDependencies": [*_dependencies(recipe, parent), *recipe.index.origin.materials()],
    }
    return {"buildDefinition": made, "runDetails": {"builder": {"id": BUILDER, "version": {"smie": version()}}}}


def signing_key() -> SigningKey | None:
    """The key that signs artefacts here, if one is set."""
    place = os.environ.get("NAUST_KEY")
    if not place:
        return None
    from naust.proof.keys import is_encrypted, load_private

    passphrase = os.environ.get("NAUST_KEY_PASSPHRASE")
    known = Secret(passphrase) if passphrase and is_encrypted(Path(place)) else None
    return load_private(Path(place), known)


def _dependencies(recipe: Recipe, parent: Artifact | None) -> Iterator[Mapping[str, object]]:
    if parent is not None:
        yield _resource(f"base {parent.reference.name}", parent.digest, str(parent.reference))
    architectures = {package.name: package.architecture for package in recipe.packages}
    for each in recipe.inputs:
        if each.part != "base":
            yield _resource(each.title, each.digest, _uri(each, architectures.get(each.name, "")))


def _resource(name: str, digest: Digest, uri: str = "") -> Mapping[str, object]:
    """A ResourceDescriptor of in-toto."""
    return {"name": name, "digest": {digest.algorithm: digest.hex}} | ({"uri": uri} if uri else {})


def _uri(each: Input, architecture: str) -> str:
    """A package URL (purl-spec) of what was fetched; '' for what is in the definitions."""
    version = quote(each.version, safe="")
    if each.part == "package":
        return f"pkg:deb/debian/{quote(each.name, safe='')}@{version}?arch={architecture}"
    if each.part == "software":
        kind, _, name = each.name.partition(":")
        return f"pkg:{kind}/{quote(name, safe='')}@{version}"
    return ""


def version() -> str:
    """Of smie, as documents name the tool that made them."""
    from importlib.metadata import version as installed

    return installed("seter")
