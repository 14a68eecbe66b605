"""The verbs that show how well a system does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json, Store, Systems
from common.errors import BadInput
from seter.cli.asked import Instance, State, SystemName, TargetName, duration_of, request
from seter.cli.pictures import show_pictures

SHORTEST = timedelta(milliseconds=200)


def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Saved runs; the newest is reported on.")],
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="Where the page goes.")] = Path("report.html"),
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, for CI.")] = None,
    merge: Annotated[Path | None, typer.Option("--merge", metavar="FILE", help="Write all runs into one file.")] = None,
    json: Json = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 when the newest run did not hold.")] = False,
) -> None:
    """Turn saved runs into a page: verdict, timeline, allowances, and what is different from the run before.

    Exit codes: 0 written, 1 it did not hold (with --exit-code), 2 bad input.
    """
    from seter.report.report import report as write

    found = write(files, html=html, xml=junit, merge=merge)
    if json:
        console.json_result(found)
    else:
        rows = [(each.name, each.outcome.value, each.reason) for each in found.experiments]
        console.result(f"{found.deployment}, {found.began}: {found.outcome.value}. {found.verdict}")
        console.table(("experiment", "verdict", "reason"), rows)
    console.note(f"the page is {html}")
    if exit_code and not found.outcome.is_good:
        raise typer.Exit(1)


def watch(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="Look this often, 200ms or more.")] = "1s",
    seconds: Annotated[int, typer.Option("--seconds", min=0, help="End by itself after so many; 0: never.")] = 0,
    once: Annotated[bool, typer.Option("--once", help="Look once; exit 1 when something is bad.")] = False,
    json: Json = False,
) -> None:
    """Show nodes, routes and metrics every second until Ctrl-C; where there is no terminal, a line a second.

    Exit codes: 0 ended, by Ctrl-C too, 1 something is bad (with --once), 2 bad input, 9 engine or store unavailable.
    """
    from seter.watch.watch import watch as look

    interval = duration_of("--every", every)
    if interval < SHORTEST:
        raise BadInput(f"--every {every} is too often", resolution="Give 200ms or more; 1s is usual.")
    asked = request(system, target, instance, systems, store, state)
    pictures = look(asked, console.reporter(), interval)
    show_pictures(pictures, json=json, once=once, length=timedelta(seconds=seconds) or None)
