"""naust pull."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Json, Store
from naust.cli.opened import bare, opened


def pull(
    reference: Annotated[str, typer.Argument(help="KIND/NAME, KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")],
    dest: Annotated[
        str, typer.Argument(help="A file or folder; - for stdout; docker: for the engine; oci:FOLDER.")
    ] = "",
    store: Store = None,
    file: Annotated[str, typer.Option(help="Path of one file of a directory; only that is fetched.")] = "",
    unpack: Annotated[bool, typer.Option("--unpack", help="Unpack an artefact that is one tar.")] = False,
    same_owner: Annotated[
        bool | None,
        typer.Option("--same-owner/--no-same-owner", help="Give owners and set-user-id bits; as root: yes."),
    ] = None,
    referrers: Annotated[
        bool, typer.Option("--referrers/--no-referrers", help="To oci:FOLDER: with signatures, SBOMs and the like.")
    ] = True,
    seed: Annotated[Path | None, typer.Option(help="File or folder here that may hold the same bytes.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not say what is being done.")] = False,
    json: Json = False,
) -> None:
    """Get an artefact out, every byte checked, and print where it is.

    Without DEST a container image goes into the Docker engine, anything else into the working folder under its own
    file name; a directory is unpacked. Nothing that is there already is overwritten. A pull that was broken off leaves
    a .part file beside its target, with which the same pull goes on. Of an image for several platforms the engine gets
    its own; --json says which digest was asked for and which was stored. What goes to stdout is checked too, but by
    the time of exit code 8 it has been written: do not use it then.

    Exit codes: 0 done, or there already; 1 no space, or not allowed; 2 no such artefact, or bad input; 7 something else
    has that place or name; 8 damaged or unsafe, with nothing written; 9 the store or the engine does not answer.
    """
    from naust.listing import resolve
    from naust.transfer.pull_any import How
    from naust.transfer.pull_any import pull as pull_any
    from naust.transfer.push_blobs import silent

    source, address = opened(store, reference)
    report = silent if quiet or json or dest == "-" else console.reporter()
    how = How(file, unpack, same_owner, referrers, seed)
    done = pull_any(source, resolve(source, bare(address)), dest, how, report=report)
    if json and dest != "-":
        console.json_result(done)
    elif dest != "-":
        console.result(done.place)
