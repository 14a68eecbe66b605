"""All that a verdict on an artefact needs, out of a store: manifests, what is attached, revocations, origins. It can be
written to one file and read back where there is no store; then the verdict is the same.

The file is evidence, not trust: signatures in it are checked as those of a store are, and digests are made anew. Who
hands it over can leave things out, as who runs a store can: what must be there is asked for by the policy, and
`revocations_not_older_than` asks for the signed list of revocations.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from common.errors import BadInput, NotFound
from common.files import write_atomically
from common.model import Artifact, Digest, Reference
from naust import manifest as oci
from naust.listing import name_of
from naust.manifest import Manifest
from naust.proof import bundle
from naust.proof.ancestry import Origin, direct, origins
from naust.proof.attached import Wanted, attached
from naust.proof.revocations import REVOCATION
from naust.revoke import the_list
from naust.store.interface import Store
from naust.untrusted import document, record, records, text, unreadable

FORMAT = 1
LARGEST = 256 << 20  # bytes of a file; one with three SBOMs of a full system has about 30 MiB
_ANCESTORS = 100  # artefacts that it was built from, whose attached revocations are looked for


@dataclass(frozen=True, slots=True)
class Document:
    """What is attached, byte for byte. `digest` is that of its manifest, and only a name."""

    digest: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """Evidence on one artefact, gathered `at` a moment from the store `url`. The first manifest is the artefact's own,
    others those of its children. `listed` is the store's list of revocations. `unreadable` says what is no evidence."""

    reference: Reference
    url: str
    at: datetime
    manifests: tuple[bytes, ...]
    documents: tuple[Document, ...] = ()
    revocations: tuple[Document, ...] = ()
    listed: Document | None = None
    origins: tuple[Origin, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def artifact(self) -> Artifact:
        """The artefact, as its manifest describes it. Raises Corrupt."""
        found = oci.artifact(name_of(self.reference), self.reference.tag or "untagged", self.manifests[0])
        return replace(found, reference=self.reference)

    @property
    def digest(self) -> Digest:
        """The artefact's digest, made from its manifest."""
        return Digest.of(self.manifests[0])

    def read(self) -> tuple[Manifest, ...]:
        """The manifests; a child counts only if the index names it. Raises Corrupt."""
        root, *others = (oci.parse(each, str(self.reference)) for each in self.manifests)
        named = {child.digest for child in root.children}
        return root, *(each for each in others if each.digest in named)

    def came_from(self) -> Iterator[Origin]:
        """What it was built from: first what can be read here, then what the store knew of that."""
        yield from direct(self.artifact, (each.data for each in self.documents))
        yield from self.origins


def gather(store: Store, artifact: Artifact, *, now: datetime | None = None) -> Proof:
    """All that the store has on the artefact. Raises Corrupt if its manifest or the list of revocations is damaged, or
    it is flooded with documents."""
    name = name_of(artifact.reference)
    bad: list[str] = []
    root = store.manifest(name, str(artifact.digest))
    whole = replace(oci.artifact(name, artifact.reference.tag or "untagged", root), reference=artifact.reference)
    came_from = tuple(origins(store, whole))
    return Proof(
        reference=artifact.reference,
        url=store.url,
        at=now or datetime.now(UTC),
        manifests=(root, *_children(store, name, oci.parse(root, str(artifact.reference)))),
        documents=tuple(_documents(store, name, artifact.digest, bundle.is_bundle, bad)),
        revocations=tuple(_revocations(store, name, artifact.digest, came_from, bad)),
        listed=_list(store),
        origins=came_from,
        unreadable=tuple(bad),
    )


def _children(store: Store, name: str, root: Manifest) -> Iterator[bytes]:
    for child in root.children[:_ANCESTORS]:
        with suppress(NotFound):  # a copy of one platform
            yield store.manifest(name, str(child.digest))


def _documents(store: Store, name: str, digest: Digest, wanted: Wanted, bad: list[str]) -> Iterator[Document]:
    for each in attached(store, name, digest, wanted, damaged=lambda error: bad.append(error.message)):
        yield Document(str(each.digest), each.media_type, each.data)


def _revocations(
    store: Store, name: str, digest: Digest, came_from: Iterable[Origin], bad: list[str]
) -> Iterator[Document]:
    """Of the artefact itself and of what it was built from; children of an index and their subjects too."""
    yield from _documents(store, name, digest, REVOCATION.__eq__, bad)
    ancestors = dict.fromkeys((each.name, each.digest) for each in came_from if each.name)
    for where, ancestor in list(ancestors)[:_ANCESTORS]:
        with suppress(BadInput, NotFound):
            yield from _documents(store, where, Digest.parse(ancestor), REVOCATION.__eq__, bad)


def _list(store: Store) -> Document | None:
    found = the_list(store)
    return Document(str(found.digest), found.media_type, found.data) if found.digest else None


# One file


def export(proof: Proof, path: Path) -> None:
    """Write it to a file, whole or not at all. Raises Error."""
    write_atomically(path, encode(proof))


def encode(proof: Proof) -> bytes:
    """The file's content: JSON, bytes in base64."""
    said: dict[str, object] = {
        "naust": "proof",
        "format": FORMAT,
        "reference": str(proof.reference),
        "store": proof.url,
        "at": proof.at.isoformat(),
        "digest": str(proof.digest),
        "manifests": [_text(each) for each in proof.manifests],
        "documents": [_plain(each) for each in proof.documents],
        "revocations": [_plain(each) for each in proof.revocations],
        "list": _plain(proof.listed) if proof.listed else None,
        "origins": [
            {"title": each.title, "digest": each.digest, "via": each.via, "name": each.name} for each in proof.origins
        ],
        "unreadable": list(proof.unreadable),
    }
    return oci.encode(said)


def load(path: Path) -> Proof:
    """Read such a file. Raises BadInput if it cannot be read, Corrupt if it is none, or of a later format."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read", details=str(error), resolution="Name what --export wrote.") from error
    return decode(data, str(path))


def decode(data: bytes, what: str) -> Proof:
    """Read the file's content. `what` names it in errors. Raises Corrupt."""
    found = document(data, what, largest=LARGEST)
    if found.get("naust") != "proof":
        raise unreadable(what, "It is no proof: `naust verify REFERENCE --export FILE` writes one.")
    if found.get("format") != FORMAT:
        raise unreadable(what, f"Its format is {found.get('format')!r}; this naust reads {FORMAT}. Use a newer one.")
    try:
        proof = _proof(found)
    except (BadInput, ValueError, binascii.Error) as error:
        raise unreadable(what, str(error)) from error
    if not proof.manifests or str(proof.digest) != found.get("digest"):
        raise unreadable(what, "Its manifest is not the one that it names.")
    return proof


def _proof(found: Mapping[str, object]) -> Proof:
    at = datetime.fromisoformat(text(found.get("at")))
    manifests, listed, bad = found.get("manifests"), found.get("list"), found.get("unreadable")
    return Proof(
        reference=Reference.parse(text(found.get("reference"))),
        url=text(found.get("store")),
        at=at if at.tzinfo else at.replace(tzinfo=UTC),
        manifests=tuple(_bytes(each) for each in manifests) if isinstance(manifests, list) else (),
        documents=tuple(map(_document, records(found.get("documents")))),
        revocations=tuple(map(_document, records(found.get("revocations")))),
        listed=_document(record(listed)) if listed else None,
        origins=tuple(
            Origin(text(each.get("title")), text(each.get("digest")), text(each.get("via")), text(each.get("name")))
            for each in records(found.get("origins"))
        ),
        unreadable=tuple(map(text, bad)) if isinstance(bad, list) else (),
    )


def _plain(each: Document) -> Mapping[str, str]:
    return {"digest": each.digest, "type": each.media_type, "data": _text(each.data)}


def _document(found: Mapping[str, object]) -> Document:
    return Document(text(found.get("digest")), text(found.get("type")), _bytes(found.get("data")))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(value: object) -> bytes:
    return base64.b64decode(text(value), validate=True)
