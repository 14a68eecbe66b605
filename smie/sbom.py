"""What an artefact consists of, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/): each Debian package with the
digest of its .deb, each Python distribution, the software that a role brings, licences, and which package needs which.

Package URLs as in purl-spec, types deb and pypi, with the qualifiers that scanners look for: `distro`, and `upstream`
for the source package. The same artefact gets the same bytes: its number is made from its digest, its date is that of
the packages' index.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from urllib.parse import quote

from common.model import Artifact, Kind
from naust.content.dpkg import Installed
from naust.source.apt_packages import relations
from smie.contents import Contents
from smie.layer import Distribution
from smie.licences import cyclonedx
from smie.provenance import version
from smie.recipe import Recipe

SPECIFICATION = "1.6"
SCHEMA = f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json"
_TYPES = {Kind.CONTAINER: "container"}  # what it is to CycloneDX, else an operating system
Component = dict[str, object]


def bom(artifact: Artifact, recipe: Recipe, found: Contents) -> dict[str, object]:
    """The document. `found` is what was read out of the artefact's layers, `recipe` what it was made from."""
    components = [
        *_system(found),
        *(_debian(each, found, digests_of(recipe)) for each in found.packages),
        *(_python(each) for each in found.distributions),
        *software(recipe),
    ]
    needs = dict(_needs(found, [str(each["bom-ref"]) for each in components]))
    needed = {ref for refs in needs.values() for ref in refs}
    root = str(artifact.digest)
    tops = sorted(str(each["bom-ref"]) for each in components if each["bom-ref"] not in needed)
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, root)}",
        "version": 1,
        "metadata": {
            "timestamp": recipe.index.date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "smie", "version": version()}]},
            "component": _itself(artifact, recipe),
        },
        "components": components,
        "dependencies": [
            {"ref": root, "dependsOn": tops},
            *({"ref": ref, "dependsOn": sorted(refs)} for ref, refs in sorted(needs.items())),
        ],
    }


def digests_of(recipe: Recipe) -> Mapping[tuple[str, str, str], str]:
    """The SHA-256 of each .deb, by name, version and architecture."""
    return {(each.name, each.version, each.architecture): each.sha256 for each in recipe.installed}


def software(recipe: Recipe) -> Iterator[Component]:
    """What the roles bring as programs of a wheel; its Python metadata is not in the artefact."""
    roles = {role.name: role for one in recipe.ancestors for role in one.roles if role.software}
    for role in sorted(roles.values(), key=lambda role: role.name):
        source, _, pinned = role.software.partition(":")
        name, _, exact = pinned.partition("==")
        yield {
            "type": "application",
            "bom-ref": f"software:{role.software}",
            "name": name,
            "version": exact,
            "purl": f"pkg:{source}/{quote(name, safe='')}@{quote(exact, safe='')}",
            "hashes": [{"alg": "SHA-256", "content": role.software_sha256}],
        }


def purl(package: Installed, distribution: str) -> str:
    """The package URL of a Debian package; `distribution` is as os-release(5) has it: `debian-13`."""
    source = quote(f"{package.source}@{package.source_version}", safe="")
    name, exact = quote(package.name, safe=""), quote(package.version, safe="")
    distro = f"&distro={distribution}" if distribution else ""
    return f"pkg:deb/debian/{name}@{exact}?arch={package.architecture}{distro}&upstream={source}"


def _itself(artifact: Artifact, recipe: Recipe) -> Component:
    return {
        "type": _TYPES.get(recipe.kind, "operating-system"),
        "bom-ref": str(artifact.digest),
        "name": f"{recipe.kind}/{recipe.name}",
        "version": recipe.version,
        "hashes": [{"alg": "SHA-256", "content": artifact.digest.hex}],
    }


def _system(found: Contents) -> Iterator[Component]:
    if name := found.release.get("ID", ""):
        exact = found.release.get("VERSION_ID", "")
        yield {"type": "operating-system", "bom-ref": f"os:{_distribution(found)}", "name": name, "version": exact}


def _distribution(found: Contents) -> str:
    return quote("-".join(filter(None, (found.release.get("ID"), found.release.get("VERSION_ID")))), safe="")


def _debian(package: Installed, found: Contents, digests: Mapping[tuple[str, str, str], str]) -> Component:
    made: Component = {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package, _distribution(found)),
    }
    if licences := cyclonedx(found.licences.get(package.name, ())):
        made["licenses"] = licences
    if sha256 := digests.get((package.name, package.version, package.architecture)):
        made["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return made


def _python(distribution: Distribution) -> Component:
    name, exact = (quote(text, safe="") for text in (_normal(distribution.name), distribution.version))
    made: Component = {
        "type": "library",
        "bom-ref": f"python:/{distribution.path}",
        "name": distribution.name,
        "version": distribution.version,
        "purl": f"pkg:pypi/{name}@{exact}",
        "properties": [{"name": "smie:path", "value": f"/{distribution.path}"}],
    }
    if licences := cyclonedx(distribution.licences):
        made["licenses"] = licences
    return made


def _normal(name: str) -> str:
    """As purl-spec wants names of PyPI: in small letters, with `-` for `_`."""
    return name.lower().replace("_", "-")


def _reference(package: Installed) -> str:
    return f"debian:{package.name}:{package.architecture}@{package.version}"


def _needs(found: Contents, every: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """What each component needs, as far as packages say; of alternatives all that are there."""
    named: dict[str, set[str]] = {}
    for package in found.packages:
        for name in (package.name, *_names(package.provides)):
            named.setdefault(name, set()).add(_reference(package))
    debian = {_reference(package): package for package in found.packages}
    for reference in every:
        wanted = _names(debian[reference].depends) if reference in debian else ()
        yield reference, sorted({ref for name in wanted for ref in named.get(name, ()) if ref != reference})


def _names(relation: str) -> Iterable[str]:
    """The names in a relation (Debian Policy 4.7, section 7.1); none in one that nobody can read."""
    try:
        return [each.name for group in relations(relation) for each in group]
    except ValueError:
        return ()
