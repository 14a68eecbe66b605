"""smie build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from common import console
from common.cli import Json, Store, Systems
from smie.cli.options import All, Channel, Check, Jobs, Kinds, Names, Snapshot, Update

if TYPE_CHECKING:
    from smie.again import Asked
    from smie.recipe import Recipe


def build(
    names: Names = None,
    kind: Kinds = None,
    every: All = False,
    json: Json = False,
    update: Update = False,
    jobs: Jobs = None,
    channel: Channel = None,
    check: Check = False,
    snapshot: Snapshot = None,
    systems: Systems = None,
    store: Store = None,
) -> None:
    """Build what has changed, and print the URI of each artefact.

    A build of which nothing changed is recognised and not done again. With a snapshot all comes out of the store: WHEN
    is a day, a full tag, a view or latest; SET is build, or the only set. A channel moves for all that was asked for
    when all of it is there, or not at all. With --check nothing is stored: what is named is built twice, in other
    folders, as other users and at other times, and compared file by file. Exit codes: 0 all is there, or came out the
    same, 1 failed, or not the same, 2 bad input or no such snapshot, 4 some could not be built, 8 something is damaged,
    9 mirror or engine unavailable, 130 interrupted.
    """
    from common.catalog import Catalog
    from common.errors import BadInput
    from naust.address import uri
    from naust.store import open_store
    from smie.build import build as build_all
    from smie.build import failure
    from smie.wanted import asked as snapshot_of
    from smie.wanted import kinds_of, recipes_of
    from smie.workspace import Workspace

    if channel and check:
        raise BadInput("a check stores nothing a channel could stand for", resolution="Leave out --channel or --check.")
    if channel:
        from smie import channel as channels

        channels.check(channel)
    catalog, workspace, there = Catalog.open(systems), Workspace.open(), open_store(store)
    recipes = recipes_of(
        names or (), catalog, there, workspace, kinds=kinds_of(kind), every=every, snapshot=snapshot, refresh=update
    )
    if check:
        from smie.again import Asked

        asked = Asked(
            names or (), kinds_of(kind), every, snapshot_of(snapshot), catalog, there, workspace, jobs
        )  # fmt: skip
        _check(asked, recipes, json)
        return
    outcomes = build_all(there, recipes, workspace, console.reporter(), jobs=jobs)
    error = failure(outcomes)
    if channel and error is None:
        channels.move(there, outcomes, channel, console.reporter())
    if json:
        console.json_result([outcome.shown(there.url) for outcome in outcomes])
    else:
        for outcome in outcomes:
            if outcome.artifact:
                console.result(uri(there.url, outcome.artifact))
    if error is not None:
        raise error


def _check(asked: Asked, recipes: Sequence[Recipe], json: bool) -> None:
    from smie.again import check, failure

    found = check(asked, recipes, console.reporter())
    if json:
        console.json_result([each.shown() for each in found])
    else:
        console.result("\n".join(map(str, found)))
    if error := failure(found):
        raise error
