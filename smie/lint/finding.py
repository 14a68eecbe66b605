"""A fault that was found, and the list of all kinds of faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault: where, which (a key of FAULTS), what is wrong, what to do."""

    file: str
    line: int
    code: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.code}: {self.problem} ({self.remedy})"


Found: TypeAlias = Iterator[Finding]

FAULTS = {
    "definition": "role.hcl, a base, a system or a target cannot be read, or says what cannot be true together",
    "stale": "`defaults/main.yml` or `meta/argument_specs.yml` is not what `role.hcl` gives",
    "id-clash": "two users have one number, or one user has two",
    "secret-parameter": "a parameter is called like a secret; values of parameters are written down everywhere",
    "unused-parameter": "no template and no task reads the parameter",
    "no-file": "a file of the role is not there: the tasks of a phase, or what `src` names",
    "no-check": "the role has an image and no `checks/test_*.py` that says what the image must be",
    "unused-file": "nobody installs the file, nobody renders the template",
    "text": "not UTF-8, a byte order mark, carriage returns",
    "python": "a program or a check in Python does not compile",
    "shebang": "a file that is installed as a program does not begin with `#!`",
    "yaml": "not YAML, not a list of tasks, a key twice",
    "no-name": "a task has no name, so that no log can say what failed",
    "short-name": "a module without its collection: `copy` for `ansible.builtin.copy`",
    "unknown-module": "no collection that is installed has the module",
    "unknown-include": "a role or a file of tasks that is not there is included",
    "unchecked": "`import_tasks`, or `.yml` in `tasks_from`: Ansible then skips the check of arguments in silence",
    "no-mode": "a file or folder is made without `mode`: who runs Ansible decides who may read it",
    "bad-mode": "a mode without quotes (YAML makes another number of it), or one that lets everybody write",
    "unpinned": "`latest`, an upgrade, or pip without `==`: two builds may differ",
    "package": "packages in a loop, or one that `packages` of `role.hcl` does not name",
    "network": "`install.yml` reaches for the network; builds have none",
    "starts": "`install.yml` starts something, or expects an init system",
    "changed-when": "a command that does not say when it changes something",
    "hides-errors": "`ignore_errors`, or `failed_when: false` in a command whose result nobody reads",
    "handler": "`notify`: a run that is cut off forgets its handlers",
    "asks-where": "a role asks who builds it or where it runs; only `process` may",
    "facts": "facts of a machine are read; nobody gathers them, and images are for all machines",
    "parameter-in-install": "`install.yml`, or a template of it, reads parameters, nodes or the deployment",
    "undeclared": "a variable that no parameter, task or phase declares",
    "template": "a template or an expression cannot be parsed",
    "not-repeatable": "the time, chance or the operator's machine gets into files",
    "secret-shown": "a task reads a secret without `no_log`, or a template holds one",
    "configure-acts": "`configure.yml` does more than write files: commands, packages, owners, services",
    "outside-root": "`configure.yml` writes somewhere else than below `{{ root }}`",
    "service-writes": "`service.yml` writes configuration or installs something",
    "process-left-out": "`install.yml` or `service.yml` does not hand over to the role `process`",
}
