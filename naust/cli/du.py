"""naust du."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store

if TYPE_CHECKING:
    from naust.source.usage import Use


def du(
    prefix: Annotated[str, typer.Argument(help="Names that begin so, such as snapshot/ or container/traefik.")] = "",
    store: Store = None,
    versions: Annotated[bool, typer.Option("--versions", help="Each version for itself, not each name.")] = False,
    json: Json = False,
) -> None:
    """Say what costs what: bytes that only this has, which go with it, and bytes that others have too.

    Snapshots, sources and artefacts are in one pool, where the same bytes are kept once.

    Exit codes: 0 done; 4 something damaged could not be counted; 9 the store does not answer.
    """
    from common.errors import Partial
    from naust.source.usage import usage
    from naust.store import open_store

    found = usage(open_store(store), prefix, versions=versions)
    if json:
        console.json_result(found)
    else:
        console.table(("name", "versions", "blobs", "alone", "shared", "channels"), [_row(use) for use in found.uses])
        console.note(f"everything, each once: {found.blobs} blobs, {console.amount(found.size)}")
    if found.damaged:
        raise Partial(
            f"{len(found.damaged)} manifests could not be read",
            details="\n".join(found.damaged),
            resolution="What they lead to is not counted. See `naust fsck`.",
        )


def _row(use: Use) -> tuple[str, ...]:
    sizes = (console.amount(use.alone), console.amount(use.shared))
    return use.name, str(use.versions), str(use.blobs), *sizes, " ".join(use.channels)
