"""naust key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json
from common.errors import BadInput
from naust.cli.signing import PassphraseFrom, passphrase


def key(
    action: Annotated[str, typer.Argument(help="new or show.")],
    file: Annotated[Path, typer.Argument(help="The private key; show takes the public one too.")],
    ed25519: Annotated[bool, typer.Option("--ed25519", help="Make an Ed25519 key instead of ECDSA P-256.")] = False,
    passphrase_from: PassphraseFrom = "",
    json: Json = False,
) -> None:
    """Make a key pair for signatures, or show the public key and its fingerprint.

    The private key (PKCS #8, PEM) is for its owner alone; the public one is beside it, .pub.

    Exit codes: 0 done; 1 others may read the private key; 2 bad input, or no such key; 7 a file is there already.
    """
    from naust.proof.keys import new, public_path, shown

    if action not in ("new", "show"):
        raise BadInput(f"cannot {action} a key", resolution="Write new FILE or show FILE.")
    if action == "new":
        found = new(file, "ed25519" if ed25519 else "p256", passphrase(passphrase_from))
        console.note(f"Keep {file} secret; give {public_path(file)} to whoever verifies.")
    else:
        found = shown(file, lambda: passphrase(passphrase_from))
    said = {"name": found.name, "algorithm": found.algorithm, "fingerprint": found.fingerprint, "public": found.pem}
    if json:
        console.json_result(said)
    else:
        console.result(f"{found.fingerprint} {found.algorithm} {found.name}\n{found.pem if action == 'show' else ''}")
