"""Artefacts into a store: blobs first, the manifest under its name last, so that a reader sees all of it or nothing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.errors import BadInput, Conflict, Corrupt
from common.model import Artifact, Digest, Kind, Reference
from naust import manifest as oci
from naust.listing import artifacts, name_of
from naust.manifest import Blob, ContainerImage
from naust.store.interface import Store
from naust.version import tag

_TRIES = 60  # seconds by which a date of publication may move forward when others publish the same version


def push_container(
    store: Store,
    image: ContainerImage,
    *,
    name: str,
    version: str,
    annotations: Mapping[str, str] | None = None,
    made_from: Digest | None = None,
    now: datetime | None = None,
) -> Artifact:
    """Store a container image and give it a name: `container/NAME:VERSION-DATE`. Only blobs that are not there are
    written. The same image with the same annotations, pushed again, keeps the name that it got first.

    Raises Corrupt if a layer is not what its digest says, or not what the configuration says; NotFound if a layer has
    neither a path nor a place in the store; BadInput for an impossible name or version.
    """
    reference = _reference(Kind.CONTAINER, name, version)
    _check_layers(image, str(reference))
    for layer in image.layers:
        _write(store, name_of(reference), layer)
    config = Blob(image.id, len(image.config), oci.CONFIG)
    store.write(name_of(reference), config.digest, config.size, io.BytesIO(image.config))
    said = oci.annotated(
        Kind.CONTAINER,
        version,
        created=oci.created(image.config),
        made_from=made_from,
        more={**(annotations or {}), oci.IMAGE_ID: str(image.id)},
    )
    return publish(store, reference, version, oci.container_manifest(image, said), now)


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
) -> Artifact:
    """Store one file, read once, and give it a name. `version` is the exact one, where the reference's tag is only the
    legal form of it; `title` the file name to come out under, else its own.

    Raises NotFound if there is no such file; BadInput for a container, or without a version.
    """
    exact = version or reference.tag
    if not exact or reference.kind == Kind.CONTAINER:
        raise BadInput(
            f"{path} cannot be pushed as {reference}",
            resolution="Write KIND/NAME:VERSION; an image comes out of a Docker engine, as docker:IMAGE.",
        )
    target = _reference(reference.kind, reference.name, exact)
    name, plain = name_of(target), checked_title(title or path.name, str(target))
    with _opened(path) as source:
        digest, size = store.add(name, source)
    store.write(name, Digest.of(oci.EMPTY_CONFIG), len(oci.EMPTY_CONFIG), io.BytesIO(oci.EMPTY_CONFIG))
    said = oci.annotated(target.kind, exact, made_from=made_from, more=annotations)
    data = oci.file_manifest(target.kind, Blob(digest, size, oci.file_type(plain)), plain, said)
    return publish(store, target, exact, data, now)


def publish(store: Store, reference: Reference, version: str, manifest: bytes, now: datetime | None = None) -> Artifact:
    """Give a manifest, whose blobs are in the store, the name `kind/name:version-date`, or find the one that it has.

    Two who publish the same at once get the same name where the store can hold others out (`traits().holds`), else
    perhaps two names. Raises NotFound if a blob is missing; Conflict if every name for a minute is taken.
    """
    name, digest = name_of(reference), Digest.of(manifest)
    with store.hold(name):
        for each in artifacts(store, reference.kind, reference.name, damaged=lambda error: None):
            if each.digest == digest and each.version == version and _is_readable(store, name, each):
                return oci.artifact(name, each.reference.tag, manifest)
        moment = (now or datetime.now(UTC)).replace(microsecond=0)
        return oci.artifact(name, _put(store, name, version, manifest, moment), manifest)


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


def _is_readable(store: Store, name: str, artifact: Artifact) -> bool:
    try:
        return Digest.of(store.manifest(name, artifact.reference.tag)) == artifact.digest
    except Corrupt:
        return False


def checked_title(title: str, whole: str) -> str:
    """The title, if it is a plain file name: whoever pulls must not be led elsewhere (case NA-10). Raises Corrupt."""
    printable = title.isprintable() and title.strip() == title
    drive = len(title) > 1 and title[1] == ":"  # a path on Windows
    if not title or title in (".", "..") or set(title) & set("/\\") or drive or not printable or len(title) > 200:
        raise Corrupt(
            f"{whole} has the unsafe file name {title!r}", resolution="Nothing was written. Name the file yourself."
        )
    return title


def _reference(kind: Kind, name: str, version: str) -> Reference:
    """The name without a tag; checks name and version before a byte moves."""
    tag(version, datetime.now(UTC))
    return Reference.parse(f"{kind}/{name}")


def _check_layers(image: ContainerImage, whole: str) -> None:
    stated = oci.diff_ids(image.config, whole)
    if stated != tuple(layer.digest for layer in image.layers):
        raise Corrupt(
            f"the configuration of {whole} names other layers than it comes with",
            details=f"{len(stated)} are named, {len(image.layers)} came; they must be uncompressed, bottom first.",
            resolution="Make the image anew.",
        )


def _write(store: Store, name: str, layer: Blob) -> None:
    # Without a path it is in the store already; if not, `put_manifest` says so.
    if layer.path is not None:
        with _opened(layer.path) as source:
            store.write(name, layer.digest, layer.size, source)


def _opened(path: Path) -> io.FileIO:
    try:
        return path.open("rb", buffering=0)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise BadInput(f"{path} cannot be read", details=str(error), resolution="Name a file that can.") from error
