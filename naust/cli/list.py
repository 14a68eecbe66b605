"""naust list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import Corrupt, Partial
from naust.cli.opened import kind_of

if TYPE_CHECKING:
    from common.model import Artifact


def list_(
    pattern: Annotated[str, typer.Argument(help="Name or shell pattern, such as 'container/ceph-*'.")] = "*",
    kind: Annotated[str, typer.Option(help="Only this kind.")] = "",
    name: Annotated[str, typer.Option(help="Only this name.")] = "",
    store: Store = None,
    json: Json = False,
) -> None:
    """Show what the store holds, newest first.

    Exit codes: 0 shown, also if there is nothing; 2 bad input; 4 shown, but some artefacts cannot be read and are named
    on stderr; 9 the store does not answer.
    """
    from naust.listing import artifacts, matching
    from naust.show import describe
    from naust.store import open_store

    source = open_store(store)
    damaged: list[Corrupt] = []
    found = matching(artifacts(source, kind_of(kind), name or None, damaged=damaged.append), pattern)
    if json:
        console.json_result([describe(source, each) for each in found])
    else:
        console.table(("artefact", "version", "published", "size", "digest"), [_row(each) for each in found])
    if damaged:
        raise Partial(
            f"{len(damaged)} artefacts of {source.url} cannot be read",
            details="\n".join(error.message for error in damaged),
            resolution="Push or build them again.",
        )


def _row(artifact: Artifact) -> tuple[str, ...]:
    reference = str(artifact.reference)
    published = artifact.created.strftime("%Y-%m-%d %H:%M:%S")
    return reference, artifact.version, published, console.amount(artifact.size), artifact.digest.short
