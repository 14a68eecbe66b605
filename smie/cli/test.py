"""smie test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json, Store, Systems
from smie.cli.options import All, Kinds, Names, Snapshot, TimeLimit, duration

Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the results there as JUnit XML.")]


def test(
    names: Names = None,
    kind: Kinds = None,
    every: All = False,
    json: Json = False,
    junit: Junit = None,
    time_limit: TimeLimit = None,
    snapshot: Snapshot = None,
    systems: Systems = None,
    store: Store = None,
) -> None:
    """Run the checks of artefacts again, in what is started from them.

    What is looked at is what the store has for the definitions as they are; checks themselves may have changed since.
    Exit codes: 0 all checks hold, 1 some do not, 2 bad input or not built, 8 something is damaged, 9 engine
    unavailable.
    """
    from common.catalog import Catalog
    from naust.store import open_store
    from smie.checks.running import LIMIT
    from smie.test import chosen, failure
    from smie.test import test as test_all
    from smie.wanted import kinds_of, recipes_of, tools_for
    from smie.workspace import Workspace

    workspace, there, catalog, kinds = Workspace.open(), open_store(store), Catalog.open(systems), kinds_of(kind)
    recipes = recipes_of(names or (), catalog, there, workspace, kinds=kinds, every=every, snapshot=snapshot)
    meant = chosen(recipes, names or (), kinds)
    tools = tools_for(meant, catalog, there, workspace, snapshot=snapshot)
    limit = duration(time_limit) or LIMIT
    tested = test_all(there, meant, workspace, console.reporter(), tools=tools, limit=limit, junit=junit)
    if json:
        console.json_result([one.shown(there.url) for one in tested])
    else:
        rows = [(one.checked.title, check.about, check.promise, "holds" if check.ok else "FAILED")
                for one in tested for check in one.checked.checks]  # fmt: skip
        console.table(("artefact", "of", "check", ""), rows)
    if error := failure(tested):
        raise error
