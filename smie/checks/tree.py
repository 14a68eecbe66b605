"""Checks in the root file system of a machine that has not booted, out of the very archive that the store has."""

from __future__ import annotations

import os
import shlex
from datetime import timedelta
from pathlib import Path
from threading import Event

from common.model import Artifact
from common.run import run
from naust import manifest
from naust.listing import name_of
from naust.store.interface import Store
from naust.transfer import verified
from smie.builder.chroot import SCRIPT, looking
from smie.checks.about import image_facts
from smie.checks.running import LIMIT, Checked, Place, run_checks
from smie.isolation import private
from smie.recipe import Recipe

TREE = "checked"


def check_tree(
    store: Store, artifact: Artifact, recipe: Recipe, folder: Path, log: Path, *,
    limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked:  # fmt: skip
    """Unpack the tree into `folder` and look at it, by chroot, read-only; what was mounted for that goes with the
    process. Raises Corrupt, ChecksHang, CommandFailed, Error."""
    tree = folder / TREE
    _unpack(store, artifact, tree, halt)

    def around(*command: str) -> tuple[str, ...]:
        (folder / SCRIPT).write_text(looking(str(tree), f"cd {shlex.quote(str(folder))}\nexec {shlex.join(command)}"))
        return private("/bin/sh", "-eu", str(folder / SCRIPT))

    facts = image_facts(recipe, artifact.size)
    return run_checks(facts, Place(TREE, around, connection="chroot"), folder, log, limit=limit, halt=halt)


def _unpack(store: Store, artifact: Artifact, tree: Path, halt: Event | None) -> None:
    name, whole, packed = name_of(artifact.reference), str(artifact.reference), tree.with_suffix(".tar.zst")
    (layer,) = manifest.parse(store.manifest(name, str(artifact.digest)), whole).layers
    descriptor = os.open(packed, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        verified.fetch(store, name, layer, descriptor, whole)
    finally:
        os.close(descriptor)
    tree.mkdir()
    argv = ("tar", "--extract", f"--file={packed}", "--zstd", f"--directory={tree}", "--numeric-owner")
    run((*argv, "--preserve-permissions", "--xattrs", "--xattrs-include=*"), halt=halt)
    packed.unlink()
