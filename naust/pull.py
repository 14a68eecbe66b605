"""Artefacts out of a store: to a file, or as an OCI layout. (Into a Docker engine: naust.engine.) Every byte is checked
before it gets the name that was asked for."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from common.errors import BadInput, Conflict
from common.files import file_digest
from common.model import Artifact, Kind
from naust import manifest as oci
from naust.listing import name_of
from naust.manifest import Blob, Manifest
from naust.push import checked_title
from naust.store.incoming import explained, incoming
from naust.store.interface import Store
from naust.verified import chunks


def pull_file(store: Store, artifact: Artifact, target: Path) -> Path:
    """Write the artefact's file to `target`, or into it under the file's own name if it is a folder. Returns the path.

    That the very file is there already is success. Raises Conflict if another file is there; Corrupt, with nothing
    written, if bytes are not what they should be or the name would lead elsewhere; BadInput if it is not one file.
    """
    read = _manifest(store, artifact)
    if artifact.reference.kind == Kind.CONTAINER or len(read.layers) != 1:
        raise BadInput(
            f"{artifact.reference} is not one file",
            resolution="Pull a container image to docker: or, as an OCI layout, to oci:FOLDER.",
        )
    blob = read.layers[0]
    path = target / checked_title(read.title, str(artifact.reference)) if target.is_dir() else target
    if path.exists():
        return _same(path, blob)
    with explained(path.parent), incoming(path.parent, prefix=".naust-", mode=0o666) as file:
        for piece in _pieces(store, artifact, blob):
            file.file.write(piece)
        try:
            file.become_new(path)
        except FileExistsError:
            return _same(path, blob)
    return path


def pull_layout(store: Store, artifact: Artifact, folder: Path) -> Path:
    """Write the artefact as an OCI image layout (image specification 1.1, image-layout.md) into a new folder.

    Raises Conflict if the folder holds anything; Corrupt, with nothing left, if a blob is damaged.
    """
    read = _manifest(store, artifact)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is there already", resolution="Name a folder that is empty or still to be made.")
    with explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".naust-", dir=folder.parent))
        try:
            _layout(store, artifact, read, work)
            work.chmod(0o755)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _layout(store: Store, artifact: Artifact, read: Manifest, work: Path) -> None:
    blobs = work / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifest = store.manifest(name_of(artifact.reference), str(artifact.digest))
    (blobs / artifact.digest.hex).write_bytes(manifest)
    for blob in read.blobs:
        with (blobs / blob.digest.hex).open("xb") as file:
            file.writelines(_pieces(store, artifact, blob))
    entry = Blob(artifact.digest, len(manifest), oci.MANIFEST).described()
    entry["annotations"] = {"org.opencontainers.image.ref.name": artifact.reference.tag}
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]}
    (work / "index.json").write_text(json.dumps(index, indent=2) + "\n")
    (work / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')


def _manifest(store: Store, artifact: Artifact) -> Manifest:
    # By its digest: what was resolved is what is pulled, even if a channel has moved since.
    data = store.manifest(name_of(artifact.reference), str(artifact.digest))
    return oci.parse(data, str(artifact.reference))


def _pieces(store: Store, artifact: Artifact, blob: Blob) -> Iterator[bytes]:
    with chunks(store, name_of(artifact.reference), blob, str(artifact.reference)) as pieces:
        yield from pieces


def _same(path: Path, blob: Blob) -> Path:
    if path.is_file() and path.stat().st_size == blob.size and file_digest(path) == blob.digest:
        return path
    raise Conflict(f"{path} is there already and is something else", resolution="Move it away, or name another place.")
