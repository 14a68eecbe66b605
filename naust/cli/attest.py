"""naust attest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json, Store
from naust.cli.opened import bare, opened
from naust.cli.signing import Key, PassphraseFrom, signing_key


def attest(
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")],
    predicate: Annotated[Path, typer.Option(help="JSON file with what is said of it, such as an SBOM.")],
    type: Annotated[str, typer.Option(help="cyclonedx, slsaprovenance1, another word of cosign's, or a URI.")],
    store: Store = None,
    key: Key = None,
    passphrase_from: PassphraseFrom = "",
    json: Json = False,
) -> None:
    """Attach a signed attestation to an artefact: its SBOM, its provenance, or any other predicate.

    A Sigstore bundle, which naust verify and cosign verify-attestation accept. Prints what was attached.

    Exit codes: 0 attached, or it was already; 1 others may read the key, or not allowed; 2 no such artefact or key, or
    the predicate is not of that type; 8 the artefact is damaged; 9 the store does not answer.
    """
    from naust.attest import attest as attach
    from naust.attest import predicate_in
    from naust.listing import name_of, resolve
    from naust.proof.bundle import predicate_type

    signer = signing_key(key, passphrase_from)
    source, address = opened(store, reference)
    artifact = resolve(source, bare(address))
    done = attach(source, artifact, signer, predicate_in(predicate), type)
    said = {
        "reference": artifact.reference,
        "digest": artifact.digest,
        "attestation": done,
        "type": predicate_type(type),
    }
    console.json_result(said) if json else console.result(f"{name_of(artifact.reference)}@{done}")
