"""Signed statements as data: in-toto Statement v1 in a DSSE envelope in a Sigstore bundle v0.3. Nothing here touches a
store or a key.

in-toto attestation framework v1 (Statement); DSSE v1.0.2 (protocol.md, envelope.md); sigstore protobuf-specs 0.5
(sigstore_bundle.proto). cosign 3 writes and verifies the same.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import BadInput
from common.model import Digest
from naust.manifest import encode
from naust.untrusted import document, record, records, text, unreadable

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLES = "application/vnd.dev.sigstore.bundle"  # how the media type of every version begins
IN_TOTO = "application/vnd.in-toto+json"
STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")

SIGNATURE = "https://sigstore.dev/cosign/sign/v1"
SBOM = "https://cyclonedx.org/bom"
PROVENANCE = "https://slsa.dev/provenance/v1"
PROVENANCE_02 = "https://slsa.dev/provenance/v0.2"
# The short names that cosign's --type has for predicate types, so that both take the same word.
TYPES = {
    "cyclonedx": SBOM,
    "slsaprovenance1": PROVENANCE,
    "slsaprovenance02": PROVENANCE_02,
    "slsaprovenance": PROVENANCE_02,
    "spdxjson": "https://spdx.dev/Document",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "openvex": "https://openvex.dev/ns",
    "link": "https://in-toto.io/attestation/link/v0.3",
}

PURPOSE = "purpose"  # annotation of a statement's subject; what `cosign sign -a purpose=…` writes too


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about: digests as text, `sha256:…`."""

    digests: tuple[str, ...]
    name: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    def annotation(self, name: str) -> str:
        """The annotation's value, or ''."""
        return dict(self.annotations).get(name, "")


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said of the subjects. Worth nothing until a signature over it was checked."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, object]

    def about(self, digest: Digest) -> Subject | None:
        """The subject with this digest."""
        return next((each for each in self.subjects if str(digest) in each.digests), None)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A statement and the signature over it. `hint` says which key that may be and proves nothing."""

    payload: bytes
    payload_type: str
    signature: bytes
    hint: str
    statement: Statement

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is over."""
        return signed_bytes(self.payload_type, self.payload)


def signed_bytes(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: type and content, each with its length before it."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def statement(subject: Subject, predicate_type: str, predicate: Mapping[str, object]) -> bytes:
    """A statement about one subject; its bytes depend on the content alone."""
    said: dict[str, object] = {"digest": dict(digest.split(":", 1) for digest in subject.digests)}
    said |= {"name": subject.name} if subject.name else {}
    said |= {"annotations": dict(subject.annotations)} if subject.annotations else {}
    return encode(
        {"_type": STATEMENTS[0], "subject": [said], "predicateType": predicate_type, "predicate": dict(predicate)}
    )


def bundle(payload: bytes, signature: bytes, hint: str) -> bytes:
    """The bundle around a statement that was signed."""
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    material = {"publicKey": {"hint": hint}}
    return encode({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope})


def read_bundle(data: bytes, what: str) -> Bundle:
    """Read a bundle. `what` names it in errors. Raises Corrupt."""
    found = document(data, what)
    if not text(found.get("mediaType")).startswith(BUNDLES):
        raise unreadable(what, f"Its mediaType is {found.get('mediaType')!r}.")
    envelope = record(found.get("dsseEnvelope"))
    signatures = records(envelope.get("signatures"))
    if len(signatures) != 1 or envelope.get("payloadType") != IN_TOTO:
        raise unreadable(what, "It holds no DSSE envelope of an in-toto statement with one signature.")
    payload = _decoded(envelope.get("payload"), what)
    key = record(record(found.get("verificationMaterial")).get("publicKey"))
    return Bundle(
        payload=payload,
        payload_type=IN_TOTO,
        signature=_decoded(signatures[0].get("sig"), what),
        hint=text(key.get("hint")),
        statement=read_statement(payload, what),
    )


def read_statement(data: bytes, what: str) -> Statement:
    """Read a statement that is not in a bundle, or no more. Raises Corrupt."""
    found = document(data, what)
    subjects = tuple(_subject(each) for each in records(found.get("subject")))
    kind = text(found.get("predicateType"))
    if found.get("_type") not in STATEMENTS or not subjects or not kind:
        raise unreadable(what, "It is no in-toto statement.")
    return Statement(subjects, kind, record(found.get("predicate")))


def either(data: bytes, media_type: str, what: str) -> tuple[Statement, Bundle | None]:
    """A statement that may be signed or not, and the bundle if it is. Raises Corrupt."""
    if media_type.startswith(BUNDLES):
        read = read_bundle(data, what)
        return read.statement, read
    return read_statement(data, what), None


def _subject(found: Mapping[str, object]) -> Subject:
    digests = record(found.get("digest"))
    annotations = record(found.get("annotations"))
    return Subject(
        digests=tuple(f"{algorithm}:{text(value)}" for algorithm, value in digests.items()),
        name=text(found.get("name")),
        annotations=tuple((key, text(value)) for key, value in annotations.items() if isinstance(value, str)),
    )


def _decoded(value: object, what: str) -> bytes:
    """Base64 (RFC 4648, section 4) to the letter: another reader must not see other bytes."""
    try:
        data = base64.b64decode(text(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise unreadable(what, f"Its base64 is none: {error}") from error
    if not data:
        raise unreadable(what, "Its payload or signature is empty.")
    return data


def is_bundle(artifact_type: str) -> bool:
    """Whether a referrer of this artifact type is a bundle."""
    return artifact_type.startswith(BUNDLES)


def predicate_type(word: str) -> str:
    """The URI of a predicate type, from it or from cosign's short name. Raises BadInput for what is neither."""
    if word in TYPES:
        return TYPES[word]
    if ":" not in word or not word.isprintable() or " " in word:
        raise BadInput(f"{word!r} is no type of predicate", resolution=f"Write a URI or one of {', '.join(TYPES)}.")
    return word


def digests_of(found: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """The digests in a list of in-toto ResourceDescriptors, as `algorithm:hex`."""
    return tuple(
        f"{algorithm}:{text(value)}" for each in found for algorithm, value in record(each.get("digest")).items()
    )
