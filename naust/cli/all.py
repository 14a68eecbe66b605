"""The command line of naust: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Verb
from common.errors import BadInput, Corrupt, NotFound, Partial

if TYPE_CHECKING:
    from common.model import Artifact, Digest, Kind
    from naust.address import Address
    from naust.manifest import Blob
    from naust.store.interface import Store as OpenStore

SUMMARY = "keeps artefacts: whole, named, dated and checked"
Text = Annotated[list[str] | None, typer.Option("--annotation", help="KEY=VALUE that the artefact says about itself.")]


def push(
    source: Annotated[str, typer.Argument(help="A file, or docker:IMAGE.")],
    reference: Annotated[str, typer.Argument(help="KIND/NAME:VERSION, such as vm/traefik:3.7.15.")],
    store: Store = None,
    revision: Annotated[str, typer.Option(help="Revision of the source that it was made from.")] = "",
    title: Annotated[str, typer.Option(help="File name to come out under, else the file's own.")] = "",
    annotation: Text = None,
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

    opened, address = _opened(store, reference)
    said = _annotations(annotation, revision)
    if source.startswith("docker:"):
        pushed = _push_image(opened, source.removeprefix("docker:"), parse(reference), said)
    else:
        pushed = push_file(
            opened, Path(source), address.reference, version=address.version, title=title, annotations=said
        )
    console.json_result(describe(opened, pushed)) if json else console.result(uri(opened.url, pushed))


def _push_image(store: OpenStore, image: str, address: Address, said: dict[str, str]) -> Artifact:
    from naust.content import engine
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

    opened, address = _opened(store, reference)
    found = resolve(opened, _bare(reference, address))
    if dest == "docker:" or (not dest and found.reference.kind == "container"):
        from naust.content import engine

        engine.load(opened, found)
        console.result(engine.name_in_engine(found))
    elif dest.startswith("oci:"):
        console.result(str(pull_layout(opened, found, Path(dest.removeprefix("oci:")))))
    else:
        console.result(str(pull_file(opened, found, Path(dest or "."))))


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

    opened = open_store(store)
    damaged: list[Corrupt] = []
    found = matching(artifacts(opened, _kind(kind), name or None, damaged=damaged.append), pattern)
    if json:
        console.json_result([describe(opened, each) for each in found])
    else:
        console.table(("artefact", "version", "published", "size", "digest"), [_row(each) for each in found])
    if damaged:
        raise Partial(
            f"{len(damaged)} artefacts of {opened.url} cannot be read",
            details="\n".join(error.message for error in damaged),
            resolution="Push or build them again.",
        )


def show(
    reference: Annotated[str, typer.Argument(help="KIND/NAME, KIND/NAME:VERSION, KIND/NAME@sha256:…, or a URI.")],
    store: Store = None,
    json: Json = False,
) -> None:
    """Show one artefact: URI, kind, name, version, dates, digest, size, source revision, inputs, blobs.

    Exit codes: 0 shown; 2 no such artefact, or bad input; 8 its manifest is damaged; 9 the store does not answer.
    """
    from naust.show import rows
    from naust.show import show as described

    opened, address = _opened(store, reference)
    found = described(opened, _bare(reference, address))
    console.json_result(found) if json else console.table(("", ""), rows(found))


VERBS: dict[str, Verb] = {"push": push, "pull": pull, "list": list_, "show": show}


def _opened(store: str | None, reference: str) -> tuple[OpenStore, Address]:
    """The store and what is meant in it; a URI names both."""
    from naust.address import parse
    from naust.store import open_store

    address = parse(reference)
    opened = open_store(address.store or store)
    if address.store and store and open_store(store).url != opened.url:
        raise BadInput(f"{reference} is not in {store}", resolution="Leave out --store: the URI names its store.")
    return opened, address


def _bare(reference: str, address: Address) -> str:
    """What is meant, without the store."""
    return f"{address.reference}{f'@{address.digest}' if address.digest else ''}"


def _annotations(texts: list[str] | None, revision: str) -> dict[str, str]:
    from naust.manifest import REVISION

    said = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key or key.startswith("naust.") or not text.isprintable():
            raise BadInput(f"{text!r} is no annotation", resolution="Write KEY=VALUE; keys in naust.* are naust's own.")
        said[key] = value
    return said | ({REVISION: revision} if revision else {})


def _kind(text: str) -> Kind | None:
    from common.model import Kind

    if text and text not in set(Kind):
        raise NotFound(f"there is no kind {text!r}", resolution=f"Kinds are {', '.join(Kind)}.")
    return Kind(text) if text else None


def _row(artifact: Artifact) -> tuple[str, ...]:
    reference = str(artifact.reference)
    published = artifact.created.strftime("%Y-%m-%d %H:%M:%S")
    return reference, artifact.version, published, console.amount(artifact.size), artifact.digest.short
