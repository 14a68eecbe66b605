"""naust revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import BadInput
from naust.cli.opened import bare, opened
from naust.cli.signing import Key, PassphraseFrom, configured_key


def revoke(
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")] = "",
    store: Store = None,
    reason: Annotated[str, typer.Option(help="Why, in a line; everybody who is refused reads it.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take the revocation back.")] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Make the store's list of revocations anew, and date it today.")
    ] = False,
    by: Annotated[str, typer.Option(help="Who revokes it; else user@host.")] = "",
    key: Key = None,
    passphrase_from: PassphraseFrom = "",
    json: Json = False,
) -> None:
    """Revoke an artefact: verify, pull, promote and deploy refuse it and everything built from it.

    Signed where a key is given; a policy can demand that. Nothing is removed.

    Exit codes: 0 revoked, or it was already; 1 others may read the key, or not allowed; 2 no such artefact, no reason,
    or bad key; 7 others change the list without a pause; 8 the list is damaged; 9 the store does not answer.
    """
    from naust import revoke as verb
    from naust.listing import resolve
    from naust.promote import whoami
    from naust.store import open_store

    if bool(reference) == refresh:
        raise BadInput("one of REFERENCE and --refresh is wanted", resolution="Say what to revoke, or --refresh.")
    signer = configured_key(key, passphrase_from)
    if refresh:
        listing = verb.refresh(open_store(store), key=signer)
        said = f"{len(listing.entries)} revocations, as of {listing.at.isoformat(timespec='seconds')}"
        console.json_result(listing) if json else console.result(said)
        return
    source, address = opened(store, reference)
    found = verb.revoke(source, resolve(source, bare(address)), reason, by=by or whoami(), key=signer, undo=undo)
    console.json_result(found) if json else console.result(found.told())
