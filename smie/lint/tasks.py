"""Ansible's files of tasks, read with the line of every key.

PyYAML's node graph has the marks; Ansible's own loader would bring all of Ansible with it, and stops at the first
fault. What a key of a task means is in Ansible's manual, "Playbook Keywords", Task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

Value: TypeAlias = "str | int | float | bool | list[Value] | Lined | None"

KEYWORDS = frozenset({
    "action", "any_errors_fatal", "args", "async", "become", "become_exe", "become_flags", "become_method",
    "become_user", "changed_when", "check_mode", "collections", "connection", "debugger", "delay", "delegate_facts",
    "delegate_to", "diff", "environment", "failed_when", "ignore_errors", "ignore_unreachable", "listen",
    "local_action", "loop", "loop_control", "module_defaults", "name", "no_log", "notify", "poll", "port", "register",
    "remote_user", "retries", "run_once", "tags", "throttle", "timeout", "until", "vars", "when", "block", "rescue",
    "always",
})  # fmt: skip
BLOCKS = ("block", "rescue", "always")
BUILTIN = "ansible.builtin."
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING = "tag:yaml.org,2002:str"


class Lined(dict[str, "Value"]):
    """A mapping that knows where it and each of its keys stand."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Task:
    """One task. `module` is the full name of what it runs, without `ansible.builtin.`; `written` as the file has it."""

    file: Path
    line: int
    name: str
    written: str
    arguments: Lined
    words: Lined

    @property
    def module(self) -> str:
        """`copy`, `community.docker.docker_container`."""
        return self.written.removeprefix(BUILTIN).removeprefix("ansible.legacy.")

    def line_of(self, key: str) -> int:
        """Where an argument or a keyword stands, else the task."""
        return self.arguments.lines.get(key) or self.words.lines.get(key) or self.line

    def text(self, *keys: str) -> str:
        """The first of these arguments that is there, as text; else nothing."""
        return next((str(self.arguments[key]) for key in keys if self.arguments.get(key) is not None), "")

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"task {self.name!r}" if self.name else f"a task of {self.module or 'nothing'}"


@dataclass(slots=True)
class TaskFile:
    """One file below `tasks/`. `faults` are lines and what is wrong there."""

    path: Path
    tasks: tuple[Task, ...] = ()
    faults: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> TaskFile:
        """The file; what cannot be read of it is a fault."""
        made = cls(path)
        content, made.faults = read_yaml(path.read_text(errors="replace"))
        if isinstance(content, list):
            made.tasks = tuple(made._tasks(content))
        elif content is not None:
            made.faults.append((1, "is not a list of tasks"))
        return made

    def _tasks(self, items: list[Value]) -> Iterator[Task]:
        for item in items:
            if not isinstance(item, Lined):
                self.faults.append((1, f"has {item!r} where a task is expected"))
                continue
            if not any(key in item for key in BLOCKS):
                yield self._task(item)
            for key in BLOCKS:
                inner = item.get(key)
                if isinstance(inner, list):
                    yield from self._tasks(inner)

    def _task(self, words: Lined) -> Task:
        modules = [key for key in words if key not in KEYWORDS and not key.startswith("with_")]
        if len(modules) > 1:
            self.faults.append((words.line, f"has a task that runs {' and '.join(modules)}"))
        written = modules[0] if modules else ""
        given = words.get(written) if written else None
        arguments = given if isinstance(given, Lined) else Lined(words.lines.get(written, words.line))
        if isinstance(given, str):
            arguments["_raw"] = given
        if isinstance(more := words.get("args"), Lined):
            arguments.update(more)
            arguments.lines.update(more.lines)
        return Task(self.path, words.line, str(words.get("name") or ""), written, arguments, words)


def read_yaml(text: str) -> tuple[Value, list[tuple[int, str]]]:
    """The content of one document, and its faults as (line, what is wrong)."""
    faults: list[tuple[int, str]] = []
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return None, [(mark.line + 1 if mark else 1, f"is not YAML: {getattr(error, 'problem', error)}")]
    return (None if node is None else _value(node, faults)), faults


def _value(node: yaml.Node, faults: list[tuple[int, str]]) -> Value:
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, faults) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        made = Lined(node.start_mark.line + 1)
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in made:
                faults.append((line, f"has {name!r} a second time, first in line {made.lines[name]}"))
            made[name] = _value(value, faults)
            made.lines[name] = line
        return made
    return _scalar(node)


def _scalar(node: yaml.Node) -> Value:
    if node.tag == _STRING or not node.tag.startswith("tag:yaml.org,2002:"):
        return str(node.value)
    made = yaml.constructor.SafeConstructor().construct_object(node)
    return made if isinstance(made, str | int | float | bool | None) else str(node.value)


def strings(value: Value) -> Iterator[str]:
    """Every text inside a value, keys of mappings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from strings(each)
