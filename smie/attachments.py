"""The documents of an artefact, read back. Nothing is verified here, which `naust verify` does: a document says which
key is said to have signed it, and what cannot be read, or is about something else, is left out with a note."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from common.errors import Corrupt
from common.model import Artifact, Digest
from naust.listing import name_of
from naust.manifest import CREATED, parse
from naust.proof import bundle, sbom
from naust.proof.attached import Attached, attached
from naust.store.interface import Store
from naust.untrusted import document, record, records, text
from smie.documents import CHECKS, LIST, LOG, STEPS
from smie.sizes import MEDIA_TYPE as SIZES

# What people call them; the first of a kind is shown.
NAMES = {
    bundle.SBOM: "sbom",
    bundle.PROVENANCE: "provenance",
    CHECKS: "checks",
    LIST: "list",
    bundle.SIGNATURE: "signature",
    SIZES: "sizes",
    LOG: "log",
}
_READ = (sbom.PLAIN, bundle.IN_TOTO, SIZES, LOG)


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `what` is one of the values of NAMES, else its type; `signer` the fingerprint of the key that is
    said to have signed it, '' if none. `said` is what is in it, where it is JSON, `data` where it is text."""

    what: str
    type: str
    digest: Digest
    size: int
    signer: str
    said: Mapping[str, object]
    data: bytes
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Documents:
    """All of them, signed ones first, and why others were left out."""

    every: tuple[Document, ...]
    faults: tuple[str, ...]

    def first(self, what: str) -> Document | None:
        """The one that counts."""
        return next((each for each in self.every if each.what == what), None)

    def steps(self) -> dict[str, float]:
        """How many seconds what of the build took; nothing if nobody noted it."""
        log = self.first("log")
        found = _json(log.annotations.get(STEPS, "").encode()) if log else {}
        return {name: float(each) for name, each in found.items() if isinstance(each, int | float)}

    def built(self) -> str:
        """When it was built, RFC 3339; '' if nobody noted it."""
        log = self.first("log")
        return log.annotations.get(CREATED, "") if log else ""

    def checks(self) -> tuple[str, ...]:
        """The checks that held."""
        found = self.first("checks")
        passed = found.said.get("passedTests") if found else None
        return tuple(text(each) for each in passed) if isinstance(passed, list) else ()


def documents_of(store: Store, artifact: Artifact) -> Documents:
    """Read what is attached to the artefact. Raises Corrupt if it is flooded with documents."""
    faults: list[str] = []
    found = list(_read(store, artifact, faults))
    listed = {digest: each.signer for each in found if each.what == "list" for digest in _digests(each)}
    signed = (_vouched(each, listed) for each in found)
    return Documents(tuple(sorted(signed, key=lambda each: (not each.signer, each.what, each.digest))), tuple(faults))


def _read(store: Store, artifact: Artifact, faults: list[str]) -> Iterator[Document]:
    def wanted(kind: str) -> bool:
        return bundle.is_bundle(kind) or kind in _READ

    def damaged(error: Corrupt) -> None:
        faults.append(f"{error.message}: {error.details}")

    for each in attached(store, name_of(artifact.reference), artifact.digest, wanted, damaged=damaged):
        try:
            yield _document(each, artifact)
        except Corrupt as error:
            damaged(error)


def _document(each: Attached, artifact: Artifact) -> Document:
    """Raises Corrupt if it is none, or about something else."""
    what = f"the document {each.digest} of {artifact.reference}"
    read = parse(each.manifest, what)
    annotations = dict(read.annotations)
    digest = read.layers[0].digest
    if each.media_type in ("text/plain", SIZES, sbom.PLAIN):
        kind = bundle.SBOM if each.media_type == sbom.PLAIN else read.artifact_type
        said = {} if each.media_type == "text/plain" else document(each.data, what)
        return Document(NAMES.get(kind, kind), kind, digest, len(each.data), "", said, each.data, annotations)
    statement, sealed = bundle.either(each.data, each.media_type, what)
    if statement.about(artifact.digest) is None:
        raise Corrupt(f"{what} is about something else", resolution="Take it away.")
    kind, signer = statement.predicate_type, _key(sealed.hint) if sealed else ""
    name = NAMES.get(kind, kind)
    return Document(name, kind, digest, len(each.data), signer, statement.predicate, each.data, annotations)


def _vouched(each: Document, listed: Mapping[str, str]) -> Document:
    """With the signer of the list that has its digest."""
    if each.signer or each.what not in ("log", "sizes") or not listed.get(str(each.digest)):
        return each
    return replace(each, signer=listed[str(each.digest)])


def _digests(each: Document) -> Sequence[str]:
    return bundle.digests_of(records(each.said.get("documents")))


def _key(hint: str) -> str:
    """The fingerprint of a key from the hint of a bundle, which is base64 of it."""
    try:
        return f"sha256:{base64.b64decode(hint, validate=True).hex()}"
    except (binascii.Error, ValueError):
        return "unknown key"


def _json(data: bytes) -> Mapping[str, object]:
    try:
        return record(json.loads(data))
    except ValueError:
        return {}
