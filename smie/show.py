"""The verb `show`: an artefact explains itself, with what is attached to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from common.console import amount
from common.errors import NotFound
from common.model import Artifact, Kind
from naust import listing
from naust.address import uri
from naust.manifest import CREATED, inputs
from naust.proof.ancestry import Origin, origins
from naust.store.interface import Store
from naust.untrusted import one_line, record, records, text
from smie.attachments import Document, Documents, documents_of

KINDS = (Kind.CONTAINER, Kind.ROOTFS, Kind.VM)  # in the order in which a bare name is looked for
PACKAGES, FILES, INPUTS = 15, 3, 20  # of each so many are shown to people
_MADE = ("sbom", "provenance")


@dataclass(frozen=True, slots=True)
class Explanation:
    """An artefact and all that is known of it. `below` is what it stands on, the nearest first."""

    uri: str
    artifact: Artifact
    inputs: tuple[tuple[str, str, str], ...]
    below: tuple[Origin, ...]
    documents: Documents


def meant(store: Store, name: str, kinds: Sequence[Kind] = ()) -> Artifact:
    """The artefact that is meant: a role, base or group, of which the newest counts; or a reference. Raises NotFound,
    BadInput; Corrupt if its manifest is damaged."""
    if "/" in name:
        return listing.resolve(store, name)
    plain = name.partition("@")[0].partition(":")[0]
    for kind in kinds or KINDS:
        if any(True for _ in store.tags(f"{kind}/{plain}")):
            return listing.resolve(store, f"{kind}/{name}")
    raise NotFound(
        f"{store.url} has no {name!r} of kind {' or '.join(kinds or KINDS)}",
        resolution=f"`smie list` shows what there is; `smie build {plain}` makes it.",
    )


def explain(store: Store, artifact: Artifact) -> Explanation:
    """Gather what there is. Reads what is attached, but no layer. Raises Corrupt if it is flooded with documents."""
    below = {each.digest: each for each in origins(store, artifact) if each.name}
    found = documents_of(store, artifact)
    return Explanation(uri(store.url, artifact), artifact, tuple(inputs(artifact)), tuple(below.values()), found)


def document_of(explained: Explanation, what: str) -> Document:
    """One document: sbom, provenance or log. Raises NotFound."""
    found = explained.documents.first(what)
    if found is None:
        raise NotFound(
            f"{explained.artifact.reference} has no {what}",
            details="\n".join(explained.documents.faults),
            resolution="Builds attach it: build the artefact anew, or ask who made it.",
        )
    return found


def shown(explained: Explanation) -> dict[str, object]:
    """As `--json` prints it."""
    artifact, documents = explained.artifact, explained.documents
    sizes, log = documents.first("sizes"), documents.first("log")
    return {
        "uri": explained.uri,
        "reference": artifact.reference,
        "kind": artifact.reference.kind,
        "name": artifact.reference.name,
        "version": artifact.version,
        "created": artifact.annotation(CREATED),
        "digest": artifact.digest,
        "size": artifact.size,
        "made_from": artifact.made_from,
        "inputs": [{"name": name, "version": version, "digest": digest} for name, version, digest in explained.inputs],
        "stands_on": [{"name": each.title, "digest": each.digest} for each in explained.below],
        "built": documents.built(),
        "steps": documents.steps(),
        "checks": documents.checks(),
        "sizes": sizes.said if sizes else None,
        "documents": [
            {"what": each.what, "type": each.type, "digest": each.digest, "size": each.size, "signer": each.signer}
            for each in documents.every
        ],
        "faults": documents.faults,
        **{what: found.said if (found := documents.first(what)) else None for what in _MADE},
        "log": log.data.decode("utf-8", "replace") if log else None,
    }


def rows(explained: Explanation) -> list[tuple[str, str]]:
    """For people: name and value, line by line."""
    artifact, documents = explained.artifact, explained.documents
    steps = documents.steps()
    took = ", ".join(f"{one_line(name)} {seconds:.1f}" for name, seconds in steps.items())
    lines = [
        ("URI", explained.uri),
        ("version", artifact.version),
        ("created", artifact.annotation(CREATED)),
        ("digest", str(artifact.digest)),
        ("size", amount(artifact.size)),
        ("made from", str(artifact.made_from or "")),
        ("definitions", _revision(documents)),
        *(("stands on", f"{one_line(each.title)}  {each.digest}") for each in explained.below),
        *_inputs(explained.inputs),
        ("built", one_line(documents.built())),
        ("took", f"{sum(steps.values()):.1f} s ({took})" if steps else ""),
        ("checks", f"{len(held)} held" if (held := documents.checks()) else ""),
        *_sizes(documents),
        *(("document", _line(each)) for each in documents.every),
        *(("FAULT", one_line(fault)) for fault in documents.faults),
    ]
    return [(name, value) for name, value in lines if value]


def _revision(documents: Documents) -> str:
    found = documents.first("provenance")
    said = record(record(found.said.get("buildDefinition")).get("internalParameters")) if found else {}
    return one_line(said.get("revision"))


def _inputs(inputs: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    for name, version, _ in inputs[:INPUTS]:
        yield "input", one_line(f"{name} {version}".strip())
    if len(inputs) > INPUTS:
        yield "input", f"and {len(inputs) - INPUTS} more (--json)"


def _sizes(documents: Documents) -> Iterator[tuple[str, str]]:
    found = documents.first("sizes")
    if found is None:
        return
    layers, packages = records(found.said.get("layers")), records(found.said.get("packages"))
    for number, layer in enumerate(layers, 1):
        made_by = one_line(layer.get("made_by"))
        yield f"layer {number}", f"{_size(layer, 'size'):>10}  {made_by}, {_count(layer, 'files')} files"
    for package in packages[:PACKAGES]:
        titled = f"{one_line(package.get('name'))} {one_line(package.get('version'))}"
        yield "package", f"{_size(package, 'bytes'):>10}  {titled}"
    if len(packages) > PACKAGES:
        rest = sum(_count(package, "bytes") for package in packages[PACKAGES:])
        yield "package", f"{amount(rest):>10}  in {len(packages) - PACKAGES} more"
    loose = [each for layer in layers for each in records(layer.get("largest_others"))]
    for each in sorted(loose, key=lambda each: -_count(each, "bytes"))[:FILES]:
        yield "other file", f"{_size(each, 'bytes'):>10}  {one_line(each.get('path'))}"


def _size(said: Mapping[str, object], field: str) -> str:
    return amount(_count(said, field))


def _count(said: Mapping[str, object], field: str) -> int:
    found = said.get(field)
    return found if isinstance(found, int) else 0


def _line(each: Document) -> str:
    signed = f"says that {each.signer[:19]}… signed it" if each.signer else "not signed"
    return f"{text(each.what)}  {each.digest.short}  {amount(each.size)}  {signed}"
