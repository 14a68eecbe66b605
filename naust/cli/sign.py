"""naust sign."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store
from naust.cli.opened import bare, opened
from naust.cli.signing import Key, PassphraseFrom, signing_key


def sign(
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")],
    store: Store = None,
    key: Key = None,
    purpose: Annotated[str, typer.Option(help="What the signature is for, such as release; it is signed too.")] = "",
    passphrase_from: PassphraseFrom = "",
    json: Json = False,
) -> None:
    """Sign an artefact: a Sigstore bundle, which naust verify and cosign verify accept, is attached to it.

    No online service takes part. The same key and purpose again change nothing. Prints what was attached.

    Exit codes: 0 signed, or it was already; 1 others may read the key, or not allowed; 2 no such artefact, key or
    purpose; 8 the artefact is damaged; 9 the store does not answer.
    """
    from naust.listing import name_of, resolve
    from naust.sign import sign as attach

    signer = signing_key(key, passphrase_from)
    source, address = opened(store, reference)
    artifact = resolve(source, bare(address))
    done = attach(source, artifact, signer, purpose)
    where = f"{name_of(artifact.reference)}@{done}"
    said = {
        "reference": artifact.reference,
        "digest": artifact.digest,
        "signature": done,
        "key": signer.public.fingerprint,
    }
    console.json_result(said) if json else console.result(where)
