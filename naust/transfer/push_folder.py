"""A directory into a store: one tar, and an index of its files (naust.content.tree)."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from common.console import Report
from common.model import Artifact, Digest, Reference
from naust import manifest as oci
from naust.content.chunks import Method
from naust.content.tree_pack import Packed, fingerprint
from naust.manifest import Blob
from naust.push import Target, checked_title, file_target, publish
from naust.store.interface import Store
from naust.transfer import digests
from naust.transfer.delta import Cut
from naust.transfer.push_blobs import put, put_stream, silent

_BUFFER = 1 << 20  # bytes handed to the store at once


def push_folder(
    store: Store,
    folder: Path,
    reference: Reference,
    *,
    version: str = "",
    title: str = "",
    annotations: Mapping[str, str] | None = None,
    now: datetime | None = None,
    chunks: bool = True,
    report: Report = silent,
) -> Artifact:
    """Store a directory and give it a name. It is read once; a directory of which no file, name, owner or attribute
    has changed since it was pushed is not read at all, if the store still has it.

    Raises BadInput if it holds what artefacts of this kind may not (naust.content.tree_pack), for a container, or
    without a version; Error if a file changes while it is read.
    """
    target = file_target(str(folder), reference, version)
    whole = str(target.reference)
    plain = checked_title(f"{title or folder.resolve().name or 'root'}.tar", whole)
    with Packed(folder, reference.kind) as packed:
        cut = Cut(cast(BinaryIO, packed), Method.of(oci.TAR, 0) if chunks else None)
        tar, files = _remembered(store, target, folder) or _put(store, target, folder, packed, cut, report)
    said = oci.annotated(target.reference.kind, target.version, more=annotations)
    data = oci.folder_manifest(target.reference.kind, files, tar, plain, said)
    pushed = publish(store, target.reference, target.version, data, now, report)
    cut.offer(store, pushed, tar, report)
    return pushed


def _remembered(store: Store, target: Target, folder: Path) -> tuple[Blob, Blob] | None:
    """Tar and index of an unchanged directory that the store has."""
    value = digests.get(fingerprint(folder, target.reference.kind)[0])
    if value is None:
        return None
    tar = Blob(Digest("sha256", value[:32].hex()), _number(value[64:]), oci.TAR)
    size = store.stat(target.name, Digest("sha256", value[32:64].hex()))
    if size is None or store.stat(target.name, tar.digest) != tar.size:
        return None
    return tar, Blob(Digest("sha256", value[32:64].hex()), size, oci.FILES)


def _put(store: Store, target: Target, folder: Path, packed: Packed, cut: Cut, report: Report) -> tuple[Blob, Blob]:
    begun = time.time_ns()
    before, _ = fingerprint(folder, target.reference.kind)
    stream = io.BufferedReader(cut, _BUFFER)  # kept, because it closes what it reads from when it goes
    digest, size = put_stream(store, target.name, cast(BinaryIO, stream), report)
    tar = Blob(digest, size, oci.TAR)
    index, index_digest, index_size = packed.index
    files = Blob(index_digest, index_size, oci.FILES)
    put(store, target.name, files, cast(BinaryIO, index), report)
    after, last = fingerprint(folder, target.reference.kind)
    if before == after and last < begun - digests.SETTLED:
        digests.put(after, bytes.fromhex(digest.hex + index_digest.hex) + size.to_bytes(8, "little"))
    return tar, files


def _number(octets: bytes) -> int:
    return int.from_bytes(octets[:8], "little")
