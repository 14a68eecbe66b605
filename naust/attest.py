"""Attestations: a signed statement about an artefact with a predicate of any type, such as an SBOM or a provenance."""

from __future__ import annotations

from pathlib import Path

from common.errors import BadInput, Corrupt
from common.model import Artifact, Digest
from naust.proof import bundle, sbom
from naust.proof.bundle import Subject
from naust.proof.keys import SigningKey
from naust.sign import published_as, put
from naust.store.interface import Store
from naust.untrusted import LARGEST, document, record


def attest(store: Store, artifact: Artifact, key: SigningKey, predicate: bytes, kind: str) -> Digest:
    """Attach a signed attestation. `kind` is the predicate's type, a URI or cosign's short name; returns the digest of
    the manifest that holds it. Twice is once.

    Raises BadInput if the predicate is no JSON object, or not what its type says.
    """
    uri = bundle.predicate_type(kind)
    try:
        said = document(predicate, "the predicate")
        if uri == bundle.SBOM:
            sbom.read(said, "the predicate")
    except Corrupt as error:
        raise BadInput(error.message, details=error.details, resolution="Nothing was attached.") from error
    if not said or (uri == bundle.PROVENANCE and not record(record(said.get("runDetails")).get("builder")).get("id")):
        raise BadInput(
            f"the predicate is no {kind}",
            details="A provenance names runDetails.builder.id." if said else "It is empty.",
            resolution="Nothing was attached.",
        )
    subject = Subject((str(artifact.digest),), published_as(store, artifact))
    return put(store, artifact, key, bundle.statement(subject, uri, said), uri)


def predicate_in(path: Path) -> bytes:
    """A predicate's file. Raises BadInput if it cannot be read or is larger than any reader would take."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read", details=str(error), resolution="Name a JSON file.") from error
    if len(data) > LARGEST:
        raise BadInput(f"{path} has more than {LARGEST} bytes", resolution="Make it smaller.")
    return data
