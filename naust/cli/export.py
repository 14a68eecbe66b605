"""naust export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Systems
from common.errors import BadInput
from naust.cli.signing import Key, PassphraseFrom, configured_key

if TYPE_CHECKING:
    from naust.export.disk import Exported
    from naust.export.wanted import Wanted
    from naust.store.interface import Store

_SHOWN = 20  # sources that no snapshot has; --json has all
Names = Annotated[
    list[str] | None, typer.Option("--snapshot", help="SET:WHEN with the sources; else what fits; none for none.")
]


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, such as that of a disk.")],
    system: Annotated[list[str] | None, typer.Option("--system", help="System to export, such as s3-lb.")] = None,
    snapshot: Names = None,
    channel: Annotated[str, typer.Option(help="What this channel stands for, instead of the newest.")] = "",
    source: Annotated[str | None, typer.Option("--from", help="Store to take it from, else the default one.")] = None,
    systems: Systems = None,
    tools: Annotated[Path | None, typer.Option("--tools", help="Take the tools of an earlier export.")] = None,
    with_tools: Annotated[bool, typer.Option("--with-tools/--without-tools", help="Bring the tools along.")] = True,
    python: Annotated[list[str] | None, typer.Option(help="Wheels for this Python too, such as 3.13.")] = None,
    key: Key = None,
    passphrase_from: PassphraseFrom = "",
    json: Json = False,
) -> None:
    """Write a system onto a disk, with its sources and the tools; or a snapshot as plain files.

    With --system: artefacts, all that refers to them, the snapshots that they were made of, definitions and tools, to
    be deployed where no network is. How much room that takes is said first. Run again it adds what is missing. DIR then
    holds that and nothing else; `sh DIR/install PREFIX`, `naust import DIR` and `sha256sum --check` find any damage.
    Without --system: DIR gets one snapshot as files that nginx or S3 can serve, and a link `latest`.

    Exit codes: 0 done; 1 no room; 2 bad input, or sources are mirrored nowhere; 4 some artefacts were not copied; 7
    another export writes there; 8 something is damaged or revoked; 9 the store or pip's index does not answer.
    """
    from naust.store import open_store

    store, named = open_store(source), tuple(snapshot or ())
    if not system:
        _plain(store, named, folder, json)
        return
    from common.catalog import Catalog
    from naust.export.disk import Options
    from naust.export.disk import export as write
    from naust.export.wanted import wanted

    catalog, names = Catalog.open(systems), tuple(dict.fromkeys(system))
    found = wanted(store, catalog, names, channel=channel, named=named)
    _notes(found)
    options = Options(with_tools, tools, tuple(python or ()))
    signer, report = configured_key(key, passphrase_from), console.reporter()
    _show(write(store, catalog, names, found, folder, options, key=signer, report=report), json)


def _plain(store: Store, named: tuple[str, ...], folder: Path, json: bool) -> None:
    from naust.source.export import export as write

    if len(named) != 1:
        raise BadInput("nobody says what to export", resolution="Give --system NAME, or one --snapshot SET:WHEN.")
    name, _, when = named[0].removeprefix("snapshot/").partition(":")
    done = write(store, name, when, folder, report=console.reporter())
    console.json_result(done) if json else console.result(done.folder)


def _notes(found: Wanted) -> None:
    if found.unknown:
        console.note(f"nobody knows what these were made of: {', '.join(found.unknown[:_SHOWN])}")
    if found.nowhere:
        some = ", ".join(f"{each.name} {each.version}".strip() for each in found.nowhere[:_SHOWN])
        more = " …" if len(found.nowhere) > _SHOWN else ""
        console.note(f"{len(found.nowhere)} sources are in none of these snapshots: {some}{more}")


def _show(done: Exported, json: bool) -> None:
    if json:
        console.json_result(done)
        return
    signed = f"signed by {done.signed_by}" if done.signed_by else "not signed (--key)"
    sent = f"{console.amount(done.sent)} sent, {done.removed} removed"
    console.note(f"{done.files} files, {console.amount(done.size)}; {sent}; {signed}")
    console.result(done.folder)
