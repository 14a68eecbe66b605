"""What several verbs are told on their command line."""

from __future__ import annotations

from typing import Annotated

import typer

Names = Annotated[list[str], typer.Argument(help="Roles, bases, or systems with all that they need.")]
Update = Annotated[bool, typer.Option("--update", help="Fetch Debian's package index anew first.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Builds side by side; else what the machine carries.")]
Channel = Annotated[
    str | None,
    typer.Option("--channel", metavar="NAME", help="Let this channel stand for what was built, all or none."),
]
Snapshot = Annotated[
    str | None,
    typer.Option(
        "--snapshot", metavar="[SET:]WHEN", help="Take all from this snapshot of the store; else $SMIE_SNAPSHOT."
    ),
]
