"""Artefacts into a store: blobs first, the manifest under its name last, so that a reader sees all of it or nothing.

Here: container images, files, streams, and the name that all artefacts get. Directories: naust.transfer.push_folder;
OCI layouts: naust.transfer.push_layout.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from common.console import Report
from common.errors import BadInput, Conflict, Corrupt
from common.model import Artifact, Digest, Event, Kind, Reference
from naust import manifest as oci
from naust.listing import name_of
from naust.manifest import Blob, ContainerImage
from naust.store.interface import Store
from naust.transfer.push_blobs import opened, put_all, put_bytes, put_file, put_stream, silent
from naust.version import legal, split, tag

if TYPE_CHECKING:
    from naust.transfer.delta import Ahead

# Called when all of an artefact can be read by its digest, and before it gets a name; if it raises, there is no name.
Before = Callable[[Artifact], None]
_TRIES = 60  # seconds by which a date of publication may move forward when others publish the same version
_BEGIN = 32  # bytes of a file that tell its type


@dataclass(frozen=True, slots=True)
class Target:
    """The name that something is to get, without the date. `version` is the exact one."""

    reference: Reference
    version: str

    @classmethod
    def of(cls, reference: Reference, version: str = "") -> Target:
        """Checks name and version before a byte moves. Raises BadInput."""
        exact = version or reference.tag
        if not exact:
            raise BadInput(f"{reference} has no version", resolution="Write KIND/NAME:VERSION.")
        tag(exact, datetime.now(UTC))
        return cls(Reference.parse(f"{reference.kind}/{reference.name}"), exact)

    @property
    def name(self) -> str:
        """`kind/name`, as stores know it."""
        return name_of(self.reference)


def push_container(
    store: Store,
    image: ContainerImage,
    *,
    name: str,
    version: str,
    annotations: Mapping[str, str] | None = None,
    made_from: Digest | None = None,
    now: datetime | None = None,
    report: Report = silent,
    before: Before | None = None,
) -> Artifact:
    """Store a container image and give it a name: `container/NAME:VERSION-DATE`. Only blobs that are not there are
    written. The same image with the same annotations, pushed again, keeps the name that it got first. `before` is
    called before the name is given.

    Raises Corrupt if a layer is not what its digest says, or not what the configuration says; NotFound if a layer has
    neither a path nor a place in the store; BadInput for an impossible name or version.
    """
    target = Target.of(Reference.parse(f"{Kind.CONTAINER}/{name}"), version)
    _check_layers(image, str(target.reference))
    put_all(store, target.name, image.layers, report)
    put_bytes(store, target.name, image.config, oci.CONFIG, report)
    said = oci.annotated(
        Kind.CONTAINER,
        version,
        created=oci.created(image.config),
        made_from=made_from,
        more={**(annotations or {}), oci.IMAGE_ID: str(image.id)},
    )
    return publish(store, target.reference, version, oci.container_manifest(image, said), now, report, before)


def push_file(
    store: Store,
    path: Path,
    reference: Reference,
    *,
    version: str = "",
    title: str = "",
    annotations: Mapping[str, str] | None = None,
    made_from: Digest | None = None,
    now: datetime | None = None,
    chunks: bool = True,
    report: Report = silent,
    before: Before | None = None,
) -> Artifact:
    """Store one file and give it a name. `version` is the exact one, where the reference's tag is only the
    legal form of it; `title` the file name to come out under, else its own. A file that has not changed since it was
    pushed last is not read (naust.transfer.digests). With `chunks` a large one gets an index, so that a pull of the
    next version need fetch only what changed (naust.transfer.delta). `before` is called before the name is given.

    Raises BadInput if there is no such file, for a container, or without a version.
    """
    target = file_target(str(path), reference, version)
    plain = checked_title(title or path.name, str(target.reference))
    with opened(path) as source:
        media_type = oci.file_type(plain, _begin(source))
        ahead = _ahead(path, media_type, os.fstat(source.fileno()).st_size) if chunks else None
        digest, size = put_file(store, target.name, source, report)
    blob = Blob(digest, size, media_type)
    pushed = _publish_file(store, target, blob, plain, annotations, made_from, now, report, before)
    if ahead is not None:
        ahead.offer(store, pushed, blob, report)
    return pushed


def push_stream(
    store: Store,
    source: BinaryIO,
    reference: Reference,
    *,
    version: str = "",
    title: str = "",
    annotations: Mapping[str, str] | None = None,
    now: datetime | None = None,
    chunks: bool = True,
    report: Report = silent,
) -> Artifact:
    """Store what comes, hashed while it is sent, as one file; without a title it is called as the artefact is.

    Raises BadInput for a container, or without a version.
    """
    from naust.content.chunks import Method
    from naust.transfer.delta import Cut

    target = file_target("a stream", reference, version)
    plain = checked_title(title or reference.name, str(target.reference))
    cut = Cut(source, Method.of(oci.file_type(plain), 0) if chunks else None)
    digest, size = put_stream(store, target.name, cast(BinaryIO, cut), report)
    blob = Blob(digest, size, oci.file_type(plain))
    pushed = _publish_file(store, target, blob, plain, annotations, None, now, report)
    cut.offer(store, pushed, blob, report)
    return pushed


def file_target(source: str, reference: Reference, version: str) -> Target:
    """The name for what is no container. Raises BadInput."""
    if not (version or reference.tag) or reference.kind == Kind.CONTAINER:
        raise BadInput(
            f"{source} cannot be pushed as {reference}",
            resolution="Write KIND/NAME:VERSION; an image comes out of a Docker engine, as docker:IMAGE, or out of an "
            "OCI layout, as oci:FOLDER.",
        )
    return Target.of(reference, version)


def publish(
    store: Store,
    reference: Reference,
    version: str,
    manifest: bytes,
    now: datetime | None = None,
    report: Report = silent,
    before: Before | None = None,
) -> Artifact:
    """Give a manifest, whose blobs are in the store, the name `kind/name:version-date`, or find the one that it has.
    `before` gets the artefact, without a tag, when it can be read by its digest and before it has a name.

    Two who publish the same at once get the same name where the store can hold others out (`traits().holds`), else
    perhaps two names. Raises NotFound if a blob is missing; Conflict if every name for a minute is taken.
    """
    name = name_of(reference)
    oci.parse(manifest, str(reference))
    if before is not None:
        store.put_manifest(name, str(Digest.of(manifest)), manifest)
        before(oci.artifact(name, "", manifest))
    report(Event("name", name, version))
    with store.hold(name):
        found = _named(store, name, version, manifest)
        if found is None:
            found = _put(store, name, version, manifest, (now or datetime.now(UTC)).replace(microsecond=0))
    report(Event("named", f"{name}:{found}"))
    return oci.artifact(name, found, manifest)


def _named(store: Store, name: str, version: str, manifest: bytes) -> str | None:
    """The newest name of this version that stands for this very manifest."""
    plain = legal(version)
    for each in sorted(store.tags(name), reverse=True):
        if (split(each) or ("",))[0] == plain:
            try:
                if store.manifest(name, each) == manifest:
                    store.put_manifest(name, each, manifest)  # renews the age of all that it consists of
                    return each
            except Corrupt:
                continue
    return None


def _put(store: Store, name: str, version: str, manifest: bytes, moment: datetime) -> str:
    for later in range(_TRIES):
        wanted = tag(version, moment + timedelta(seconds=later))
        try:
            store.put_manifest(name, wanted, manifest)
            return wanted
        except Conflict:
            # Another content of this version was published within the same second: ours comes after it.
            continue
    raise Conflict(f"{name} is published by others without a pause", resolution="Run the command again.")


def checked_title(title: str, whole: str) -> str:
    """The title, if it is a plain file name: whoever pulls must not be led elsewhere (case NA-10). Raises Corrupt."""
    printable = title.isprintable() and title.strip() == title
    drive = len(title) > 1 and title[1] == ":"  # a path on Windows
    if not title or title in (".", "..") or set(title) & set("/\\") or drive or not printable or len(title) > 200:
        raise Corrupt(
            f"{whole} has the unsafe file name {title!r}", resolution="Nothing was written. Name the file yourself."
        )
    return title


def _ahead(path: Path, media_type: str, size: int) -> Ahead:
    from naust.transfer.delta import Ahead  # here: that an unchanged file is pushed at once is a promise

    return Ahead(path, media_type, size)


def _publish_file(
    store: Store,
    target: Target,
    blob: Blob,
    title: str,
    annotations: Mapping[str, str] | None,
    made_from: Digest | None,
    now: datetime | None,
    report: Report,
    before: Before | None = None,
) -> Artifact:
    put_bytes(store, target.name, oci.EMPTY_CONFIG, oci.EMPTY, report)
    said = oci.annotated(target.reference.kind, target.version, made_from=made_from, more=annotations)
    data = oci.file_manifest(target.reference.kind, blob, title, said)
    return publish(store, target.reference, target.version, data, now, report, before)


def _begin(source: io.FileIO) -> bytes:
    """The first bytes of a file that can be read again."""
    try:
        return os.pread(source.fileno(), _BEGIN, 0)
    except OSError:  # a pipe
        return b""


def _check_layers(image: ContainerImage, whole: str) -> None:
    """Uncompressed layers must be those that the configuration names; of others only the number can be told."""
    stated = oci.diff_ids(image.config, whole)
    plain = [each for each in zip(stated, image.layers, strict=False) if each[1].media_type in oci.PLAIN_LAYERS]
    if len(stated) != len(image.layers) or any(digest != layer.digest for digest, layer in plain):
        raise Corrupt(
            f"the configuration of {whole} names other layers than it comes with",
            details=f"{len(stated)} are named, {len(image.layers)} came, bottom first.",
            resolution="Make the image anew.",
        )
