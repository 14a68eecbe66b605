"""naust show."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store
from naust.cli.opened import bare, opened


def show(
    reference: Annotated[str, typer.Argument(help="KIND/NAME, KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")],
    store: Store = None,
    json: Json = False,
) -> None:
    """Show one artefact, with its blobs and all that is attached to it.

    URI, version, dates, channels, digest, size, source revision, inputs, blobs; signatures, SBOMs and the like by type;
    and why it is revoked, if it is.

    Exit codes: 0 shown; 2 no such artefact, or bad input; 8 its manifest is damaged; 9 the store does not answer.
    """
    from naust.show import rows
    from naust.show import show as described

    source, address = opened(store, reference)
    found = described(source, bare(address))
    console.json_result(found) if json else console.table(("", ""), rows(found))
