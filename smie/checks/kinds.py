"""The kinds of artefact that can be looked at, and how something is started from each."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event

from common.machine.emulated import NAME, Machine
from common.model import Artifact, Kind
from naust.store.interface import Store
from smie.checks.about import image_facts
from smie.checks.running import LIMIT, Checked, Place, run_checks
from smie.checks.tree import check_tree
from smie.isolation import tied
from smie.recipe import Recipe


def check(
    store: Store, artifact: Artifact, recipe: Recipe, folder: Path, log: Path, identity: str, *,
    limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked | None:  # fmt: skip
    """Start something from the artefact, as the store has it, and look at it; None for kinds that cannot be started
    here. What is left in the engine the builder's `sweep` of this identity takes away.

    Raises Corrupt, Unavailable, ChecksHang, Error.
    """
    if recipe.kind == Kind.ROOTFS:
        return check_tree(store, artifact, recipe, folder, log, limit=limit, halt=halt)
    if recipe.kind != Kind.CONTAINER:
        return None
    from smie.checks.container import check_container  # brings in Docker's library

    return check_container(store, artifact, recipe, folder, log, identity, limit=limit, halt=halt)


def check_machine(
    recipe: Recipe, size: int, machine: Machine, folder: Path, log: Path, *,
    limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked:  # fmt: skip
    """Look at a machine that runs from the artefact, which has so many bytes. Raises ChecksHang, Error."""
    place = Place(f"ssh://{NAME}", tied, machine.configuration)
    return run_checks(image_facts(recipe, size), place, folder, log, limit=limit, halt=halt)
