"""What the store has of a recipe, and its files: read for builds and for tests, checked on the way."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from common.errors import Corrupt
from common.files import file_digest
from common.model import Artifact
from common.run import run
from naust import listing, manifest
from naust.revoke import check as check_revoked
from naust.store.interface import Store
from smie.recipe import Recipe
from smie.workspace import Workspace


def found(store: Store, recipe: Recipe) -> Artifact:
    """The artefact of a recipe that another stands on."""
    there = listing.find(store, recipe.fingerprint, recipe.kind, recipe.name)
    assert there is not None, "what a recipe stands on is made before it"
    return there


def copied(store: Store, there: Artifact, target: Path) -> Path:
    """The one file of an artefact, written to `target`; never one that is revoked. Raises Corrupt, Unavailable."""
    check_revoked(store, there)
    name = f"{there.reference.kind}/{there.reference.name}"
    (layer,) = manifest.parse(store.manifest(name, str(there.digest)), name).layers
    with store.read(name, layer.digest) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    if file_digest(target) != layer.digest:
        raise Corrupt(
            f"{there.reference} in the store is not what its digest says",
            resolution=f"See naust fsck; then build it again: smie build {there.reference.name}",
        )
    return target


def tools_tree(store: Store, workspace: Workspace, recipe: Recipe, folder: Path) -> Path:
    """A tree with what disks are written with; unpacked once, and whole or not there. `folder` is for the way there.

    Raises Corrupt, CommandFailed.
    """
    target = workspace.tree(recipe.fingerprint)
    if not target.exists():
        tree = folder / "tools"
        packed = copied(store, found(store, recipe), folder / "tools.tar.zst")
        tree.mkdir()
        run(("tar", "--extract", f"--file={packed}", "--zstd", f"--directory={tree}", "--numeric-owner"))
        packed.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # another smie was faster; what it put there is the same
            tree.rename(target)
    return target
