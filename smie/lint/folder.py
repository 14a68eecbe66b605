"""A role as lint sees it: its files of tasks, its templates, who includes it, and which variables it may read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.catalog import Catalog
from common.errors import BadDefinition
from common.role import Role
from smie.lint.expressions import Reading, of_task, reading
from smie.lint.finding import Finding
from smie.lint.tasks import Lined, Task, TaskFile, read_yaml

PHASES = ("install", "configure", "service", "cluster")
PROCESS = "process"  # the role that alone knows what kind of node there is
# What smie tells install.yml (`smie.packer.variables`).
OF_INSTALL = frozenset({"packages", "software", "process_user", "process_uid"})
# What seter tells the other phases (seter/variables.py, seter/render.py).
OF_SETER = frozenset({"node", "root", "groups_of", "deployment", "metrics_targets", "openings"})
# What Ansible itself knows, wherever it runs ("Special Variables" of its manual).
OF_ANSIBLE = frozenset({
    "role_name", "role_path", "playbook_dir", "inventory_hostname", "item", "ansible_loop", "ansible_index_var",
    "ansible_role_name", "ansible_playbook_python", "ansible_python_interpreter",
})  # fmt: skip
INCLUDES_ROLE = ("include_role", "import_role")
INCLUDES_TASKS = ("include_tasks", "import_tasks")


@dataclass(slots=True)
class Folder:
    """One role. `role` is what role.hcl says; None where there is none, or it cannot be read."""

    name: str
    path: Path
    role: Role | None
    files: dict[str, TaskFile]
    templates: dict[str, Reading]
    declared: frozenset[str] = frozenset()  # by defaults, vars and argument specs that the role brings
    _readings: dict[int, Reading] = field(default_factory=dict)

    @property
    def tasks(self) -> Iterator[Task]:
        """All tasks of all files."""
        for file in self.files.values():
            yield from file.tasks

    @property
    def has_definition(self) -> bool:
        """Whether it is a role of its own, not one that others include."""
        return (self.path / "role.hcl").exists()

    def phase_of(self, file: TaskFile) -> str:
        """The phase that runs a file of tasks: its own name, or that of the file that includes it."""
        stem = file.path.stem
        if stem in PHASES or stem == "main":
            return stem
        for other in self.files.values():
            if other is not file and stem in {Path(included_tasks(task)).stem for task in other.tasks}:
                return other.path.stem
        return ""

    def of_phase(self, phase: str) -> Iterator[Task]:
        """The tasks that a phase runs, included files' too."""
        for file in self.files.values():
            if self.phase_of(file) == phase:
                yield from file.tasks

    def reading(self, task: Task) -> Reading:
        """What a task reads."""
        if id(task.words) not in self._readings:
            self._readings[id(task.words)] = of_task(task)
        return self._readings[id(task.words)]

    def templates_of(self, phase: str) -> dict[str, Task]:
        """Templates by name that tasks of a phase render, with the task."""
        return {task.text("src").removeprefix("./"): task for task in self.of_phase(phase) if task.module == "template"}

    @property
    def own_variables(self) -> frozenset[str]:
        """What its tasks set, and what it declares in files of Ansible."""
        names = set(self.declared)
        for task in self.tasks:
            names |= {str(task.words["register"])} if "register" in task.words else set()
            if isinstance(given := task.words.get("vars"), Lined):
                names |= set(given)
            if task.module == "set_fact":
                names |= set(task.arguments) - {"cacheable"}
            if isinstance(control := task.words.get("loop_control"), Lined):
                names |= {str(control[key]) for key in ("loop_var", "index_var") if key in control}
        return frozenset(names)

    @property
    def parameters(self) -> frozenset[str]:
        """The variables that its parameters become."""
        role = self.role
        return frozenset(role.variable_prefix + each.name for each in role.parameters) if role else frozenset()


@dataclass(slots=True)
class House:
    """All roles together. `shown` says how messages call a path."""

    catalog: Catalog
    folders: dict[str, Folder]

    @classmethod
    def open(cls, catalog: Catalog) -> House:
        """Every folder below `roles`; what cannot be read is a finding of a rule, not an error."""
        paths = sorted(path for path in (catalog.folder / "roles").iterdir() if path.is_dir())
        return cls(catalog, {path.name: _folder(path, catalog) for path in paths})

    def found(self, path: Path, line: int, code: str, problem: str, remedy: str) -> Finding:
        """A finding in a file."""
        return Finding(self.catalog.shown(path), line, code, problem, remedy)

    def included_by(self, folder: Folder) -> Iterator[tuple[Folder, Task]]:
        """The roles that include this one, each with the task that does."""
        for other in self.folders.values():
            for task in other.tasks if other is not folder else ():
                if task.module in INCLUDES_ROLE and task.text("name") == folder.name:
                    yield other, task

    def known(self, folder: Folder) -> frozenset[str]:
        """Variables that tasks and templates of a role may read after installing."""
        names = set(OF_SETER | OF_ANSIBLE | folder.parameters | folder.own_variables)
        for other, task in self.included_by(folder):
            names |= other.parameters
            if isinstance(given := task.words.get("vars"), Lined):
                names |= set(given)
        if folder.name == PROCESS:
            names |= OF_INSTALL | {"process", "access", "docker_host", "docker_tls"}
        return frozenset(names)

    def readers(self, folder: Folder) -> Iterator[Reading]:
        """Everything that may read the role's parameters: its own files and those of the roles that it includes."""
        seen, todo = set[str](), [folder.name]
        while todo:
            one = self.folders.get(todo.pop())
            if one is None or one.name in seen:
                continue
            seen.add(one.name)
            yield from one.templates.values()
            for task in one.tasks:
                yield one.reading(task)
                if task.module in INCLUDES_ROLE:
                    todo.append(task.text("name"))


def included_tasks(task: Task) -> str:
    """The file that a task includes; nothing when it includes none."""
    return task.text("_raw", "file") if task.module in INCLUDES_TASKS else ""


def _folder(path: Path, catalog: Catalog) -> Folder:
    role = None
    if (path / "role.hcl").exists():
        try:
            role = catalog.role(path.name)
        except BadDefinition:
            role = None
    files = {file.stem: TaskFile.read(file) for file in sorted((path / "tasks").glob("*.y*ml"))}
    templates = {
        file.relative_to(path / "templates").as_posix(): reading(file.read_text(errors="replace"))
        for file in sorted((path / "templates").rglob("*"))
        if file.is_file()
    }
    return Folder(path.name, path, role, files, templates, frozenset(_declared(path)))


def _declared(path: Path) -> Iterator[str]:
    for name in ("defaults/main.yml", "vars/main.yml"):
        if (path / name).exists():
            content, _ = read_yaml((path / name).read_text(errors="replace"))
            yield from content if isinstance(content, Lined) else ()
