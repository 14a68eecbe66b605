"""How long builds took, kept in the workspace, so that it can be said how long they will take.

A file an artefact, so that two smies do not write over each other's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.errors import Error
from common.files import write_atomically
from common.model import Kind
from smie.recipe import Recipe
from smie.workspace import Workspace

FORMAT = 1  # of the files; those of another are as good as none


def weight(recipe: Recipe) -> int:
    """Bytes of packages: about how long it takes."""
    return sum(package.size for package in recipe.packages)


@dataclass(frozen=True, slots=True)
class Time:
    """How long the last good build of something took. `weight` as above."""

    seconds: float
    weight: int
    is_base: bool


def keep(workspace: Workspace, recipe: Recipe, seconds: float) -> None:
    """Remember a good build. What cannot be remembered is no reason to fail."""
    said = {
        "format": FORMAT, "seconds": round(seconds, 2), "weight": weight(recipe), "is_base": recipe.parent is None
    }  # fmt: skip
    with suppress(Error):
        write_atomically(_path(workspace, recipe.kind, recipe.name), json.dumps(said))


def expected(workspace: Workspace, recipe: Recipe) -> float | None:
    """Seconds that a build will take: as long as the last one, else as long as what is most like it; None when nothing
    is known."""
    if own := _read(_path(workspace, recipe.kind, recipe.name)):
        return own.seconds
    alike = [time for time in _all(workspace, recipe.kind) if time.is_base is (recipe.parent is None)]
    nearest = min(alike, key=lambda time: abs(time.weight - weight(recipe)), default=None)
    return nearest.seconds if nearest else None


def _path(workspace: Workspace, kind: Kind, name: str) -> Path:
    return workspace.root / "times" / kind / f"{name}.json"


def _all(workspace: Workspace, kind: Kind) -> Iterator[Time]:
    for path in sorted((workspace.root / "times" / kind).glob("*.json")):
        if time := _read(path):
            yield time


def _read(path: Path) -> Time | None:
    try:
        said = json.loads(path.read_text())
        if said["format"] != FORMAT:
            return None
        return Time(float(said["seconds"]), int(said["weight"]), bool(said["is_base"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
