"""naust mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from naust.cli.sources import Sources, Tidy, brief, defined, tidied

if TYPE_CHECKING:
    from datetime import timedelta

    from naust.source.definition import Definition
    from naust.source.mirror import How, Mirrored
    from naust.store.interface import Store as OpenStore


def mirror(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Sources by name; else all.")] = None,
    sources: Sources = None,
    store: Store = None,
    accept: Annotated[bool, typer.Option("--accept", help="Upstream may shrink or go back in time.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask upstream for every file; fetch nothing.")] = False,
    every_byte: Annotated[
        bool, typer.Option("--check", help="Read what is there already; what is damaged comes anew.")
    ] = False,
    all_: Annotated[bool, typer.Option("--all", help="Of sources of mode proxy, also what nobody used yet.")] = False,
    idle: Annotated[str, typer.Option(help="How long upstream may say nothing.")] = "30s",
    at_once: Annotated[int, typer.Option(help="Files that come side by side.", min=1, max=64)] = 8,
    tidy: Tidy = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name every file that comes.")] = False,
    manual: Annotated[bool, typer.Option("--manual", help="Print the reference of sources.hcl.")] = False,
    json: Json = False,
) -> None:
    """Bring what builds need into the store: only what is new, checked, each source as upstream has it now.

    A source of mode proxy gets a state of what was used of it, see naust serve --sources; nothing is fetched.
    A file that cannot be had keeps no other from coming; all are named, and the source gets no new state over a gap.

    Exit codes: 0 done, or nothing new; 2 bad input; 4 some files or sources could not be had; 7 upstream shrank or
    went back in time, see --accept; 8 its signature or form is wrong; 9 it does not answer.
    """
    if manual:
        from naust.source.shapes import manual as text

        console.result(text())
        return
    from naust.cli.asked import duration
    from naust.source.mirror import How, check
    from naust.store import open_store

    what, where = defined(sources), open_store(store)
    how = How(accept=accept, all=all_, dry_run=dry_run, check=every_byte, at_once=at_once)
    found = _mirrored(where, what, names, duration(idle), how, verbose)
    console.json_result(found) if json else console.table(_COLUMNS, [_row(each) for each in found])
    check(found)
    if tidy:
        tidied(where, [(each.name, each.keep) for each in what.sources], dry_run=dry_run)


_COLUMNS = ("source", "state", "", "files", "there", "fetched", "size", "failed")


def _mirrored(
    store: OpenStore, what: Definition, names: list[str] | None, idle: timedelta, how: How, verbose: bool
) -> tuple[Mirrored, ...]:
    from functools import partial

    from naust.source import mirror as verb
    from naust.source.upstreams import upstream
    from naust.store.access import Access
    from naust.wire.transport import Transport

    blocks = [what.source(name) for name in dict.fromkeys(names)] if names else what.sources
    transport = Transport(Access(idle=idle))
    wanted = [(block, partial(upstream, block)) for block in blocks]
    return verb.mirror(store, wanted, transport, how, report=brief(console.reporter(), verbose))


def _row(each: Mirrored) -> tuple[str, ...]:
    how = "failed" if each.error else "new" if each.changed else "would fetch" if each.dry_run else "unchanged"
    how = "gaps" if each.failures else how
    counts = (str(each.items), str(each.present), str(each.fetched), console.amount(each.size), str(len(each.failures)))
    return each.source, each.reference, how, *counts
