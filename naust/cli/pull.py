"""naust pull."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Store
from naust.cli.opened import bare, opened


def pull(
    reference: Annotated[str, typer.Argument(help="KIND/NAME, KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")],
    dest: Annotated[str, typer.Argument(help="A file or folder; docker: for the engine; oci:FOLDER.")] = "",
    store: Store = None,
) -> None:
    """Get an artefact out, every byte checked, and print where it is.

    Without DEST a container image goes into the Docker engine, anything else into the working folder under its own
    file name. Nothing that is there already is overwritten.

    Exit codes: 0 done, or there already; 1 no space, or not allowed; 2 no such artefact, or bad input; 7 something else
    has that place or name; 8 damaged or unsafe, with nothing written; 9 the store or the engine does not answer.
    """
    from naust.listing import resolve
    from naust.pull import pull_file, pull_layout

    source, address = opened(store, reference)
    found = resolve(source, bare(address))
    if dest == "docker:" or (not dest and found.reference.kind == "container"):
        from naust import engine

        engine.load(source, found)
        console.result(engine.name_in_engine(found))
    elif dest.startswith("oci:"):
        console.result(str(pull_layout(source, found, Path(dest.removeprefix("oci:")))))
    else:
        console.result(str(pull_file(source, found, Path(dest or "."))))
