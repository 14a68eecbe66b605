"""What a build reads of the definitions, copied when it begins: later edits have no effect on it, and what it is made
of is what its recipe says.

Exactly the files of the recipe's inputs are there (`smie.reach`), with the content and the mode that the inputs name.
So a role that reads a file which its fingerprint does not know fails, instead of being built of it unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.errors import Error
from common.model import Digest
from smie import overlay
from smie.failed import again
from smie.recipe import Input, Recipe, roles_folder

ROLES = "roles/"
BASES = "bases/"


class Changed(Error):
    """The definitions are not what they were when the recipe was made."""

    def __init__(self, title: str, paths: list[str]) -> None:
        super().__init__(
            f"what {title} is made of changed while it was being read",
            details="\n".join(f"changed: {path}" for path in paths),
            resolution=f"Nothing was built. Repeat it with: {again(title)}",
        )


def roles(recipe: Recipe, target: Path, *, backwards: bool = False) -> Path:
    """Copy the files of all roles that the recipe reaches below `target`, an empty or missing folder; that folder.
    They are written in the order of their names, or `backwards`.

    Raises Changed, OSError.
    """
    source = roles_folder(recipe.roles[-1])
    target.mkdir(parents=True, exist_ok=True)
    there = sorted(_below(recipe, ROLES), key=lambda each: each[0], reverse=backwards)
    if wrong := [f"roles/{path}" for path, each in there if not _copied(source, target, path, each)]:
        raise Changed(recipe.title, wrong)
    return target


def overlay_tar(recipe: Recipe, target: Path, epoch: int) -> bool:
    """Write the files of a base as a tar; whether there are any. Raises Changed, BadInput, OSError."""
    there = overlay.write(recipe.base, target, epoch)
    wanted = {path: (each.version, each.digest) for path, each in _below(recipe, f"{BASES}{recipe.base.name}/")}
    # What was read lies between what the recipe saw and what is there now: equal ends, equal middle.
    now = {path: (mode, digest) for path, mode, digest in overlay.described(recipe.base)}
    if wrong := sorted(path for path in wanted | now if wanted.get(path) != now.get(path)):
        raise Changed(recipe.title, [f"{BASES}{recipe.base.name}/{path}" for path in wrong])
    return there


def _below(recipe: Recipe, prefix: str) -> Iterator[tuple[str, Input]]:
    """The recipe's files below a folder, by their path in it."""
    for each in recipe.inputs:
        if each.part == "file" and each.name.startswith(prefix):
            yield each.name.removeprefix(prefix), each


def _copied(source: Path, target: Path, path: str, wanted: Input) -> bool:
    """Copy one file if it is what the recipe says; whether it is."""
    try:
        content = (source / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    if Digest.of(content) != wanted.digest:
        return False
    copy = target / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(content)
    copy.chmod(int(wanted.version, 8))
    return True
