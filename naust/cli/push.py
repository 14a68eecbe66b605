"""naust push."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store
from common.errors import BadInput
from naust.cli.opened import opened
from naust.cli.opened import said as said_of

if TYPE_CHECKING:
    from common.model import Artifact, Digest
    from naust.address import Address
    from naust.manifest import Blob
    from naust.store.interface import Store as OpenStore


def push(
    source: Annotated[str, typer.Argument(help="A file, or docker:IMAGE.")],
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, such as vm/traefik:3.7.15.")],
    store: Store = None,
    revision: Annotated[str, typer.Option(help="Revision of the source that it was made from.")] = "",
    title: Annotated[str, typer.Option(help="File name to come out under, else the file's own.")] = "",
    annotation: Annotated[
        list[str] | None, typer.Option("--annotation", help="KEY=VALUE that the artefact says about itself.")
    ] = None,
    json: Json = False,
) -> None:
    """Store a file or an image of the Docker engine, and print its URI.

    naust adds the date of first publication to the version; the same content again keeps the name that it has.
    An image's reference is container/NAME:VERSION.

    Exit codes: 0 stored, or there already; 1 no space, or not allowed; 2 bad input; 8 the source is not what it says;
    9 the store or the engine does not answer; 130 interrupted, with nothing visible left.
    """
    from naust.address import parse, uri
    from naust.push import push_file
    from naust.show import describe

    target, address = opened(store, reference)
    said = said_of(annotation, revision)
    if source.startswith("docker:"):
        pushed = _push_image(target, source.removeprefix("docker:"), parse(reference), said)
    else:
        pushed = push_file(
            target, Path(source), address.reference, version=address.version, title=title, annotations=said
        )
    console.json_result(describe(target, pushed)) if json else console.result(uri(target.url, pushed))


def _push_image(store: OpenStore, image: str, address: Address, said: dict[str, str]) -> Artifact:
    from naust import engine
    from naust.listing import name_of
    from naust.manifest import Blob
    from naust.push import push_container

    if address.reference.kind != "container" or not address.version:
        raise BadInput(f"an image cannot be pushed as {address.reference}", resolution="Write container/NAME:VERSION.")
    name = name_of(address.reference)

    def known(digest: Digest) -> Blob | None:
        size = store.stat(name, digest)
        return None if size is None else Blob(digest, size)

    read = engine.save(image, lambda layer: Blob(*store.add(name, layer)), known=known)
    return push_container(store, read, name=address.reference.name, version=address.version, annotations=said)
