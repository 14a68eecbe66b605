"""Keys as the verbs that sign take them: a file by option or environment; a passphrase is never an argument."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import BadInput

if TYPE_CHECKING:
    from common.model import Secret
    from naust.proof.keys import SigningKey

Key = Annotated[Path | None, typer.Option("--key", help="File with the private key; else $NAUST_KEY.")]
PassphraseFrom = Annotated[
    str, typer.Option(help="Where the key's passphrase is: file:PATH, env:NAME, command:…; else $NAUST_KEY_PASSPHRASE.")
]
_ENVIRONMENT = "NAUST_KEY_PASSPHRASE"


def signing_key(key: Path | None, passphrase_from: str) -> SigningKey:
    """The key that is meant. Raises BadInput if none is, and as `naust.proof.keys.load_private` does."""
    found = configured_key(key, passphrase_from)
    if found is None:
        raise BadInput(
            "there is no key to sign with", resolution="Give --key or set NAUST_KEY; `naust key new FILE` makes one."
        )
    return found


def configured_key(key: Path | None, passphrase_from: str) -> SigningKey | None:
    """The key that is meant; None if none is."""
    from naust.proof.keys import is_encrypted, load_private

    path = key or (Path(os.environ["NAUST_KEY"]) if os.environ.get("NAUST_KEY") else None)
    if path is None:
        return None
    wanted = bool(passphrase_from) or is_encrypted(path)
    return load_private(path, passphrase(passphrase_from) if wanted else None)


def passphrase(place: str) -> Secret | None:
    """The passphrase at this place, else in the environment; None if there is neither. Raises BadInput."""
    from common.values import Wrong
    from naust.configuration import as_secret_place, secret

    if not place and not os.environ.get(_ENVIRONMENT):
        return None
    try:
        return secret(as_secret_place(place or f"env:{_ENVIRONMENT}"))
    except Wrong as error:
        raise BadInput(error.message, resolution=f"For a passphrase {error.fix}.") from error
