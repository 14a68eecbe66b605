"""The first part of a role: its tasks until the packages are there. What it changed is kept, so that a change in the
rest of the role, or a failure there, does not repeat it.

A build runs the first part, or puts in what it changed before, and then the rest on the same files; the layer is read
at the end, of both. So kept or not, the same comes out. Decision: common/decisions, 0017.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from common.files import file_digest, sync_folder, write_atomically
from common.model import Digest
from smie.packer import INSIDE, TAR, play, taking, variables
from smie.recipe import Recipe
from smie.workspace import Workspace

FORMAT = 1  # of what is kept; another number makes all anew
MOST = 2  # that are kept of a role, the newest
SUM = "first.sha256"
# In the folder of a build: what the first part changed, as a layer is read, and that both are whole, or put in.
FIRST = "first.tar"
CHANGES = "first.txt"
DONE = "first.done"
# The first part again: what it deleted goes, then its files come.
PUT = (
    f"sed -n 's,^D /,/,p' {CHANGES} | {INSIDE} xargs --no-run-if-empty '--delimiter=\\n' rm -rf --",
    f"{INSIDE} {TAR} --extract --preserve-permissions --same-owner < {FIRST}",
    f": > {DONE}",
)
# What tasks may have that stand before the packages: they read no file of the role, and leave nothing to the rest.
_PLAIN = {"name", "group", "user"}
_PROCESS = {"name": "process", "tasks_from": "install"}

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
    keep their numbers. None if something before may read what is the role's or be read later, or nothing comes after.
    """
    import yaml  # slow to load, and a build that has nothing to do does not get here

    try:
        tasks, node = cast(list[Task], yaml.safe_load(text)), cast(yaml.SequenceNode, yaml.compose(text))
    except yaml.YAMLError:  # Ansible says what is wrong, and knows more tags
        return None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        return None
    for number, task in enumerate(tasks[:-1]):
        plain = {word.removeprefix("ansible.builtin."): value for word, value in task.items()}
        if plain.keys() <= {"name", "include_role"} and plain.get("include_role") == _PROCESS:
            line = node.value[number + 1].start_mark.line
            return tuple(tasks[: number + 1]), "\n" * line + "".join(text.splitlines(keepends=True)[line:])
        if not plain.keys() <= _PLAIN or "{{" in str(task) or "{%" in str(task):
            return None
    return None


def key(recipe: Recipe, parent: str, tasks: Sequence[Task]) -> Digest:
    """What the first part is made from, and nothing else. The index's date is that of files that are younger."""
    files = sorted((each.name, str(each.digest)) for each in recipe.inputs if each.name.startswith("roles/process/"))
    packages = [(package.file, package.sha256) for package in recipe.packages]
    said = [FORMAT, parent, recipe.index.date.isoformat(), packages, variables(recipe.roles[-1], ""), tasks, files]
    return Digest.of(json.dumps(said, sort_keys=True).encode())


def plays(role: str, said: Mapping[str, object], part: First | None) -> list[dict[str, object]]:
    """The plays that install a role: all of it, or what its first part leaves, after that if it is not there."""
    if part is None or part.is_there:
        return play(role, said)
    head = {"hosts": "all", "gather_facts": False, "vars": dict(said)}
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    commands = "\n".join(("set -e", *taking(CHANGES, FIRST), f": > {DONE}"))
    keeping = {"name": "Keep what this has changed", "ansible.builtin.shell": commands, "delegate_to": "localhost"}
    tasks = [*map(dict, part.tasks), keeping | {"vars": here, "changed_when": False}]
    return [{"name": f"{role}, until its packages are there"} | head | {"tasks": tasks}, *play(role, said)]


def before(part: First | None) -> Sequence[str]:
    """Commands that put the first part in, if it is there."""
    return PUT if part and part.is_there else ()


def keep(part: First, work: Path) -> None:
    """Keep what the first part has changed, if it came to its end, and forget older ones of the role; one that could
    not be put in is forgotten. What cannot be kept is not: it is only time."""
    done = (work / DONE).exists()
    if part.is_there and not done:
        shutil.rmtree(part.folder, ignore_errors=True)
    if part.is_there or not done:
        return
    with suppress(OSError):
        incoming = part.folder.with_name(f".{work.name}")
        incoming.mkdir(parents=True, exist_ok=True)
        try:
            for name in (FIRST, CHANGES):
                os.link(work / name, incoming / name)
            write_atomically(incoming / SUM, _sum(incoming))
            incoming.rename(part.folder)
            sync_folder(part.folder.parent)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        _forget(part.folder)


def _sum(folder: Path) -> str:
    return "\n".join(str(file_digest(folder / name)) for name in (FIRST, CHANGES))


def _brought(folder: Path, work: Path) -> bool:
    """Put what is kept into the build's folder; whether it is there, and whole. A link stays when the folder goes."""
    try:
        for name in (FIRST, CHANGES):
            os.link(folder / name, work / name)
        if _sum(work) == (folder / SUM).read_text():
            os.utime(folder)  # the newest are kept
            return True
    except OSError:
        pass
    for name in (FIRST, CHANGES):
        (work / name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _forget(newest: Path) -> None:
    kept = [path for path in newest.parent.iterdir() if not path.name.startswith(".")]
    for path in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)[MOST:]:
        shutil.rmtree(path, ignore_errors=True)
