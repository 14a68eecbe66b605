"""Cells as tags of a naust store: `deployment/SYSTEM.TARGET.INSTANCE.state:lease`. What a swap replaced is garbage that
`naust gc` frees."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from common.errors import BadInput, NotFound
from common.model import Digest, Kind
from seter.keep.interface import NOTHING, Cell, Cells

if TYPE_CHECKING:
    from naust.store.interface import Store

MEDIA_TYPE = "application/vnd.seter.cell.v1"


class StoreCells(Cells):
    """Each cell is a manifest with one blob; its version is the manifest's digest."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = refuse_weak(store)
        self._name = name

    def read(self, name: str) -> Cell:
        from naust.manifest import parse
        from naust.transfer.verified import content

        whole = f"{self._name}:{name}"
        try:
            manifest = self._store.manifest(self._name, name)
        except NotFound:
            return NOTHING
        (blob,) = parse(manifest, whole).layers
        return Cell(content(self._store, self._name, blob, whole), str(Digest.of(manifest)))

    def swap(self, name: str, data: bytes, expected: str) -> str:
        from naust import manifest as oci

        blob = oci.Blob(Digest.of(data), len(data), MEDIA_TYPE)
        for content in (data, oci.EMPTY_CONFIG):
            self._store.write(self._name, Digest.of(content), len(content), io.BytesIO(content))
        manifest = oci.file_manifest(Kind.DEPLOYMENT, blob, name, oci.annotated(Kind.DEPLOYMENT, name))
        replacing = Digest.parse(expected) if expected else None
        return str(self._store.put_manifest(self._name, name, manifest, replacing=replacing))

    def remove(self, name: str) -> None:
        self._store.delete_tag(self._name, name)


def refuse_weak(store: Store) -> Store:
    """The store, if it can compare and swap. Raises BadInput: in another, two operators could both believe that they
    have the lease."""
    if not store.traits().compare_and_swap:
        raise BadInput(
            f"{store.url} cannot hold a deployment's state: it cannot compare and swap",
            details="Two operators could both believe that they hold the lease.",
            resolution="Use a folder, an https:// store of `naust serve` or an s3:// bucket for --state; artefacts may "
            "stay where they are.",
        )
    return store
