"""Signatures: a statement about an artefact's digest, signed, attached to it as a Sigstore bundle.

The signature covers the digest, and with it everything that the manifest says; and of its own the name of first
publication, which carries the date, and the purpose. No date of signing: the same key and purpose give the same bytes,
so signing twice is signing once, and a signer could write any date anyway.
"""

from __future__ import annotations

from common.errors import BadInput
from common.model import Artifact, Digest
from naust.listing import artifacts, name_of
from naust.proof import bundle
from naust.proof.attached import attach
from naust.proof.bundle import Subject
from naust.proof.keys import SigningKey
from naust.store.interface import Store
from naust.version import is_dated

# Annotations of the referrer, for people and for cosign's listings; nobody here trusts them.
_CONTENT = "dev.sigstore.bundle.content"
_PREDICATE = "dev.sigstore.bundle.predicateType"
LONGEST_PURPOSE = 63


def sign(store: Store, artifact: Artifact, key: SigningKey, purpose: str = "") -> Digest:
    """Attach a signature for this purpose; returns the digest of the manifest that holds it. Twice is once.

    Raises BadInput for an impossible purpose; NotFound if the artefact is not there.
    """
    annotations = ((bundle.PURPOSE, checked_purpose(purpose)),) if purpose else ()
    subject = Subject((str(artifact.digest),), published_as(store, artifact), annotations)
    return put(store, artifact, key, bundle.statement(subject, bundle.SIGNATURE, {}), bundle.SIGNATURE)


def put(store: Store, artifact: Artifact, key: SigningKey, payload: bytes, predicate_type: str) -> Digest:
    """Sign a statement and attach it as a bundle."""
    return attach(
        store,
        name_of(artifact.reference),
        artifact.digest,
        sealed(key, payload),
        media_type=bundle.BUNDLE,
        artifact_type=bundle.BUNDLE,
        annotations={_CONTENT: "dsse-envelope", _PREDICATE: predicate_type},
    )


def sealed(key: SigningKey, payload: bytes) -> bytes:
    """The bundle of a statement and this key's signature over it."""
    return bundle.bundle(payload, key.sign(bundle.signed_bytes(bundle.IN_TOTO, payload)), key.public.hint)


def published_as(store: Store, artifact: Artifact) -> str:
    """`kind/name:version-date` of its publication; without the tag if it has no such name."""
    name = name_of(artifact.reference)
    if is_dated(artifact.reference.tag):
        return f"{name}:{artifact.reference.tag}"
    dated = [
        each.reference.tag
        for each in artifacts(store, artifact.reference.kind, artifact.reference.name, damaged=lambda error: None)
        if each.digest == artifact.digest and is_dated(each.reference.tag)
    ]
    return f"{name}:{min(dated)}" if dated else name


def checked_purpose(purpose: str) -> str:
    """The purpose, if it is a plain word. Raises BadInput."""
    plain = purpose.replace("-", "").replace("_", "").replace(".", "")
    if not plain.isascii() or not plain.isalnum() or len(purpose) > LONGEST_PURPOSE:
        raise BadInput(f"{purpose!r} is no purpose", resolution="Write a word, such as release or test.")
    return purpose
