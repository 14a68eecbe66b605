"""smie lint."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Systems

Names = Annotated[list[str] | None, typer.Argument(help="Roles, bases, systems with their roles; else all.")]


def lint(
    names: Names = None,
    json: Json = False,
    systems: Systems = None,
) -> None:
    """Say what is wrong with roles, bases and systems, all at once, without building.

    Prints a line for each fault: file, line, kind of fault, what is wrong and what to do. The manual lists the kinds.
    Exit codes: 0 nothing is wrong, 1 faults were found, 2 there is no such role, base or system.
    """
    from common.catalog import Catalog
    from smie.lint.lint import lint as look

    found = look(Catalog.open(systems), names or ())
    if json:
        console.json_result(found)
    else:
        console.result("\n".join(map(str, found)) or "nothing is wrong")
    if found:
        raise typer.Exit(1)
