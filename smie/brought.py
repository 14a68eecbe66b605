"""What install tasks need where nothing is mounted: apt's lists, packages and programs, as a folder that is seen as
/smie in a machine that runs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from smie.recipe import Recipe
from smie.repository import MOUNTED, write_for_container

PLACE = "/smie"
SOFTWARE = f"{PLACE}/software"  # has a folder for each role with programs


def bring(recipe: Recipe, software: Mapping[str, Path], folder: Path) -> int:
    """Put it there, with the programs of roles by their names; how many bytes that is."""
    write_for_container(recipe, folder / "apt")
    pool = folder / Path(MOUNTED).relative_to(PLACE) / "pool"
    for empty in (pool, folder / "tmp"):
        empty.mkdir(parents=True)
    for package in recipe.packages:
        shutil.copyfile(recipe.index.pool / package.file, pool / package.file)
    for role, programs in software.items():
        shutil.copytree(programs, folder / Path(SOFTWARE).relative_to(PLACE) / role, symlinks=True)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
