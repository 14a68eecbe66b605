"""Checks in a machine that runs from an artefact: while it is built, and in one that boots what the store has."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event

from common.machine.emulated import NAME, Machine
from common.model import Artifact
from naust.store.interface import Store
from smie.builder.interface import Work
from smie.builder.trial import tried
from smie.checks.about import image_facts
from smie.checks.running import LIMIT, Checked, Place, run_checks
from smie.isolation import tied
from smie.packer import Log
from smie.recipe import Recipe
from smie.stored import copied


def check_machine(
    recipe: Recipe, size: int, machine: Machine, folder: Path, log: Path, *,
    limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked:  # fmt: skip
    """Look at a machine that runs from the artefact, which has so many bytes. Raises ChecksHang, Error."""
    place = Place(f"ssh://{NAME}", tied, machine.configuration)
    return run_checks(image_facts(recipe, size), place, folder, log, limit=limit, halt=halt)


def check_disk(
    store: Store, artifact: Artifact, recipe: Recipe, folder: Path, log: Path, identity: str, *,
    limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked:  # fmt: skip
    """Boot the disk that the store has in an emulated machine, and look at what runs. What the boot says is beside
    `log`. Raises Corrupt, Unavailable, Missing, TrialFailed, ChecksHang, Error."""
    work = Work(folder, identity, (0, 0), Log(log.with_suffix(".boot.log"), lambda task: None), halt or Event())
    disk = copied(store, artifact, folder / f"{recipe.name}.qcow2")
    with tried(disk, recipe, work, again="test") as machine:
        return check_machine(recipe, artifact.size, machine, folder, log, limit=limit, halt=halt)
