"""The first part of a role: its tasks until the packages are there. What it changed is kept, so that a change in the
rest of the role, or a failure there, does not install them again.

Kept or just made, the rest runs on the same files and the layer is read the same way, so both come out the same. Only
roles with large packages have two parts: for the others a second run of Ansible takes longer than apt does.
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
from common.model import Digest, Kind
from smie.packer import INSIDE, TAR, ansible, taking, variables
from smie.recipe import Recipe
from smie.workspace import Workspace

FORMAT = 1  # of what is kept; another number makes all anew
SMALLEST = 8 << 20  # bytes of packages
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
# What may stand before the packages: modules that read no file of the role.
_PLAIN = ("group", "user")

Task = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class First:
    """The first part: its tasks, the folder where it is kept, and whether it is there, put into the build's folder."""

    tasks: Sequence[Task]
    folder: Path
    is_there: bool


def first(recipe: Recipe, parent: str, work: Path, roles: Path, workspace: Workspace) -> First | None:
    """The first part of a container image's role, or None if it has one part only. If it is kept, its files are in
    `work` afterwards. `parent` is the id of the image below, `roles` the folder of the roles as they are built."""
    if recipe.kind != Kind.CONTAINER or sum(package.size for package in recipe.packages) < SMALLEST:
        return None
    tasks = until_packages(roles / recipe.roles[-1].name / "tasks" / "install.yml")
    if not tasks:
        return None
    folder = workspace.part(recipe.name, key(recipe, parent, tasks))
    return First(tasks, folder, _brought(folder, work))


def until_packages(file: Path) -> tuple[Task, ...]:
    """The tasks of a file up to the one that includes the role `process`; none if something before it may read files of
    the role, or nothing comes after it."""
    import yaml  # slow to load, and few builds get here

    tasks = cast(list[Task], yaml.safe_load(file.read_text()) or [])
    for number, task in enumerate(tasks, 1):
        if _includes_process(task):
            return tuple(tasks[:number]) if number < len(tasks) else ()
        if not any(_short(word) in _PLAIN for word in task):
            break
    return ()


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


def _includes_process(task: Task) -> bool:
    included = next((task[word] for word in task if _short(word) in ("include_role", "import_role")), None)
    return isinstance(included, Mapping) and (included.get("name"), included.get("tasks_from")) == (
        "process",
        "install",
    )


def _short(word: str) -> str:
    return word.removeprefix("ansible.builtin.")


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
