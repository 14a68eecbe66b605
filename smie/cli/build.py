"""smie build."""

from __future__ import annotations

from common import console
from common.cli import Json, Store, Systems
from smie.cli.options import (
    All,
    Channel,
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


def build(
    names: Names = None,
    kind: Kinds = None,
    every: All = False,
    json: Json = False,
    update: Update = False,
    jobs: Jobs = None,
    memory: Memory = None,
    channel: Channel = None,
    skip_boot: SkipBoot = False,
    time_limit: TimeLimit = None,
    snapshot: Snapshot = None,
    systems: Systems = None,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Build what has changed, and print the URI of each artefact.

    A build of which nothing changed is recognised and not done again. With a snapshot all comes out of the store: WHEN
    is a day, a full tag, a view or latest; SET is build, or the only set. A channel moves for all that was asked for
    when all of it is there, or not at all. Exit codes: 0 all is there, 1 failed, 2 bad
    input or no such snapshot, 4 some could not be built, 8 something is damaged, 9 mirror or engine unavailable, 130
    interrupted.
    """
    from common.catalog import Catalog
    from common.interruption import once
    from naust.address import uri
    from naust.store import open_store
    from smie.build import build as build_all
    from smie.build import failure
    from smie.wanted import kinds_of, recipes_of
    from smie.workspace import Workspace

    if channel:
        from smie import channel as channels

        channels.check(channel)
    workspace, there, report = Workspace.open(), open_store(store), console.reporter()
    limit, most = duration(time_limit), bytes_of(memory)
    with once():
        recipes = recipes_of(
            names or (), Catalog.open(systems), there, workspace, kinds=kinds_of(kind), every=every,
            snapshot=snapshot, refresh=update,
        )  # fmt: skip
        outcomes = build_all(
            there, recipes, workspace, report, jobs=jobs, memory=most, limit=limit, skip_boot=skip_boot, debug=debug
        )
    error = failure(outcomes)
    if channel and error is None:
        channels.move(there, outcomes, channel, report)
    if json:
        console.json_result([outcome.shown(there.url) for outcome in outcomes])
    else:
        for outcome in outcomes:
            if outcome.artifact:
                console.result(uri(there.url, outcome.artifact))
    if error is not None:
        raise error
