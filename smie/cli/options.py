"""What several verbs are told on their command line."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from common.errors import BadInput
from common.values import Wrong, as_duration

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
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="Memory for builds side by side, 4GiB; else what is free."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Leave a build that fails open, to look into it.")]
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
TimeLimit = Annotated[
    str | None, typer.Option("--time-limit", metavar="TIME", help="End what takes longer, as in 90s or 10m.")
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Build it twice more, elsewhere and otherwise, store nothing, show what differs."),
]


def duration(text: str | None) -> timedelta | None:
    """What `--time-limit` says. Raises BadInput."""
    try:
        found = None if text is None else as_duration(text)
    except Wrong as wrong:
        raise BadInput(f"--time-limit: {wrong.message}", resolution=wrong.fix) from None
    if found is not None and not found:
        raise BadInput("--time-limit is nothing", resolution="Write more than 0s.")
    return found


def bytes_of(memory: str | None) -> int | None:
    """What --memory says, in bytes. Raises BadInput."""
    from common.errors import BadInput
    from common.values import Wrong, as_size

    try:
        return None if memory is None else as_size(memory)
    except Wrong as wrong:
        raise BadInput(f"--memory: {wrong.message}", resolution=f"{wrong.fix[0].upper()}{wrong.fix[1:]}.") from wrong
