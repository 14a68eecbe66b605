"""naust fsck."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store


def fsck(
    store: Store = None,
    repair: Annotated[str, typer.Option(help="Store to take good bytes from, in place of damaged ones.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes; do not read every blob.")] = False,
    json: Json = False,
) -> None:
    """Check a store: every manifest, every byte of every blob, what refers to what, the index; and mend it.

    Without --repair nothing is changed. A registry is checked as far as its tags lead, and cannot be mended from here.

    Exit codes: 0 whole, or whole again; 2 bad input; 8 damaged: what, and which artefacts suffer, is on stderr; 9 a
    store does not answer.
    """
    from naust import fsck as verb
    from naust.store import open_store

    opened, report = open_store(store), console.reporter()
    if repair:
        found = verb.mend(opened, open_store(repair), quick=quick, report=report)
    else:
        found = verb.check(opened, quick=quick, report=report)
    if json:
        console.json_result({**console.fields_of(found), "whole": found.whole})
    else:
        mended = sum(one.repaired for one in found.damage)
        looked = f"{found.artifacts} artefacts, {found.blobs} blobs, {console.amount(found.size)}"
        console.result(f"{opened.url}: {looked}; {len(found.damage) - mended} damaged, {mended} mended")
    verb.verdict(opened, found)
