"""smie plan."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store, Systems
from smie.cli.options import All, Kinds, Names, Snapshot, Update

ExitCode = Annotated[bool, typer.Option("--exit-code", help="End with 3 when something would be built.")]


def plan(
    names: Names = None,
    kind: Kinds = None,
    every: All = False,
    json: Json = False,
    exit_code: ExitCode = False,
    update: Update = False,
    snapshot: Snapshot = None,
    systems: Systems = None,
    store: Store = None,
) -> None:
    """Show what would be built, and because of which inputs.

    Exit codes: 0 shown, 2 bad input or no such snapshot, 3 something would be built (with --exit-code), 8 the snapshot
    is damaged, 9 mirror unavailable.
    """
    from common.catalog import Catalog
    from naust.store import open_store
    from smie.plan import plan as make_plan
    from smie.plan import to_build
    from smie.wanted import kinds_of, recipes_of
    from smie.workspace import Workspace

    there = open_store(store)
    recipes = recipes_of(
        names or (), Catalog.open(systems), there, Workspace.open(), kinds=kinds_of(kind), every=every,
        snapshot=snapshot, refresh=update,
    )  # fmt: skip
    entries = make_plan(there, recipes)
    if json:
        console.json_result([entry.shown() for entry in entries])
    else:
        rows = [(e.recipe.title, e.recipe.version, "; ".join(e.reasons) or "up to date") for e in entries]
        console.table(("artefact", "version", "to build because"), rows)
    if exit_code and to_build(entries):
        raise typer.Exit(3)
