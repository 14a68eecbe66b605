"""Which files of a role go into its image: everything that `tasks/install.yml` reaches, and nothing else.

Templates, defaults and the tasks of later phases are not among them, so changing those rebuilds nothing. Ansible finds
a task's files by name at run time, so all files of a reached role count, used or not: rather build once too often.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import BadDefinition, Problem
from common.files import file_digest
from common.model import Digest

# What Ansible may read while it runs tasks of a role, apart from the tasks themselves.
_WHOLE = ("files", "handlers", "vars", "library", "module_utils", "filter_plugins", "lookup_plugins", "meta")
_PARTS = r"(?:ansible\.builtin\.|ansible\.legacy\.)?"
_TASKS = re.compile(rf"^(?P<indent>[ -]*){_PARTS}(?:include|import)_tasks:(?P<rest>.*)$", re.M)
_ROLE = re.compile(rf"^(?P<indent>[ -]*){_PARTS}(?:include|import)_role:(?P<rest>.*)$", re.M)
_TEMPLATE = re.compile(rf"^(?P<indent>[ -]*){_PARTS}template:(?P<rest>.*)$", re.M)
_GENERATED = {"meta/argument_specs.yml"}  # from parameters, which installing does not know


@dataclass(frozen=True, slots=True)
class Reached:
    """A file: its path below the folder that holds the roles, its mode as octal text, and its content's digest.

    Of the mode counts what git keeps, whether it may be executed: who checks out with another umask builds the same.
    """

    path: str
    mode: str
    digest: Digest


def reached(roles: Path, role: str) -> tuple[Reached, ...]:
    """All that `install.yml` of a role reaches, sorted by path. Raises BadDefinition."""
    paths: dict[Path, None] = {}
    _walk(roles, role, "install", paths, ())
    return tuple(_reached(roles, path) for path in sorted(paths))


def _reached(roles: Path, path: Path) -> Reached:
    mode = "755" if path.stat().st_mode & 0o100 else "644"
    return Reached(path.relative_to(roles).as_posix(), mode, file_digest(path))


def _walk(roles: Path, role: str, tasks: str, paths: dict[Path, None], via: tuple[Path, ...]) -> None:
    file = _tasks_file(roles / role / "tasks", tasks)
    if file is None:
        place = via[-1] if via else roles / role
        raise BadDefinition((Problem(str(place), 0, f"there is no {role}/tasks/{tasks}.yml", "write it"),))
    if file in paths:
        return
    paths[file] = None
    paths.update(dict.fromkeys(_whole(roles / role)))
    text = file.read_text()
    for name in _names(_TASKS, text, "file"):
        _walk(roles, role, Path(name).with_suffix("").as_posix(), paths, (*via, file))
    for name, inner in _roles(text):
        _walk(roles, name, inner, paths, (*via, file))
    for name in _names(_TEMPLATE, text, "src"):
        if (template := roles / role / "templates" / name).exists():
            paths[template] = None


def _tasks_file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.yml", folder / f"{name}.yaml") if path.is_file()), None)


def _whole(role: Path) -> Iterator[Path]:
    for folder in _WHOLE:
        for path in sorted((role / folder).rglob("*")):
            generated = path.relative_to(role).as_posix() in _GENERATED or "__pycache__" in path.parts
            if path.is_file() and not generated:
                yield path


def _names(pattern: re.Pattern[str], text: str, key: str) -> Iterator[str]:
    for match in pattern.finditer(text):
        value = match["rest"].strip()
        yield _plain(value) if value and not value.startswith("{") else _fields(text, match).get(key, "")


def _roles(text: str) -> Iterator[tuple[str, str]]:
    for match in _ROLE.finditer(text):
        fields = _fields(text, match)
        yield fields.get("name", ""), Path(fields.get("tasks_from", "main")).with_suffix("").as_posix()


def _fields(text: str, match: re.Match[str]) -> dict[str, str]:
    """The arguments of a task: in braces on the same line, or the deeper lines that follow."""
    if (rest := match["rest"].strip()).startswith("{"):
        return {key.strip(): _plain(value) for key, _, value in (p.partition(":") for p in rest.strip("{}").split(","))}
    found = {}
    for line in text[match.end() :].lstrip("\n").splitlines():
        if line.strip() and len(line) - len(line.lstrip()) <= len(match["indent"]):
            break
        key, _, value = line.strip().partition(":")
        found[key] = _plain(value)
    return found


def _plain(value: str) -> str:
    return value.split(" #")[0].strip().strip("'\"")
