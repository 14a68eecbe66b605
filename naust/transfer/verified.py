"""Bytes out of a store, checked against their digest while they are read. Whoever reads to the end has the truth;
whoever acts on the bytes before the end must be able to take that back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from common.errors import Corrupt, NotFound
from common.files import CHUNK
from naust.manifest import Blob
from naust.store.interface import Store

if TYPE_CHECKING:
    from hashlib import _Hash

PART = 16 << 20  # bytes that one of many streams asks for at once
Mark = Callable[[int], None]


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
        raise damaged(store, blob, whole, "It is not there.") from error


def content(store: Store, name: str, blob: Blob, whole: str) -> bytes:
    """A small blob as bytes, checked. Raises Corrupt."""
    with chunks(store, name, blob, whole) as pieces:
        return b"".join(pieces)


def fetch(
    store: Store,
    name: str,
    blob: Blob,
    file: int,
    whole: str,
    *,
    have: int = 0,
    sparse: bool = False,
    mark: Mark | None = None,
) -> int:
    """Write the blob into the file of this descriptor, from offset 0, checked; returns how many bytes were read from
    the store. The fast path of everything that wants a blob in a file: hashing runs beside reading and writing, large
    blobs come in several parts at once where that helps, memory is constant (at most 20 MiB).

    The first `have` bytes are in the file already; they are hashed again. With `sparse`, runs of zeros become holes.
    `mark` is told now and then how many bytes from the beginning are in the file.
    Raises Corrupt if the blob is damaged: then the file holds rubbish, which is the caller's to throw away.
    """
    from naust.transfer.streams import Transfer

    transfer = Transfer(store, name, blob, file, sparse=sparse, mark=mark or (lambda count: None))
    try:
        total = transfer.run(have, _streams(store, blob.size - have))
    except NotFound as error:
        raise damaged(store, blob, whole, "It is not there.") from error
    size = os.fstat(file).st_size
    if (size, total.hexdigest()) != (blob.size, blob.digest.hex):
        raise damaged(store, blob, whole, f"Its {size} bytes have {blob.digest.algorithm}:{total.hexdigest()}.")
    return blob.size - have


def new_hash(blob: Blob) -> _Hash:
    """A hash of the blob's algorithm, with nothing in it."""
    return hashlib.new(blob.digest.algorithm)


def _streams(store: Store, size: int) -> int:
    """How many parts to read at once, at most."""
    return max(1, min(store.traits().streams, -(-size // PART), 16))


def _checked(source: BinaryIO, store: Store, blob: Blob, whole: str) -> Iterator[bytes]:
    total, size = new_hash(blob), 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > blob.size:
            raise damaged(store, blob, whole, f"It has more than {blob.size} bytes.")
        total.update(chunk)
        yield chunk
    if (size, total.hexdigest()) != (blob.size, blob.digest.hex):
        raise damaged(store, blob, whole, f"Its {size} bytes have {blob.digest.algorithm}:{total.hexdigest()}.")


def damaged(store: Store, blob: Blob, whole: str, details: str) -> Corrupt:
    """The error for a blob that is not what its digest says, or not there."""
    return Corrupt(
        f"blob {blob.digest} of {whole} in {store.url} is damaged",
        details=details,
        resolution="Nothing was made of it. Delete the blob, then push or build the artefact again: only what is "
        "missing is written. Other artefacts may share it.",
    )
