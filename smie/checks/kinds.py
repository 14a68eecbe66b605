"""The kinds of artefact that can be looked at, and how something is started from each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event

from common.model import Artifact, Kind
from naust.store.interface import Store
from smie.checks.running import LIMIT, Checked
from smie.recipe import Recipe


def check(
    store: Store, artifact: Artifact, recipe: Recipe, folder: Path, log: Path, identity: str, *,
    tools: Path | None = None, limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked | None:  # fmt: skip
    """Start something from the artefact, as the store has it, and look at it: a container, a machine. A root file
    system boots from a disk that the `tools` write, and is looked at in its tree without them; None for a disk without
    roles. What is left in the engine the builder's `sweep` of this identity takes away.

    Raises Corrupt, Unavailable, TrialFailed, ChecksHang, Error.
    """
    if recipe.kind == Kind.CONTAINER:
        from smie.checks.container import check_container  # brings in Docker's library

        return check_container(store, artifact, recipe, folder, log, identity, limit=limit, halt=halt)
    if recipe.kind == Kind.ROOTFS and tools is None:
        from smie.checks.tree import check_tree

        return check_tree(store, artifact, recipe, folder, log, limit=limit, halt=halt)
    from smie.checks.machine import check_booted  # brings in what boots machines

    return check_booted(store, artifact, recipe, folder, log, identity, tools=tools, limit=limit, halt=halt)
