"""Rules for every task of every phase."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from common.values import did_you_mean
from smie.lint.expressions import Reading, items, spelt_out
from smie.lint.finding import Found
from smie.lint.folder import INCLUDES_ROLE, PROCESS, Folder, House, included_tasks
from smie.lint.tasks import BUILTIN, Task, Value, strings

COMMANDS = ("command", "shell", "raw", "script")
PACKAGERS = ("apt", "package", "pip", "dnf", "yum", "apk")
FILES = ("copy", "template", "file", "lineinfile", "blockinfile", "replace", "assemble", "unarchive")
_ASKS = re.compile(
    r"packer_\w+|builder|build_\w+|cloud|cloud_\w+|provider|platform|(target|node|image)_kind|kind|phase|access"
    r"|docker_host|ansible_connection|ansible_virtualization_\w+|is_(container|vm|docker|packer)"
)
_FACTS = re.compile(r"ansible_(?!loop$|index_var$|role_name$|playbook_python$|python_interpreter$)\w+|hostvars|groups")
_SECRETS = "/etc/seter/secrets"


def rules(house: House, folder: Folder) -> Found:
    """All of them."""
    for file in folder.files.values():
        for line, problem in file.faults:
            yield house.found(file.path, line, "yaml", problem, "mend it; the rest is looked at then")
        for task in file.tasks:
            yield from _named(house, task)
            yield from _module(house, task)
            yield from _include(house, folder, task)
            yield from _modes(house, task)
            yield from _pinned(house, task)
            yield from _command(house, folder, task)
            yield from _asks(house, folder, task.file, folder.reading(task))
            yield from _secret(house, task)


def _named(house: House, task: Task) -> Found:
    if not task.name:
        problem = f"{task.title} has no name"
        yield house.found(task.file, task.line, "no-name", problem, "begin it with - name: and a sentence")


def _module(house: House, task: Task) -> Found:
    line = task.line_of(task.written)
    if not task.written:
        yield house.found(task.file, task.line, "yaml", f"{task.title} runs no module", "name a module, or take it out")
    elif "." not in task.written:
        if _path(BUILTIN + task.written) is not None:
            remedy = f"write {BUILTIN}{task.written}"
            yield house.found(task.file, line, "short-name", f"{task.written!r} is a short name", remedy)
        else:
            near = did_you_mean(task.written, _builtins(), "modules")
            yield house.found(task.file, line, "unknown-module", f"there is no module {task.written!r}", near)
    elif _path(task.written) is None:
        known = [BUILTIN + name for name in _builtins()]
        remedy = did_you_mean(task.written, known, "modules") if task.module != task.written else "is it misspelt?"
        yield house.found(task.file, line, "unknown-module", f"there is no module {task.written!r}", remedy)


@cache
def _builtins() -> tuple[str, ...]:
    spec = find_spec("ansible")
    folder = Path(spec.origin or "").parent / "modules" if spec else Path()
    return tuple(sorted(path.stem for path in folder.glob("[a-z]*.py")))


@cache
def _path(module: str) -> Path | None:
    """The file of a module, looked for as files: importing Ansible takes longer than all of lint."""
    namespace, _, rest = module.partition(".")
    collection, _, name = rest.rpartition(".")
    if f"{namespace}.{collection}" in ("ansible.builtin", "ansible.legacy"):
        return Path(name) if name in _builtins() or name in ("include_role", "import_role") else None
    for folder in map(Path, sys.path):
        plugins = folder / "ansible_collections" / namespace / collection / "plugins"
        for place in (plugins / "modules", plugins / "action"):
            if (place / f"{name}.py").is_file():
                return place / f"{name}.py"
    return None


def _include(house: House, folder: Folder, task: Task) -> Found:
    if tasks := included_tasks(task):
        if task.module == "import_tasks":
            problem = f"import_tasks of {tasks}: arguments of the role are not checked"
            yield house.found(task.file, task.line, "unchecked", problem, "use import_role with tasks_from, no suffix")
        if "{{" not in tasks and not (task.file.parent / tasks).is_file():
            near = did_you_mean(tasks, [file.path.name for file in folder.files.values()], "files of tasks")
            yield house.found(task.file, task.line, "unknown-include", f"there is no tasks/{tasks}", near)
    if task.module in INCLUDES_ROLE:
        yield from _included_role(house, task)


def _included_role(house: House, task: Task) -> Found:
    name, tasks = task.text("name"), task.text("tasks_from") or "main"
    if tasks.endswith((".yml", ".yaml")):
        remedy = f"write tasks_from: {Path(tasks).stem}"
        problem = f"tasks_from: {tasks}: with the suffix arguments are not checked"
        yield house.found(task.file, task.line_of("tasks_from"), "unchecked", problem, remedy)
    if "{{" in name + tasks:
        return
    if name not in house.folders:
        near = did_you_mean(name, house.folders, "roles")
        yield house.found(task.file, task.line_of("name"), "unknown-include", f"there is no role {name!r}", near)
    elif Path(tasks).stem not in house.folders[name].files:
        near = did_you_mean(tasks, house.folders[name].files, "its files of tasks")
        problem = f"role {name} has no tasks/{Path(tasks).stem}.yml"
        yield house.found(task.file, task.line_of("tasks_from"), "unknown-include", problem, near)


def _modes(house: House, task: Task) -> Found:
    made = task.module in ("copy", "template") or (
        task.module == "file" and task.text("state") in ("directory", "touch")
    )
    mode = task.arguments.get("mode")
    if made and mode is None:
        place = task.text("dest", "path")
        problem = f"{place or task.title} is made without mode"
        yield house.found(task.file, task.line, "no-mode", problem, 'write mode: "0644" or what it needs')
    for key in ("mode", "directory_mode"):
        yield from _mode(house, task, key, task.arguments.get(key))


def _mode(house: House, task: Task, key: str, mode: Value) -> Found:
    line = task.line_of(key)
    if isinstance(mode, int | float):
        # YAML 1.1 reads 0644 as an octal number; the text that was written is gone.
        remedy = f'write {key}: "{int(mode):04o}"'
        yield house.found(task.file, line, "bad-mode", f"{key} is a number, not a text", remedy)
    elif isinstance(mode, str) and re.fullmatch(r"[0-7]{3,4}", mode):
        others, sticky = int(mode[-1]), len(mode) == 4 and int(mode[0]) & 1
        if others & 2 and not sticky:
            yield house.found(task.file, line, "bad-mode", f"{key} {mode} lets everybody write", "take 2 off its end")
    elif isinstance(mode, str) and re.search(r"(^|,)[augo]*[oa][augo]*[+=]\w*w|(^|,)[+=]\w*w", mode):
        yield house.found(task.file, line, "bad-mode", f"{key} {mode} lets everybody write", "name who may: u or g")


def _pinned(house: House, task: Task) -> Found:
    if task.text("state") == "latest" or (task.module in PACKAGERS and task.arguments.get("upgrade")):
        line = task.line_of("state" if "state" in task.arguments else "upgrade")
        remedy = "leave it out: smie pins every package"
        yield house.found(task.file, line, "unpinned", f"{task.title} takes whatever is newest", remedy)
    if task.module == "pip":
        for name in strings(task.arguments.get("name")):
            if "==" not in name and "{{" not in name:
                remedy = f'write software = "pypi:{name}==…" in role.hcl'
                yield house.found(task.file, task.line_of("name"), "unpinned", f"pip installs any {name}", remedy)
    if task.module in PACKAGERS and items(task) is not None:
        line = task.line_of("loop" if "loop" in task.words else "with_items")
        remedy = 'name them in packages of role.hcl, and give the module the whole list: name: "{{ packages }}"'
        yield house.found(task.file, line, "package", f"{task.title} installs one package after the other", remedy)


def _command(house: House, folder: Folder, task: Task) -> Found:
    said = {"changed_when", "creates", "removes"} & (task.words.keys() | task.arguments.keys())
    if task.module in COMMANDS and not said:
        problem = f"{task.title} does not say when it changes something"
        yield house.found(task.file, task.line, "changed-when", problem, "add changed_when: or creates:")
    read = _is_read(str(task.words.get("register") or ""), folder)
    if task.words.get("ignore_errors") is True or (task.words.get("failed_when") is False and not read):
        line = task.line_of("ignore_errors" if "ignore_errors" in task.words else "failed_when")
        remedy = "say with failed_when: which answers are good"
        yield house.found(task.file, line, "hides-errors", f"{task.title} goes on whatever happens", remedy)
    if "notify" in task.words:
        problem = f"{task.title} notifies a handler, which a run that is cut off forgets"
        remedy = "seter restarts what changed: write on_change in the process block"
        yield house.found(task.file, task.line_of("notify"), "handler", problem, remedy)


def _is_read(registered: str, folder: Folder) -> bool:
    return bool(registered) and any(registered in folder.reading(task).variables for task in folder.tasks)


def _asks(house: House, folder: Folder, path: Path, read: Reading) -> Found:
    if folder.name == PROCESS:
        return
    for name, line in read.variables.items():
        if _ASKS.fullmatch(name) and name not in folder.own_variables | folder.parameters:
            remedy = "one role serves every kind; what differs belongs into the role process"
            yield house.found(path, line, "asks-where", f"{name} asks who builds or where it runs", remedy)
        elif _FACTS.fullmatch(name):
            remedy = "what the role has to know is a parameter, or in node and groups_of"
            yield house.found(path, line, "facts", f"{name} is a fact that nobody gathers", remedy)


def asks_of_template(house: House, folder: Folder, path: Path, read: Reading) -> Found:
    """The same in a template."""
    yield from _asks(house, folder, path, read)


def _secret(house: House, task: Task) -> Found:
    reads = task.module == "slurp" or "lookup" in " ".join(strings(task.arguments))
    command = task.module in COMMANDS and re.search(r"\b(cat|base64|head|tail|echo)\b", command_of(task))
    touches = any(_SECRETS in text for text in strings(task.arguments))
    if touches and (reads or command) and task.words.get("no_log") is not True:
        remedy = "give the program the path of the file, or add no_log: true"
        yield house.found(task.file, task.line, "secret-shown", f"{task.title} puts a secret into the log", remedy)


def command_of(task: Task) -> str:
    """The command line of a task that runs one."""
    argv = task.arguments.get("argv")
    return " ".join(strings(argv)) if isinstance(argv, list) else task.text("_raw", "cmd")


def destinations(task: Task) -> Iterator[str]:
    """Where a task writes; a loop of plain texts is spelt out."""
    place = task.text("dest", "path")
    yield from spelt_out(place, task) or (place,)
