"""The first part of a role: its tasks until the packages are there. What it changed is kept, so that a change in the
rest of the role, or a failure there, does not repeat it.

A build runs the first part, or puts in what it changed before, and then the rest on the same files; the layer is read
at the end, of both. So kept or not, the same comes out.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from common.files import file_digest, sync_folder, write_atomically
from common.model import Digest
from smie.packer import INSIDE, TAR, ansible, taking, variables
from smie.recipe import Recipe
from smie.workspace import Workspace

FORMAT = 1  # of what is kept; another number makes all anew
MOST = 2  # that are kept of a role, the newest
SUM = "first.sha256"
# In the folder of a build: the first part's play, what it changed as the layer is read, and that both files are whole.
FIRST_PLAY = "first.json"
FIRST = "first.tar"
FIRST_CHANGES = "first.txt"
FIRST_DONE = "first.done"
# The first part again: what it deleted goes, then its files come.
PUT = (
    f"sed -n 's,^D /,,p' {FIRST_CHANGES} | {INSIDE} xargs --no-run-if-empty '--delimiter=\\n' rm -rf --",
    f"{INSIDE} {TAR} --extract --preserve-permissions --same-owner < {FIRST}",
)
# What tasks may have that stand before the packages: they read no file of the role, and leave nothing to the rest.
_PLAIN = ("name", "when", "group", "user")

Task = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class First:
    """The first part: its tasks, the folder where it is kept, and whether it is there, put into the build's folder."""

    tasks: Sequence[Task]
    folder: Path
    is_there: bool


def first(recipe: Recipe, parent: str, work: Path, roles: Path, workspace: Workspace) -> First | None:
    """The first part of a container image's role, which is taken out of the role's `install.yml` in `roles`; or None,
    and nothing is changed. If it is kept, its files are in `work` afterwards. `parent` is the id of the image below,
    `roles` the folder of the roles as they are built."""
    role = recipe.roles[-1]
    if not role.packages and (role.process is None or role.process.user == "root"):
        return None
    file = roles / role.name / "tasks" / "install.yml"
    cut = until_packages(file.read_text()) if file.exists() else None
    if cut is None:
        return None
    tasks, rest = cut
    file.write_text(rest)
    folder = workspace.part(recipe.name, key(recipe, parent, tasks))
    return First(tasks, folder, _brought(folder, work))


def until_packages(text: str) -> tuple[tuple[Task, ...], str] | None:
    """The tasks of a file up to the one that includes the role `process`, and the text without them, in which lines
    keep their numbers. None if something before may read files of the role or be read later, or nothing comes after."""
    import yaml  # slow to load, and a build that has nothing to do does not get here

    try:
        tasks, node = cast(list[Task], yaml.safe_load(text)), cast(yaml.SequenceNode, yaml.compose(text))
    except yaml.YAMLError:  # Ansible says what is wrong, and knows more tags
        return None
    for number, task in enumerate(tasks or ()):
        words = {word.removeprefix("ansible.builtin.") for word in task}
        if "include_role" in words and _is_process(task) and words <= {"name", "include_role"}:
            if number + 1 == len(tasks):
                return None
            line = node.value[number + 1].start_mark.line
            return tuple(tasks[: number + 1]), "\n" * line + "".join(text.splitlines(keepends=True)[line:])
        if not words <= set(_PLAIN):
            return None
    return None


def key(recipe: Recipe, parent: str, tasks: Sequence[Task]) -> Digest:
    """What the first part is made from, and nothing else."""
    files = [(each.name, str(each.digest)) for each in recipe.inputs if each.name.startswith("roles/process/")]
    packages = [(package.file, package.sha256) for package in recipe.packages]
    said = [FORMAT, parent, packages, variables(recipe.roles[-1], ""), list(tasks), sorted(files)]
    return Digest.of(json.dumps(said, sort_keys=True).encode())


def keep(part: First, work: Path) -> None:
    """Keep what the first part has changed, if it came to its end, and forget older ones of the role. What cannot be
    kept is not: it is only time."""
    if part.is_there or not (work / FIRST_DONE).exists():
        return
    with suppress(OSError):
        incoming = part.folder.with_name(f".{work.name}")
        incoming.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(incoming / SUM, str(file_digest(work / FIRST)))
            for name in (FIRST, FIRST_CHANGES):
                os.link(work / name, incoming / name)
            incoming.rename(part.folder)
            sync_folder(part.folder.parent)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        _forget(part.folder)


def before(part: First | None) -> Sequence[str]:
    """Commands that make the first part and take it out, or put it in; none for a role that has one part."""
    if part is None:
        return ()
    if part.is_there:
        return PUT
    return (ansible(FIRST_PLAY), *taking(FIRST_CHANGES, FIRST), f": > {FIRST_DONE}")


def play_of(role: str, tasks: Sequence[Task], variables: Mapping[str, object]) -> list[dict[str, object]]:
    """The play that runs the first tasks of a role."""
    said = {"name": f"{role}, until its packages are there", "hosts": "all", "gather_facts": False}
    return [said | {"vars": dict(variables), "tasks": [dict(task) for task in tasks]}]


def _is_process(task: Task) -> bool:
    included = task.get("ansible.builtin.include_role", task.get("include_role"))
    return isinstance(included, Mapping) and dict(included) == {"name": "process", "tasks_from": "install"}


def _brought(folder: Path, work: Path) -> bool:
    """Put what is kept into the build's folder; whether it is there, and whole. A link stays when the folder goes."""
    names = (FIRST, FIRST_CHANGES)
    try:
        for name in names:
            os.link(folder / name, work / name)
        if str(file_digest(work / FIRST)) == (folder / SUM).read_text():
            os.utime(folder)  # the newest are kept
            return True
    except OSError:
        pass
    for name in names:
        (work / name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _forget(newest: Path) -> None:
    kept = [path for path in newest.parent.iterdir() if not path.name.startswith(".")]
    for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[MOST:]:
        shutil.rmtree(path, ignore_errors=True)
