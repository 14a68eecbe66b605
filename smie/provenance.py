"""What an artefact was made from, as a document that goes with it: every input with its digest, what it stands on, and
the snapshot that they came from. The artefact itself cannot say the last, because the same packages out of another
snapshot are the same artefact.

SLSA provenance 1.0 (https://slsa.dev/spec/v1.0/provenance). No date: the same build says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from common.model import Artifact, Digest
from naust.version import legal
from smie.recipe import Input, Recipe

BUILD_TYPE = "urn:smie:build:1"  # what externalParameters mean: a kind and a name below the folder of definitions
BUILDER = "urn:smie:builder"


def predicate(
    recipe: Recipe, parent: Artifact | None, tools: Artifact | None = None, revision: str = ""
) -> Mapping[str, object]:
    """The provenance. `parent` is what the recipe stands on and `tools` what it is written with, as the store has
    them; `revision` what git calls the definitions, '' if it does not know them."""
    made = {
        "buildType": BUILD_TYPE,
        "externalParameters": {"kind": str(recipe.kind), "name": recipe.name},
        "internalParameters": {
            "fingerprint": str(recipe.fingerprint),
            "index": {"digest": str(recipe.index.digest), "date": recipe.index.date.isoformat()},
            **({"revision": revision} if revision else {}),
        },
        "resolvedDependencies": [*_dependencies(recipe, (parent, tools)), *recipe.index.origin.materials()],
    }
    return {"buildDefinition": made, "runDetails": {"builder": {"id": BUILDER, "version": {"smie": version()}}}}


def _dependencies(recipe: Recipe, needs: Sequence[Artifact | None]) -> Iterator[Mapping[str, object]]:
    for there in filter(None, needs):
        # Without its date of publication, which is another one in every store.
        name = f"{there.reference.kind}/{there.reference.name}"
        yield _resource(f"base {there.reference.name}", there.digest, f"{name}:{legal(there.version)}")
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
