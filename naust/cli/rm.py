"""naust rm."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store, Yes
from naust.cli.asked import ask
from naust.cli.opened import bare, opened


def rm(
    references: Annotated[list[str], typer.Argument(help="KIND/NAME:VERSION or KIND/NAME:CHANNEL, or their URIs.")],
    store: Store = None,
    force: Annotated[bool, typer.Option("--force", help="Also what a channel stands for, or what is damaged.")] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and say; remove nothing.")] = False,
    json: Json = False,
) -> None:
    """Take versions or channels away; naust gc then frees what nothing else refers to.

    Exit codes: 0 removed; 1 not allowed; 2 no such artefact, or not confirmed; 7 a channel stands for it, or it moved
    meanwhile; 8 it is damaged; 9 the store does not answer.
    """
    from naust import rm as verb

    source, first = opened(store, references[0])
    wanted = [bare(opened(first.store or store, each)[1]) for each in references]
    found = verb.plan(source, wanted, force=force)
    free = verb.free(source, found)
    said = [f"{each.name}:{each.tag}  {each.digest or 'damaged'}" for each in found]
    if not json:
        console.note("\n".join([*said, verb.said(free)]))
    if not dry_run:
        ask(f"Remove {'this name' if len(found) == 1 else f'these {len(found)} names'}?", yes=yes)
        verb.remove(source, found)
    if json:
        console.json_result({"removed": found, "free": free, "dry_run": dry_run})
    else:
        console.result("\n".join(f"{source.url}/{each.name}/{each.tag}" for each in found))
