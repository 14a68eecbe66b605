"""naust push."""

from __future__ import annotations

from typing import Annotated

import typer

from common import console
from common.cli import Json, Store
from naust.cli.opened import opened, said


def push(
    source: Annotated[
        str,
        typer.Argument(help="A file; a folder; - for stdin; docker:IMAGE; oci:FOLDER or oci:FILE.tar, with :NAME."),
    ],
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, such as vm/traefik:3.7.15.")],
    store: Store = None,
    revision: Annotated[str, typer.Option(help="Revision of the source that it was made from.")] = "",
    title: Annotated[str, typer.Option(help="File name to come out under, else the file's own.")] = "",
    annotation: Annotated[
        list[str] | None, typer.Option("--annotation", help="KEY=VALUE that the artefact says about itself.")
    ] = None,
    chunks: Annotated[
        bool, typer.Option("--chunks/--no-chunks", help="Index a large file, so that pulls fetch what changed.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not say what is being done.")] = False,
    json: Json = False,
) -> None:
    """Store a file, a folder, an image or an OCI layout, and print its URI.

    naust adds the date of first publication to the version; the same content again keeps the name that it has.
    A folder becomes one tar with an index of its files; names, modes, owners, times, attributes, links and holes are
    kept, and kind rootfs keeps devices too. An image's reference is container/NAME:VERSION. An OCI layout goes in
    unchanged, with all platforms and referrers: every digest stays what it was. A file that has not changed since it
    was pushed is not read again.

    Exit codes: 0 stored, or there already; 1 no space, or not allowed; 2 bad input; 8 the source is not what it says;
    9 the store or the engine does not answer; 130 interrupted, with nothing visible left.
    """
    from naust.address import uri
    from naust.transfer.push_any import push as push_any
    from naust.transfer.push_blobs import silent

    target, address = opened(store, reference)
    report = silent if quiet or json else console.reporter()
    pushed = push_any(
        target, source, address, title=title, annotations=said(annotation, revision), chunks=chunks, report=report
    )
    if json:
        from naust.show import describe

        console.json_result(describe(target, pushed))
    else:
        console.result(uri(target.url, pushed))
