"""What a failed build with --debug leaves open, in words: how to look into it, and how it goes away."""

from __future__ import annotations

import shlex
from pathlib import Path

from common.errors import Error
from common.model import Kind
from smie.recipe import Recipe


def left_open(error: Error, recipe: Recipe, folder: Path, entry: str) -> Error:
    """The same error, which says beside what to do how to look into what is left. `entry` opens a shell in it."""
    remove = f"rm -r {shlex.quote(str(folder))}"
    lines = [error.resolution, "", "--debug left the build open."]
    if entry:
        lines.append(f"Look into it:   {entry}")
    if entry and recipe.kind is Kind.CONTAINER:
        remove = f"docker rm --force {entry.split()[-2]} && {remove}"
    lines += [
        f"Its files:      {folder} (play.json is what Ansible runs)" if recipe.parent else f"Its files:      {folder}",
        f"Remove it:      {remove}",
        f"The next smie build {recipe.name} removes it too; builds of anything else leave it alone.",
    ]
    error.resolution = "\n".join(lines)
    return error
