"""naust gc."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store

if TYPE_CHECKING:
    from common.console import Report
    from common.model import Event


def gc(
    store: Store = None,
    grace: Annotated[str, typer.Option(help="How old garbage must be, such as 24h, 30m or 0.")] = "24h",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and say; delete nothing.")] = False,
    despite_damage: Annotated[
        bool, typer.Option("--despite-damage", help="Delete although some manifests cannot be read.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name every blob that goes.")] = False,
    json: Json = False,
) -> None:
    """Delete what nothing refers to: no tag, index, manifest, signature or history; safe while pushes run.

    In a directory, and through naust serve, it is seen which pushes are under way, and no grace takes anything from
    them. On S3 nobody can see that: what is younger than two hours stays, whatever the grace; a push that lasts longer
    than the grace may be refused at its end, and is then repeated.

    Exit codes: 0 done; 1 the store collects by itself; 2 bad input; 8 a manifest cannot be read, and nothing was
    deleted; 9 the store does not answer.
    """
    from naust.cli.asked import duration
    from naust.gc import collect, rows
    from naust.store import open_store

    report = _brief(console.reporter(), verbose)
    found = collect(
        open_store(store), grace=duration(grace), dry_run=dry_run, despite_damage=despite_damage, report=report
    )
    console.json_result(found) if json else console.table(("", "blobs", "size"), rows(found))


def _brief(report: Report, verbose: bool) -> Report:
    """Without a line for each of a million blobs."""

    def show(event: Event) -> None:
        if verbose or event.kind not in ("delete", "deleted"):
            report(event)

    return show
