"""Packages of an artefact, from the SBOM that is attached to it: CycloneDX 1.4 to 1.6, JSON, signed (a bundle with that
predicate) or as it is. Whether somebody trustworthy signed it is `naust verify`'s to say.

CycloneDX JSON reference, `components`; package-url specification (PURL-TYPES, deb and pypi). The source package of a
Debian binary stands in the purl's qualifier `upstream` (syft) or in properties (trivy, naust).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from common.errors import Corrupt
from common.model import Artifact, Digest
from naust import manifest as oci
from naust.listing import name_of
from naust.proof import bundle
from naust.store.interface import Store
from naust.transfer.verified import content
from naust.untrusted import document, record, records, text

PLAIN = "application/vnd.cyclonedx+json"  # media and artifact type of an SBOM that is not signed (IANA)
MOST = 200_000  # components of one SBOM
FORMAT = 1  # of cached lists
_SOURCE_NAMES = ("naust:source", "syft:metadata:source", "aquasecurity:trivy:SrcName")
_SOURCE_VERSIONS = ("naust:source-version", "syft:metadata:sourceVersion", "aquasecurity:trivy:SrcVersion")


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package. `type` is that of its purl: deb, pypi, golang; `source` is the source package that a Debian package
    was built from, '' where none is named; `purl` as the SBOM has it."""

    type: str
    name: str
    version: str
    source: str = ""
    source_version: str = ""
    purl: str = ""


def packages(store: Store, artifact: Artifact) -> tuple[Package, ...]:
    """All packages that SBOMs of the artefact name, each once, sorted; none if there is no SBOM.

    What was read is remembered by the SBOM's digest. Raises Corrupt if an SBOM is there and cannot be read.
    """
    return found_packages(store, artifact) or ()


def found_packages(store: Store, artifact: Artifact) -> tuple[Package, ...] | None:
    """As `packages`, but None if no SBOM is attached."""
    name = name_of(artifact.reference)
    found = [
        each
        for blob in _documents(store, name, artifact.digest)
        if (each := _remembered(store, name, artifact, blob)) is not None
    ]
    return tuple(sorted({package for each in found for package in each})) if found else None


def read(bom: Mapping[str, object], what: str) -> tuple[Package, ...]:
    """The packages of a CycloneDX document. Raises Corrupt if it is none, or has more components than any system."""
    if bom.get("bomFormat") != "CycloneDX":
        raise Corrupt(f"{what} is no CycloneDX document", resolution="Attach one: naust attest --type cyclonedx.")
    found: dict[Package, None] = {}
    for count, component in enumerate(_components(bom)):
        if count >= MOST:
            raise Corrupt(f"{what} names more than {MOST} components", resolution="Make the SBOM anew.")
        package = _package(component)
        if package is not None:
            found[package] = None
    return tuple(found)


def _documents(store: Store, name: str, digest: Digest) -> Iterator[oci.Blob]:
    for each in store.referrers(name, digest):
        if bundle.is_bundle(each.artifact_type) or each.artifact_type == PLAIN:
            found = oci.parse(store.manifest(name, str(each.digest)), f"{name}@{each.digest}")
            yield from found.layers[:1]


def _components(bom: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Components, and those inside them; the document was checked not to be deep."""
    waiting = list(reversed(records(bom.get("components"))))
    while waiting:
        component = waiting.pop()
        yield component
        waiting.extend(records(component.get("components")))


def _package(component: Mapping[str, object]) -> Package | None:
    purl = text(component.get("purl"))
    name, version = text(component.get("name")), text(component.get("version"))
    if not purl:
        return Package("", name, version) if name and component.get("type") in ("library", "application") else None
    kind, named, versioned, qualifiers = split_purl(purl)
    properties = {text(each.get("name")): text(each.get("value")) for each in records(component.get("properties"))}
    source, _, source_version = qualifiers.get("upstream", "").partition("@")
    return Package(
        type=kind,
        name=named or name,
        version=versioned or version,
        source=source or _first(properties, _SOURCE_NAMES),
        source_version=source_version or _first(properties, _SOURCE_VERSIONS),
        purl=purl,
    )


def split_purl(purl: str) -> tuple[str, str, str, dict[str, str]]:
    """Type, name, version and qualifiers of a package URL; empty texts where it has none."""
    rest, _, query = purl.removeprefix("pkg:").partition("#")[0].partition("?")
    kind, _, path = rest.strip("/").partition("/")
    path, at, version = path.rpartition("@")
    path = path if at else version
    name = unquote(path.rpartition("/")[2])
    qualifiers = dict(parse_qsl(query))
    exact, epoch = unquote(version) if at else "", qualifiers.get("epoch", "")
    if epoch.isdigit() and ":" not in exact:
        exact = f"{epoch}:{exact}"
    return kind.lower(), name, exact, qualifiers


def _first(properties: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((properties[name] for name in names if properties.get(name)), "")


# What was read before


def _remembered(store: Store, name: str, artifact: Artifact, blob: oci.Blob) -> tuple[Package, ...] | None:
    """The packages of this document; None if it is no SBOM of this artefact."""
    cached = _cache_folder() / f"{blob.digest.hex}-{artifact.digest.hex[:32]}.json"
    try:
        kept = json.loads(cached.read_bytes())
        return None if kept is None else tuple(Package(*each) for each in kept)
    except (OSError, ValueError, TypeError):
        pass
    found = _opened(store, name, artifact, blob)
    plain = None if found is None else [[p.type, p.name, p.version, p.source, p.source_version, p.purl] for p in found]
    _keep(cached, json.dumps(plain, separators=(",", ":")))
    return found


def _keep(path: Path, text: str) -> None:
    """Only a cache: not synced, because what a power failure leaves of it does not parse and is made anew."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        temporary.write_text(text)
        temporary.replace(path)


def _opened(store: Store, name: str, artifact: Artifact, blob: oci.Blob) -> tuple[Package, ...] | None:
    what = f"the SBOM {blob.digest} of {artifact.reference}"
    data = content(store, name, blob, str(artifact.reference))
    if not blob.media_type.startswith(bundle.BUNDLES):
        return read(document(data, what), what)
    try:
        said = bundle.read_bundle(data, what).statement
    except Corrupt:
        return None  # a signature of another make, or damaged; verify names it
    if said.predicate_type != bundle.SBOM or said.about(artifact.digest) is None:
        return None
    return read(record(said.predicate), what)


def _cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or ""
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".cache"
    return base / "naust" / f"packages-{FORMAT}"
