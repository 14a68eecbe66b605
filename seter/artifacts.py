"""From the names in a definition to artefacts with digests, and from those to images in the node's engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import BadDefinition, BadInput, NotFound, Problem
from common.model import Artifact, Digest, Event, Kind

if TYPE_CHECKING:
    from common.console import Report
    from common.role import Place
    from naust.content.engine import Client
    from naust.manifest import Manifest
    from naust.store.interface import Store
    from seter.blueprint import Seat

AT_ONCE = 2  # artefacts read and hashed at once: that is our processor's work, not the engine's


@dataclass(frozen=True, slots=True)
class Image:
    """An artefact, what it consists of, and the id that a container engine gives to its image.

    A root file system or a disk has no id. What is installed on hosts has no manifest either, and its digest is a
    fingerprint."""

    artifact: Artifact
    manifest: Manifest | None
    id: str


def resolve_all(
    store: Store,
    references: Iterable[str],
    named: Mapping[str, Place],
    pins: Mapping[str, str] | None = None,
    *,
    despite_revoked: bool = False,
) -> dict[str, Image]:
    """Each reference's image. `named` says where a definition names one itself; the others follow from roles' names.
    `pins` has what some of them stand for, as in an earlier run, whatever is newest now. With `despite_revoked` those
    that may not be used are resolved too, for looking at what runs.

    Raises BadDefinition for all that are named and not there; NotFound naming everything else that is missing, with
    the command that builds it; Corrupt for one that is revoked, or was built from what is.
    """
    found: dict[str, Image] = {}
    missing: list[str] = []
    problems: list[Problem] = []
    for text in dict.fromkeys(references):
        try:
            found[text] = _resolve(store, (pins or {}).get(text, text), despite_revoked)
        except (NotFound, BadInput) as error:
            if text in named:
                fix = error.resolution[:1].lower() + error.resolution[1:]
                problems.append(Problem(named[text].file, named[text].line, f"artifact: {error.message}", fix))
            elif isinstance(error, NotFound):
                missing.append(text)
            else:
                raise
    if problems:
        raise BadDefinition(problems)
    if missing:
        names = " ".join(text.partition(":")[0].partition("/")[2] for text in missing)
        raise NotFound(
            f"no artefact {', '.join(missing)} in {store.url}",
            resolution=f"Build what is missing with: smie build {names}",
        )
    return found


def _resolve(store: Store, text: str, despite_revoked: bool) -> Image:
    from naust.listing import name_of, resolve
    from naust.manifest import parse
    from naust.revoke import check

    artifact = resolve(store, text)
    if not despite_revoked:
        check(store, artifact)
    data = store.manifest(name_of(artifact.reference), str(artifact.digest))
    manifest = parse(data, str(artifact.reference))
    if artifact.reference.kind in (Kind.ROOTFS, Kind.VM):
        return Image(artifact, manifest, "")
    if manifest.config is None:
        raise NotFound(f"{artifact.reference} is no container image", resolution="Name one of kind container.")
    return Image(artifact, manifest, str(manifest.config.digest))


def refuse_others(seats: Iterable[Seat], kind: Kind) -> None:
    """Raise BadInput for a role that names an artefact of another kind than its node can run."""
    for seat in seats:
        if seat.role.process is not None and not seat.artifact.startswith(f"{kind}/"):
            raise BadInput(
                f"{seat.artifact} cannot be run on {seat.node.name}, which boots the disk of its group",
                resolution=f"Take `artifact` out of role {seat.role.name}; the disk is built with all of a group.",
            )


def verify_all(store: Store, images: Iterable[Image], report: Report) -> None:
    """Read every byte of these artefacts, each blob once, and compare with its digest. Raises Corrupt.

    Also of those that the engine has already: what cannot be had again from the store is not deployed from it.
    """
    from naust.listing import name_of
    from naust.transfer.verified import chunks

    pulled = [(image, image.manifest) for image in images if image.manifest is not None]
    if not pulled:
        return
    blobs = {blob.digest: (blob, image) for image, manifest in pulled for blob in manifest.blobs}
    total = sum(blob.size for blob, _ in blobs.values())
    report(Event("verify", f"{len(blobs)} blobs", f"{total / (1 << 20):.0f} MiB"))

    def read(digest: Digest) -> None:
        blob, image = blobs[digest]
        with chunks(store, name_of(image.artifact.reference), blob, str(image.artifact.reference)) as pieces:
            for _ in pieces:
                pass

    # The largest first, so that the last one to end is a small one.
    order = sorted(blobs, key=lambda digest: blobs[digest][0].size, reverse=True)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in threads.map(read, order):
            pass


def load_all(store: Store, images: Iterable[Image], report: Report, client: Client | None = None) -> None:
    """See that the engine has exactly these images; without a client the one that DOCKER_HOST names."""
    from naust.content.engine import load

    def one(image: Image) -> None:
        report(Event("load", str(image.artifact.reference)))
        load(store, image.artifact, client)

    unique = {image.id: image for image in images if image.id}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in threads.map(one, unique.values()):
            pass


def names(images: Mapping[str, Image]) -> dict[str, str]:
    """For records: each reference and the digest that it stood for."""
    return {text: f"{image.artifact.reference}@{image.artifact.digest}" for text, image in images.items()}
