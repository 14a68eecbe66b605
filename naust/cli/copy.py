"""naust copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json
from common.errors import BadInput

if TYPE_CHECKING:
    from naust.copy import Copied
    from naust.store.interface import Store

_COLUMNS = ("artefact", "digest", "sent", "there", "referrers", "left out")


def copy(
    things: Annotated[
        list[str] | None,
        typer.Argument(help="KIND/NAME:VERSION, patterns or URIs; without --to, the last is the store DEST."),
    ] = None,
    source: Annotated[str | None, typer.Option("--from", help="Store to copy from, else the default one.")] = None,
    dest: Annotated[str | None, typer.Option("--to", help="Store to copy into.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Copy everything.")] = False,
    platform: Annotated[str, typer.Option(help="Only this platform of each image, such as linux/amd64.")] = "",
    referrers: Annotated[bool, typer.Option(help="With signatures, SBOMs and whatever else refers to it.")] = True,
    move: Annotated[bool, typer.Option("--move", help="Let channels of DEST follow those of the source.")] = False,
    at_once: Annotated[int, typer.Option(help="Transfers side by side.", min=1, max=64)] = 4,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and say; copy nothing.")] = False,
    json: Json = False,
) -> None:
    """Copy artefacts between two stores: all platforms, signatures and SBOMs, the same digests.

    Blobs go straight from one store into the other, and only if they are not there. What is wrong with one artefact
    does not stop the others. What is left out is said.

    Exit codes: 0 copied, or there already; 1 no space, or not allowed; 2 bad input, or no such artefact; 4 some were
    copied, the others are named on stderr; 7 the name stands for something else in DEST; 8 the source is damaged; 9 a
    store does not answer.
    """
    from naust.copy import Options, check, check_platform
    from naust.copy import copy as copied

    here, there, wanted = _meant(list(things or ()), source, dest, all)
    options = Options(check_platform(platform), referrers, move, dry_run, at_once)
    found = copied(here, there, wanted, options, console.reporter())
    if json:
        console.json_result(found)
    else:
        console.table(_COLUMNS, [_row(each) for each in found if not each.error])
    check(found, there)


def _meant(things: list[str], source: str | None, dest: str | None, all: bool) -> tuple[Store, Store, list[str]]:
    """Both stores and what is wanted. A URI among the things names the store that they are in."""
    from naust.address import parse
    from naust.cli.opened import bare
    from naust.store import open_store

    if dest is None and not things:
        raise BadInput("nobody says where to", resolution="Write `naust copy WHAT STORE`, or give --to STORE.")
    there = open_store(dest if dest is not None else things.pop())
    addresses = {text: parse(text) for text in things if "://" in text}
    origins: set[str | None] = {address.store for address in addresses.values()}
    origins |= {source} if source or not origins else set()
    stores = {each.url: each for each in map(open_store, origins)}
    if len(stores) != 1:
        raise BadInput("things are in several stores", resolution="Copy from one store at a time.")
    if bool(things) == all:
        raise BadInput("nobody says what to copy", resolution="Name artefacts or patterns, or give --all; not both.")
    wanted = [bare(addresses[text]) if text in addresses else text for text in things]
    return next(iter(stores.values())), there, ["*"] if all else wanted


def _row(each: Copied) -> tuple[str, ...]:
    digest = str(each.digest) if each.digest == each.asked else f"{each.digest} of {each.asked}"
    sizes = console.amount(each.sent), console.amount(each.there)
    return each.reference, digest, *sizes, str(each.referrers), "; ".join(each.left_out)
