"""What several verbs are told on their command line."""

from __future__ import annotations

from typing import Annotated

import typer

Names = Annotated[
    list[str] | None, typer.Argument(help="Roles, bases, systems with all that they need, or SYSTEM.GROUP.")
]
Kinds = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND,…", help="container, rootfs, vm; else what the definitions declare."),
]
All = Annotated[bool, typer.Option("--all", help="All that the definitions declare.")]
Update = Annotated[bool, typer.Option("--update", help="Fetch Debian's package index anew first.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Builds side by side; else what the machine carries.")]
SkipBoot = Annotated[bool, typer.Option("--skip-boot", help="Store disks without having booted them.")]
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
