"""What `naust push` takes: a file, a directory, `-`, `docker:IMAGE`, `oci:FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from common.console import Report
from common.errors import BadInput
from common.model import Artifact, Digest, Kind
from naust.address import Address
from naust.listing import name_of
from naust.manifest import Blob
from naust.push import push_container, push_file, push_stream
from naust.store.interface import Store
from naust.transfer.push_blobs import silent


class _More(TypedDict):
    version: str
    title: str
    annotations: Mapping[str, str] | None
    report: Report


def push(
    store: Store,
    source: str,
    address: Address,
    *,
    title: str = "",
    annotations: Mapping[str, str] | None = None,
    chunks: bool = True,
    report: Report = silent,
) -> Artifact:
    """Store what `source` names under the address. Raises BadInput for what cannot be pushed under it, and as the
    function for that kind of source does."""
    reference, version = address.reference, address.version
    if source.startswith("docker:"):
        return _push_image(store, source.removeprefix("docker:"), address, annotations or {}, report)
    if source.startswith("oci:"):
        from naust.transfer.push_layout import push_layout

        if annotations or title:
            raise BadInput("an OCI layout is stored as it is", resolution="Leave out title, revision and annotations.")
        return push_layout(store, source.removeprefix("oci:"), reference, version=version, report=report)
    more = _More(version=version, title=title, annotations=annotations, report=report)
    if source == "-":
        return push_stream(store, sys.stdin.buffer, reference, chunks=chunks, **more)
    if Path(source).is_dir():
        from naust.transfer.push_folder import push_folder

        return push_folder(store, Path(source), reference, chunks=chunks, **more)
    return push_file(store, Path(source), reference, chunks=chunks, **more)


def _push_image(store: Store, image: str, address: Address, said: Mapping[str, str], report: Report) -> Artifact:
    from naust.content import engine

    if address.reference.kind != Kind.CONTAINER or not address.version:
        raise BadInput(f"an image cannot be pushed as {address.reference}", resolution="Write container/NAME:VERSION.")
    name = name_of(address.reference)

    def known(digest: Digest) -> Blob | None:
        size = store.stat(name, digest)
        return None if size is None else Blob(digest, size)

    read = engine.save(image, lambda layer: Blob(*store.add(name, layer)), known=known)
    return push_container(
        store, read, name=address.reference.name, version=address.version, annotations=said, report=report
    )
