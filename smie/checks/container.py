"""Checks in a container that was started from the very image that the store has."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from threading import Event

from common.model import Artifact
from naust.content import engine
from naust.store.interface import Store
from smie.builder.container import CHECKED, started
from smie.checks.about import image_facts
from smie.checks.running import LIMIT, Checked, Place, run_checks
from smie.recipe import Recipe


def check_container(
    store: Store, artifact: Artifact, recipe: Recipe, folder: Path, log: Path, identity: str, *,
    limit: timedelta = LIMIT, halt: Event | None = None,
) -> Checked:  # fmt: skip
    """Load the image under a name of its own and look at a container of it. The container is gone afterwards; the name
    stays until the builder's `sweep` of this identity. Raises Corrupt, Unavailable, ChecksHang, Error."""
    image = engine.load_image(store, artifact, name=f"{CHECKED}:{identity}").id
    facts = image_facts(recipe, artifact.size)
    capabilities = sorted({name for role in facts.roles for name in role.capabilities})
    with started(str(image), identity, capabilities) as container:
        return run_checks(facts, Place(f"docker://{container}"), folder, log, limit=limit, halt=halt)
