"""Small documents that go with an artefact: manifests that name it as subject, each with one blob.

OCI image specification 1.1, manifest.md, "Guidelines for artifact usage"; distribution specification 1.1, "Listing
referrers".
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from common.errors import Corrupt, NotFound
from common.model import Digest
from naust import manifest as oci
from naust.manifest import Blob
from naust.store.interface import Store
from naust.transfer.verified import content
from naust.untrusted import LARGEST

MOST = 500  # documents of one artefact that are looked at
Wanted = Callable[[str], bool]  # of an artifact type
Fitting = Callable[[oci.Manifest], bool]  # of the manifest that attaches


def _all(manifest: oci.Manifest) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Attached:
    """A document, the manifest that attaches it, and that manifest's digest."""

    digest: Digest
    manifest: bytes
    media_type: str
    data: bytes


def attach(
    store: Store,
    name: str,
    subject: Digest,
    document: bytes,
    *,
    media_type: str,
    artifact_type: str,
    annotations: Mapping[str, str] | None = None,
) -> Digest:
    """Attach a document to the manifest `subject` of `name`; twice is once. Returns the digest of the manifest that
    does. Raises NotFound if there is no such subject."""
    about = store.manifest(name, str(subject))
    for data in (document, oci.EMPTY_CONFIG):
        store.write(name, Digest.of(data), len(data), io.BytesIO(data))
    manifest = oci.encode(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "artifactType": artifact_type,
            "config": Blob(Digest.of(oci.EMPTY_CONFIG), len(oci.EMPTY_CONFIG), oci.EMPTY).described(),
            "layers": [Blob(Digest.of(document), len(document), media_type).described()],
            "subject": Blob(subject, len(about), oci.parse(about, name).media_type).described(),
            "annotations": dict(annotations or {}),
        }
    )
    return store.put_manifest(name, str(Digest.of(manifest)), manifest)


def attached(
    store: Store,
    name: str,
    subject: Digest,
    wanted: Wanted,
    *,
    fitting: Fitting = _all,
    damaged: Callable[[Corrupt], None] = lambda error: None,
) -> Iterator[Attached]:
    """The documents whose artifact type is wanted and whose manifest is fitting. `damaged` is told of each that cannot
    be read.

    Raises Corrupt if there are more than a person would attach, because then some would have to be left out.
    """
    for count, each in enumerate(store.referrers(name, subject)):
        if count >= MOST:
            raise Corrupt(
                f"more than {MOST} documents are attached to {name}@{subject}",
                resolution="Somebody floods it. Take away what does not belong there.",
            )
        if wanted(each.artifact_type):
            try:
                found = _read(store, name, subject, each.digest, fitting)
            except (Corrupt, NotFound) as error:
                damaged(Corrupt(error.message, details=error.details, resolution=error.resolution))
                continue
            if found is not None:
                yield found


def _read(store: Store, name: str, subject: Digest, digest: Digest, fitting: Fitting) -> Attached | None:
    whole = f"{name}@{digest}"
    manifest = store.manifest(name, str(digest))
    read = oci.parse(manifest, whole)
    if not fitting(read):
        return None
    if read.subject != subject or len(read.layers) != 1 or read.layers[0].size > LARGEST:
        raise Corrupt(
            f"{whole} attaches nothing to {subject}",
            details=f"It has {len(read.layers)} layers and is about {read.subject}.",
            resolution="Take it away.",
        )
    blob = read.layers[0]
    return Attached(digest, manifest, blob.media_type, content(store, name, blob, whole))
