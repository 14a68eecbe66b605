"""What an artefact was built from, and what that was built from: out of the annotation naust.inputs and the materials
of its provenance, as far as the store knows them. Nobody's signature is asked for: a wrong line here can only make
somebody refuse too much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from common.errors import BadInput, Corrupt, Denied, NotFound
from common.model import Artifact, Digest, Kind, Reference
from naust import address
from naust import manifest as oci
from naust.listing import artifacts, name_of
from naust.proof import bundle
from naust.proof.attached import attached
from naust.store.interface import Store
from naust.untrusted import one_line, record, records, text

MOST = 500  # artefacts that are followed
# Inputs of these parts (smie's recipes) are no artefacts of a store.
_NO_ARTEFACTS = ("package", "software", "file", "process", "image", "setting")


@dataclass(frozen=True, slots=True)
class Origin:
    """Something that went into an artefact. `digest` is whatever is known of it: that of a manifest, of a recipe, of a
    file; `via` names what it went into first, '' if directly. `name` is where the store has it, else ''."""

    title: str
    digest: str
    via: str = ""
    name: str = ""


def origins(store: Store, artifact: Artifact) -> Iterator[Origin]:
    """Everything that the artefact was built from, nearest first. What cannot be read is passed over."""
    waiting = [(artifact, "")]
    seen = {artifact.digest}
    while waiting:
        current, via = waiting.pop(0)
        for origin, found in _direct(store, current, via):
            yield origin
            if found is not None and found.digest not in seen and len(seen) < MOST:
                seen.add(found.digest)
                through = f"{via} from {found.reference}" if via else str(found.reference)
                waiting.append((found, through))


def direct(artifact: Artifact, bundles: Iterable[bytes]) -> Iterator[Origin]:
    """What the artefact itself and these bundles about it say that went in; no store is asked."""
    for title, version, digest in oci.inputs(artifact):
        yield Origin(one_line(f"{title} {version}".strip()), digest)
    for material in _stated(artifact.digest, bundles):
        for digest in bundle.digests_of((material,)):
            yield Origin(_title(material), digest)


def materials(predicate_type: str, predicate: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    """The in-toto ResourceDescriptors of what a provenance says that went in (SLSA v1.0 and v0.2)."""
    if predicate_type == bundle.PROVENANCE:
        return records(record(predicate.get("buildDefinition")).get("resolvedDependencies"))
    return records(predicate.get("materials")) if predicate_type == bundle.PROVENANCE_02 else ()


def _direct(store: Store, artifact: Artifact, via: str) -> Iterator[tuple[Origin, Artifact | None]]:
    for title, version, digest in oci.inputs(artifact):
        yield Origin(one_line(f"{title} {version}".strip()), digest, via), None
        found = _input(store, artifact.reference.kind, title, digest)
        if found is not None:
            yield _origin(found, via), found
    for material in _stated(artifact.digest, _provenances(store, artifact)):
        for digest in bundle.digests_of((material,)):
            yield Origin(_title(material), digest, via), None
            found = _material(store, text(material.get("uri")), digest)
            if found is not None:
                yield _origin(found, via), found


def _stated(about: Digest, bundles: Iterable[bytes]) -> Iterator[Mapping[str, object]]:
    for data in bundles:
        with suppress(Corrupt):
            said = bundle.read_bundle(data, "a provenance").statement
            if said.about(about):
                yield from materials(said.predicate_type, said.predicate)


def _title(material: Mapping[str, object]) -> str:
    return one_line(text(material.get("uri")) or text(material.get("name")))


def _origin(found: Artifact, via: str) -> Origin:
    return Origin(str(found.reference), str(found.digest), via, name_of(found.reference))


def _provenances(store: Store, artifact: Artifact) -> Iterator[bytes]:
    name = name_of(artifact.reference)
    for each in attached(store, name, artifact.digest, bundle.is_bundle, fitting=_may_be_provenance):
        yield each.data


def _may_be_provenance(manifest: oci.Manifest) -> bool:
    """By its annotation, so that SBOMs of megabytes are not read for every pull."""
    said = dict(manifest.annotations).get("dev.sigstore.bundle.predicateType", "")
    return said in ("", bundle.PROVENANCE, bundle.PROVENANCE_02)


def _input(store: Store, kind: Kind, title: str, digest: str) -> Artifact | None:
    part, _, word = title.rpartition(" ")
    if part in _NO_ARTEFACTS or not digest:
        return None
    if "/" in word:
        return _among(store, (word,), digest)
    others = [f"{other}/{word}" for other in Kind if other != kind]
    return _among(store, (f"{kind}/{word}", *others), digest)


def _among(store: Store, names: Iterable[str], digest: str) -> Artifact | None:
    """The artefact of one of these names that has this digest, or was made from the recipe that has it."""
    for listed in names:
        with suppress(BadInput, NotFound, Denied):
            reference = Reference.parse(listed)
            for each in artifacts(store, reference.kind, reference.name, damaged=lambda error: None):
                if digest in (str(each.digest), str(each.made_from)):
                    return _whole(store, each)
    return None


def _material(store: Store, uri: str, digest: str) -> Artifact | None:
    with suppress(BadInput, NotFound, Denied, Corrupt):
        reference = address.parse(uri).reference
        wanted = Digest.parse(digest)
        name = name_of(reference)
        return oci.artifact(name, reference.tag or "untagged", store.manifest(name, str(wanted)))
    return None


def _whole(store: Store, artifact: Artifact) -> Artifact | None:
    """With its long annotations, which listings leave out."""
    name = name_of(artifact.reference)
    with suppress(NotFound, Corrupt):
        return oci.artifact(name, artifact.reference.tag, store.manifest(name, str(artifact.digest)))
    return None
