"""smie build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from common import console
from common.cli import Json, Store, Systems
from smie.cli.options import (
    All,
    Channel,
    Check,
    Debug,
    Jobs,
    Kinds,
    Memory,
    Names,
    SkipBoot,
    Snapshot,
    TimeLimit,
    Update,
    bytes_of,
    duration,
)

if TYPE_CHECKING:
    from smie.again import Asked
    from smie.outcome import Outcome
    from smie.recipe import Recipe


def build(
    names: Names = None,
    kind: Kinds = None,
    every: All = False,
    json: Json = False,
    update: Update = False,
    jobs: Jobs = None,
    memory: Memory = None,
    channel: Channel = None,
    check: Check = False,
    skip_boot: SkipBoot = False,
    time_limit: TimeLimit = None,
    snapshot: Snapshot = None,
    systems: Systems = None,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Build what has changed, and print the URI of each artefact.

    A build of which nothing changed is recognised and not done again; of a role that changed behind its packages only
    that part is. With a snapshot all comes out of the store: WHEN is a day, a full tag, a view or latest; SET is build,
    or the only set. A channel moves for all that was asked for when all of it is there, or not at all. With --check
    nothing is stored: what is named is built twice, in other folders, as other users, at other times, and compared file
    by file. Exit codes: 0 all is there, or came out the same, 1 failed, or it differs, 2 bad input, 4 some could not be
    built, 8 damaged, 9 unavailable, 130 interrupted.
    """
    from common.catalog import Catalog
    from common.interruption import once
    from naust.store import open_store
    from smie import channel as channels
    from smie.build import build as build_all
    from smie.build import failure
    from smie.wanted import asked as snapshot_of
    from smie.wanted import kinds_of, recipes_of
    from smie.workspace import Workspace

    _consistent(channel, check, debug)
    workspace, there, report = Workspace.open(), open_store(store), console.reporter()
    limit, most, catalog = duration(time_limit), bytes_of(memory), Catalog.open(systems)
    with once():
        recipes = recipes_of(
            names or (), catalog, there, workspace, kinds=kinds_of(kind), every=every, snapshot=snapshot, refresh=update
        )
        if check:
            from smie.again import Asked

            said = (names or (), kinds_of(kind), every, snapshot_of(snapshot))
            _check(Asked(*said, catalog, there, workspace, jobs, most, limit), recipes, json)
            return
        outcomes = build_all(
            there, recipes, workspace, report, jobs=jobs, memory=most, limit=limit, skip_boot=skip_boot, debug=debug
        )
    error = failure(outcomes)
    if channel and error is None:
        channels.move(there, outcomes, channel, report)
    _show(outcomes, there.url, json)
    if error is not None:
        raise error


def _show(outcomes: Sequence[Outcome], store: str, json: bool) -> None:
    from naust.address import uri

    if json:
        console.json_result([outcome.shown(store) for outcome in outcomes])
        return
    for outcome in outcomes:
        if outcome.artifact:
            console.result(uri(store, outcome.artifact))


def _consistent(channel: str | None, check: bool, debug: bool) -> None:
    from common.errors import BadInput
    from smie import channel as channels

    other = "--channel" if channel else "--debug" if debug else ""
    if check and other:
        raise BadInput(f"a check keeps nothing that {other} could use", resolution=f"Leave out {other} or --check.")
    if channel:
        channels.check(channel)


def _check(asked: Asked, recipes: Sequence[Recipe], json: bool) -> None:
    from smie.again import check, failure

    found = check(asked, recipes, console.reporter())
    if json:
        console.json_result([each.shown() for each in found])
    else:
        console.result("\n".join(map(str, found)))
    if error := failure(found):
        raise error
