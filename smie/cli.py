"""smie's command line: parse, call, print."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Verb

SUMMARY = "makes artefacts from roles"

Names = Annotated[list[str], typer.Argument(help="Roles, bases, or systems with all that they need.")]
Update = Annotated[bool, typer.Option("--update", help="Fetch Debian's package index anew first.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Builds side by side; else what the machine carries.")]
Snapshot = Annotated[
    str | None,
    typer.Option(
        "--snapshot", metavar="[SET:]WHEN", help="Take all from this snapshot of the store; else $SMIE_SNAPSHOT."
    ),
]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="End with 3 when something would be built.")]


def build(
    names: Names,
    json: Json = False,
    update: Update = False,
    jobs: Jobs = None,
    snapshot: Snapshot = None,
    systems: Systems = None,
    store: Store = None,
) -> None:
    """Build what has changed, and print the URI of each artefact.

    A build of which nothing changed is recognised and not done again. With a snapshot all comes out of the store: WHEN
    is a day, a full tag, a view or latest; SET is build, or the only set. Exit codes: 0 all is there, 1 failed, 2 bad
    input or no such snapshot, 4 some could not be built, 8 something is damaged, 9 mirror or engine unavailable, 130
    interrupted.
    """
    from common.catalog import Catalog
    from naust.address import uri
    from naust.store import open_store
    from smie.build import build as build_all
    from smie.build import failure
    from smie.wanted import recipes_of
    from smie.workspace import Workspace

    workspace, there = Workspace.open(), open_store(store)
    recipes = recipes_of(names, Catalog.open(systems), there, workspace, snapshot=snapshot, refresh=update)
    outcomes = build_all(there, recipes, workspace, console.reporter(), jobs=jobs)
    if json:
        console.json_result([outcome.shown(there.url) for outcome in outcomes])
    else:
        for outcome in outcomes:
            if outcome.artifact:
                console.result(uri(there.url, outcome.artifact))
    if error := failure(outcomes):
        raise error


def plan(
    names: Names,
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
    from smie.wanted import recipes_of
    from smie.workspace import Workspace

    there = open_store(store)
    recipes = recipes_of(names, Catalog.open(systems), there, Workspace.open(), snapshot=snapshot, refresh=update)
    entries = make_plan(there, recipes)
    if json:
        console.json_result([entry.shown() for entry in entries])
    else:
        rows = [(e.recipe.title, e.recipe.version, "; ".join(e.reasons) or "up to date") for e in entries]
        console.table(("artefact", "version", "to build because"), rows)
    if exit_code and to_build(entries):
        raise typer.Exit(3)


def list_(json: Json = False, systems: Systems = None, store: Store = None) -> None:
    """List roles and bases, their kinds of image, and the newest artefact of each.

    Exit codes: 0 listed, 2 bad input.
    """
    from common.catalog import Catalog
    from naust.store import open_store
    from smie.listing import rows

    found = rows(Catalog.open(systems), open_store(store))
    if json:
        console.json_result(found)
        return
    cells = [
        (row.name, row.type, row.kind, row.base, row.newest.reference.tag if row.newest else "never built", row.summary)
        for row in found
    ]
    console.table(("name", "type", "kind", "on", "newest", "summary"), cells)


VERBS: dict[str, Verb] = {"build": build, "plan": plan, "list": list_}
