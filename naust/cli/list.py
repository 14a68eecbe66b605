"""naust list."""

from __future__ import annotations

import gc
import sys
from functools import cache
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import Corrupt, Partial
from naust.cli.opened import kind_of, said

if TYPE_CHECKING:
    from naust.brief import Brief

_COLUMNS = ("artefact", "version", "published", "size", "digest", "channels")


def list_(
    pattern: Annotated[str, typer.Argument(help="Name or shell pattern, such as 'container/ceph-*'.")] = "*",
    kind: Annotated[str, typer.Option(help="Only this kind.")] = "",
    name: Annotated[str, typer.Option(help="Only this name.")] = "",
    version: Annotated[str, typer.Option(help="Only this version, or shell pattern of versions.")] = "",
    since: Annotated[str, typer.Option(help="Published on this day or later; also 2026-11-01T22:15:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Published on this day or earlier.")] = "",
    channel: Annotated[str, typer.Option(help="Only what this channel, such as production, stands for.")] = "",
    label: Annotated[list[str] | None, typer.Option(help="KEY=VALUE: only what says so of itself.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only the newest so many.")] = 0,
    store: Store = None,
    json: Json = False,
) -> None:
    """Show what the store holds, newest first, each version with the channels that stand for it.

    Exit codes: 0 shown, also if there is nothing; 2 bad input; 4 shown, but some artefacts cannot be read and are named
    on stderr; 9 the store does not answer.
    """
    from naust.show import lines
    from naust.store import open_store
    from naust.wanted import Wanted, listed

    gc.disable()  # rows hold no cycles, and there may be a hundred thousand
    labels = tuple(said(label, own=True).items())
    wanted = Wanted(pattern, kind_of(kind), name, version, since, until, channel, labels, limit)
    source, damaged = open_store(store), list[Corrupt]()
    found = listed(source, wanted, annotations=json, damaged=damaged.append)
    if json:
        for text in lines(source, found):
            console.result(text)
    elif found and not sys.stdout.isatty():
        console.result("\n".join(_lines(found)))
    else:
        console.table(_COLUMNS, [line.split("\t") for line in _lines(found)])
    _tell(damaged, source.url)


def _tell(damaged: list[Corrupt], url: str) -> None:
    if damaged:
        raise Partial(
            f"{len(damaged)} artefacts of {url} cannot be read",
            details="\n".join(error.message for error in damaged),
            resolution="Push or build them again.",
        )


def _lines(rows: list[Brief]) -> list[str]:
    """With tabs between the cells, as a pipe gets them; one loop for what may be a hundred thousand."""
    amount = cache(lambda size: console.amount(int(size)))
    return [
        f"{kind}/{name}:{tag}\t{version}\t{created[:10]} {created[11:19]}\t{amount(size)}\t{digest[7:19]}\t{channels}"
        for created, kind, name, tag, version, digest, size, _, _, _, channels, _ in rows
    ]
