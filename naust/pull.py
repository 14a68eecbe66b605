"""Artefacts out of a store: to a file, or to a stream. (Directories: naust.transfer.pull_folder; OCI layouts:
naust.transfer.pull_layout; into a Docker engine: naust.content.engine.) Every byte is checked before it gets the name
that was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from common.console import Report, amount
from common.errors import BadInput, Conflict, Corrupt
from common.model import Artifact, Event, Kind
from naust import manifest as oci
from naust.listing import name_of
from naust.manifest import Blob, Manifest
from naust.push import checked_title
from naust.revoke import check as check_revoked
from naust.store.incoming import explained
from naust.store.interface import Store
from naust.transfer import delta
from naust.transfer.digests import digest_of
from naust.transfer.partial import partial
from naust.transfer.pull_layout import pull_layout
from naust.transfer.pulled import Pulled
from naust.transfer.push_blobs import silent
from naust.transfer.verified import chunks

__all__ = ["Pulled", "get_file", "into_stream", "manifest_of", "pull_file", "pull_layout"]
_FOLDER_ADVICE = "Pull a container image to docker: or, as an OCI layout, to oci:FOLDER."


def pull_file(
    store: Store, artifact: Artifact, target: Path, *, seed: Path | None = None, report: Report = silent
) -> Path:
    """Write the artefact's file to `target`, or into it under the file's own name if it is a folder. Returns the path.

    As `get_file`, which says more of what it did.
    """
    return Path(get_file(store, artifact, target, seed=seed, report=report).place)


def get_file(
    store: Store, artifact: Artifact, target: Path, *, seed: Path | None = None, report: Report = silent
) -> Pulled:
    """Write the artefact's file to `target`, or into it under the file's own name if it is a folder.

    That the very file is there already is success. A pull that was broken off is gone on with where it was. `seed` is
    a file that may hold the same bytes, or some of them; else what was pulled of this name before is one
    (naust.transfer.delta).
    A disk image keeps its holes.
    Raises Conflict if another file is there; Corrupt, with nothing written, if bytes are not what they should be or the
    name would lead elsewhere; BadInput if it is not one file.
    """
    read = manifest_of(store, artifact)
    blob = only_file(artifact, read)
    whole = str(artifact.reference)
    path = target / checked_title(read.title, whole) if target.is_dir() else target
    done = Pulled(str(path), whole, artifact.digest, read.digest, reused=blob.size)
    if os.path.lexists(path):
        same(path, blob)
        return done
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {path.parent}", resolution="Make it, or name another place.")
    with explained(path.parent), partial(path, blob) as part:
        if os.path.lexists(path):  # who had the part until now has made it
            part.path.unlink()
            same(path, blob)
            return done
        report(Event("fetch", f"blob {blob.digest.short}", amount(blob.size)))
        moved, index = delta.bring(store, artifact, blob, part, sparse=_is_sparse(blob), seed=seed)
        try:
            part.become(path)
        except FileExistsError:
            same(path, blob)
        report(Event("fetched", str(path)))
    delta.pulled(artifact, path, index)
    return Pulled(str(path), whole, artifact.digest, read.digest, moved.fetched, moved.reused)


def into_stream(store: Store, artifact: Artifact, sink: BinaryIO) -> Pulled:
    """Write the artefact's file to a stream while it is checked. Raises Corrupt at the end if it was damaged: by then
    most of it has been written, and whoever reads must not use it."""
    read = manifest_of(store, artifact)
    blob = only_file(artifact, read)
    try:
        with chunks(store, name_of(artifact.reference), blob, str(artifact.reference)) as pieces:
            for piece in pieces:
                sink.write(piece)
    except Corrupt as error:
        raise Corrupt(
            error.message,
            details=error.details,
            resolution="What was written to the stream must not be used. Delete the blob in the store, then push or "
            "build the artefact again.",
        ) from error
    sink.flush()
    return Pulled("-", str(artifact.reference), artifact.digest, read.digest, blob.size)


def manifest_of(store: Store, artifact: Artifact) -> Manifest:
    """By its digest: what was resolved is what is pulled, even if a channel has moved since. Raises Corrupt if it is
    revoked, or was built from what is."""
    check_revoked(store, artifact)
    data = store.manifest(name_of(artifact.reference), str(artifact.digest))
    return oci.parse(data, str(artifact.reference))


def only_file(artifact: Artifact, read: Manifest) -> Blob:
    """The blob of what is one file. Raises BadInput for anything else."""
    if read.is_container or read.media_type in oci.INDEXES or artifact.reference.kind == Kind.CONTAINER:
        raise BadInput(f"{artifact.reference} is not one file", resolution=_FOLDER_ADVICE)
    if len(read.layers) != 1:
        raise BadInput(f"{artifact.reference} is {len(read.layers)} files", resolution="Pull it to oci:FOLDER.")
    return read.layers[0]


def same(path: Path, blob: Blob) -> None:
    """Raises Conflict unless the file at the path is the very blob."""
    if not path.is_symlink() and path.is_file() and path.stat().st_size == blob.size and digest_of(path) == blob.digest:
        return
    raise Conflict(f"{path} is there already and is something else", resolution="Move it away, or name another place.")


def _is_sparse(blob: Blob) -> bool:
    """Whether zeros may be holes: where nobody counts on their being allocated."""
    return blob.media_type in (*oci.DISKS, "application/octet-stream")
