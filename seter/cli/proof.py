"""The verbs that show how well a system does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json


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
