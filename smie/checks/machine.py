"""Checks in a machine that boots from what the store has: a disk as it is, a root file system written as a disk."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event

from common.machine.emulated import NAME, Machine
from common.model import Artifact, Kind
from naust.store.interface import Store
from smie.builder.disk import Layout
from smie.builder.interface import BELOW, Work
from smie.builder.trial import tried
from smie.builder.vm import write_raw
from smie.checks.about import image_facts
from smie.checks.running import LIMIT, Checked, Place, run_checks
from smie.isolation import tied
from smie.packer import Log
from smie.recipe import Recipe
from smie.stored import copied

ROOM = 16 << 30  # bytes of the disk that a root file system is tried on; it has holes, and takes what is written


def check_machine(
    recipe: Recipe, machine: Machine, size: int, folder: Path, log: Path, *,
    limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked:  # fmt: skip
    """Look at a machine that runs from the artefact, which has so many bytes. Raises ChecksHang, Error."""
    place = Place(f"ssh://{NAME}", tied, machine.configuration)
    return run_checks(image_facts(recipe, size, booted=True), place, folder, log, limit=limit, halt=halt)


def check_booted(
    store: Store, artifact: Artifact, recipe: Recipe, folder: Path, log: Path, identity: str, *,
    tools: Path | None = None, limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked:  # fmt: skip
    """Boot the artefact in an emulated machine and look at what runs. A root file system needs `tools`.

    Raises Corrupt, Unavailable, Missing, BuildFailed, TrialFailed, ChecksHang, Error.
    """
    booting = Log(log.with_suffix(".boot"), lambda task: None)
    work = Work(folder, identity, (0, 0), booting, halt or Event(), tools=tools)
    if recipe.kind == Kind.VM:
        disk = copied(store, artifact, folder / f"{recipe.name}.qcow2")
    else:
        copied(store, artifact, folder / BELOW)
        disk = write_raw(Layout.of(ROOM, recipe.fingerprint), int(recipe.index.date.timestamp()), work)
    with tried(disk, recipe, work, again="test") as machine:
        return check_machine(recipe, machine, artifact.size, folder, log, limit=limit, halt=halt)
