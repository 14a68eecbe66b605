"""Bytes out of a store, checked against their digest while they are read. Whoever reads to the end has the truth;
whoever acts on the bytes before the end must be able to take that back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from common.errors import Corrupt, NotFound
from common.files import CHUNK
from naust.manifest import Blob
from naust.store.interface import Store


@contextmanager
def chunks(store: Store, name: str, blob: Blob, whole: str) -> Iterator[Iterator[bytes]]:
    """The blob in pieces of at most 1 MiB. `whole` names the artefact in errors.

    The last step raises Corrupt if the bytes were not those of the blob; opening raises it if there is no such blob,
    because an artefact without one of its blobs is a damaged one.
    """
    try:
        opened = store.read(name, blob.digest)
        with opened as source:
            yield _checked(source, store, blob, whole)
    except NotFound as error:
        raise _damaged(store, blob, whole, "It is not there.") from error


def content(store: Store, name: str, blob: Blob, whole: str) -> bytes:
    """A small blob as bytes, checked. Raises Corrupt."""
    with chunks(store, name, blob, whole) as pieces:
        return b"".join(pieces)


def _checked(source: BinaryIO, store: Store, blob: Blob, whole: str) -> Iterator[bytes]:
    total, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > blob.size:
            raise _damaged(store, blob, whole, f"It has more than {blob.size} bytes.")
        total.update(chunk)
        yield chunk
    if (size, total.hexdigest()) != (blob.size, blob.digest.hex):
        raise _damaged(store, blob, whole, f"Its {size} bytes have sha256:{total.hexdigest()}.")


def _damaged(store: Store, blob: Blob, whole: str, details: str) -> Corrupt:
    return Corrupt(
        f"blob {blob.digest} of {whole} in {store.url} is damaged",
        details=details,
        resolution="Nothing was made of it. Delete the blob, then push or build the artefact again: only what is "
        "missing is written. Other artefacts may share it.",
    )
