"""Where `naust pull` puts things: a file, a folder, `-`, `docker:`, `oci:FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from common.console import Report
from common.errors import BadInput
from common.model import Artifact
from naust import manifest as oci
from naust.listing import name_of
from naust.manifest import TAR
from naust.pull import get_file, into_stream
from naust.store.interface import Store
from naust.transfer.pull_layout import get_layout
from naust.transfer.pulled import Pulled
from naust.transfer.push_blobs import silent
from naust.transfer.seeds import explicit


@dataclass(frozen=True, slots=True)
class How:
    """What may be said beside the place. `file` is the path of one file of a directory; `owners` None: as for root or
    not; `seed` a file or directory on disk that may hold the same bytes."""

    file: str = ""
    unpack: bool = False
    owners: bool | None = None
    referrers: bool = True
    seed: Path | None = None


def pull(store: Store, artifact: Artifact, place: str, how: How | None = None, *, report: Report = silent) -> Pulled:
    """Bring the artefact to this place; '' is the Docker engine for what a container engine takes, else the working
    folder. Raises BadInput for a place that it cannot come to, and as the function for that kind of place does."""
    chosen = how or How()
    if chosen.seed is not None:
        explicit(chosen.seed)
    read = oci.parse(store.manifest(name_of(artifact.reference), str(artifact.digest)), str(artifact.reference))
    if place == "docker:" or (not place and (read.is_container or read.children)):
        from naust.content.engine import load_image

        loaded = load_image(store, artifact)
        return Pulled(
            loaded.name, str(artifact.reference), artifact.digest, loaded.manifest, loaded.fetched, loaded.reused
        )
    if place.startswith("oci:"):
        folder = Path(place.removeprefix("oci:"))
        return get_layout(store, artifact, folder, referrers=chosen.referrers, report=report)
    if place == "-":
        return into_stream(store, artifact, sys.stdout.buffer)
    target = Path(place or ".")
    if chosen.file:
        from naust.transfer.pull_folder import get_member

        return get_member(store, artifact, chosen.file, target)
    if read.is_folder or chosen.unpack:
        from naust.transfer.pull_folder import get_folder

        if not read.is_folder and not (read.layers and read.layers[0].media_type == TAR):
            raise BadInput(f"{artifact.reference} is no tar", resolution="Leave out --unpack.")
        return get_folder(store, artifact, target, owners=chosen.owners, seed=chosen.seed, report=report)
    return get_file(store, artifact, target, seed=chosen.seed, report=report)
