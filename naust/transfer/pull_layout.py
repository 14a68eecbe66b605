"""Artefacts out of a store as OCI image layouts (image specification 1.1, image-layout.md): all platforms, and what
refers to any of them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from common.console import Report
from common.errors import Conflict, Corrupt
from common.files import sync_folder
from common.model import Artifact, Digest, Event
from naust import manifest as oci
from naust.content.layout import COSIGN_IMAGES, COSIGN_KIND, REF_NAME
from naust.listing import name_of
from naust.manifest import Blob, Manifest
from naust.revoke import check as check_revoked
from naust.store.incoming import explained
from naust.store.interface import Store
from naust.transfer.parallel import each
from naust.transfer.pulled import Pulled
from naust.transfer.push_blobs import silent
from naust.transfer.verified import fetch

_DEEPEST = 8  # indexes within indexes


def pull_layout(
    store: Store, artifact: Artifact, folder: Path, *, referrers: bool = True, report: Report = silent
) -> Path:
    """As `get_layout`, which says more; returns the folder."""
    get_layout(store, artifact, folder, referrers=referrers, report=report)
    return folder


def get_layout(
    store: Store, artifact: Artifact, folder: Path, *, referrers: bool = True, report: Report = silent
) -> Pulled:
    """Write the artefact as an OCI image layout into a new folder; with `referrers`, also signatures, SBOMs and the
    like, which `index.json` then lists beside it, so that `cosign verify --local-image` finds them too. Every digest
    stays what it was.

    Raises Conflict if the folder holds anything; Corrupt, with nothing left, if a blob is damaged or the artefact is
    revoked.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise Conflict(f"{folder} is there already", resolution="Name a folder that is empty or still to be made.")
    with explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".naust-", dir=folder.parent))
        try:
            fetched = _Writing(store, artifact, work, report).run(referrers)
            work.chmod(0o755)
            work.rename(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return Pulled(str(folder), str(artifact.reference), artifact.digest, artifact.digest, fetched)


class _Writing:
    def __init__(self, store: Store, artifact: Artifact, work: Path, report: Report) -> None:
        self._store, self._artifact, self._work, self._report = store, artifact, work, report
        self._name, self._whole = name_of(artifact.reference), str(artifact.reference)
        self._manifests: dict[Digest, Manifest] = {}

    def run(self, referrers: bool) -> int:
        """Write all of it; how many bytes of blobs that were."""
        check_revoked(self._store, self._artifact)
        (self._work / "blobs" / "sha256").mkdir(parents=True)
        root = self._take(self._artifact.digest)
        attached = list(self._attached()) if referrers else []
        if attached:
            kind = COSIGN_IMAGES[bool(self._manifests[self._artifact.digest].children)]
            root["annotations"] = {**cast(dict[str, str], root.get("annotations", {})), COSIGN_KIND: kind}
        blobs = {blob.digest: blob for read in self._manifests.values() for blob in (read.config, *read.layers) if blob}
        each(self._bring, blobs.values())
        index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [root, *attached]}
        (self._work / "index.json").write_text(json.dumps(index, indent=2) + "\n")
        (self._work / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}\n')
        return sum(blob.size for blob in blobs.values())

    def _take(self, digest: Digest, depth: int = 0) -> dict[str, object]:
        """Write a manifest and all that it names as children; its descriptor, with the tag if it is the artefact."""
        data = self._store.manifest(self._name, str(digest))
        read = self._manifests[digest] = oci.parse(data, f"{self._whole}@{digest}")
        if depth > _DEEPEST:
            raise Corrupt(f"{self._whole} has indexes without end", resolution="Push it again.")
        self._path(digest).write_bytes(data)
        for child in read.children:
            if child.digest not in self._manifests:
                self._take(child.digest, depth + 1)
        said = Blob(digest, len(data), read.media_type).described()
        if digest == self._artifact.digest and self._artifact.reference.tag:
            said["annotations"] = {REF_NAME: self._artifact.reference.tag}
        return said | ({"artifactType": read.artifact_type} if read.subject and read.artifact_type else {})

    def _attached(self) -> Iterator[dict[str, object]]:
        waiting = list(self._manifests)
        while waiting:
            for found in self._store.referrers(self._name, waiting.pop()):
                if found.digest not in self._manifests:
                    before = set(self._manifests)
                    yield self._take(found.digest)
                    waiting += set(self._manifests) - before

    def _bring(self, blob: Blob) -> None:
        self._report(Event("fetch", f"blob {blob.digest.short}"))
        descriptor = os.open(self._path(blob.digest), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fetch(self._store, self._name, blob, descriptor, self._whole)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _path(self, digest: Digest) -> Path:
        folder = self._work / "blobs" / digest.algorithm
        folder.mkdir(exist_ok=True)
        return folder / digest.hex
