"""The verb `apply`: the install tasks of a role on a host that runs, over SSH, as a build would run them.

The tasks, the packages and the programs are those of the recipe of a root file system: brought along, not fetched by
the host. Nothing starts by being installed. What is brought, and what keeps services from starting, goes away again.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from common.console import Report
from common.errors import BadInput, Denied, Error, Unavailable
from common.files import write_atomically
from common.lock import lease
from common.model import Digest, Event
from common.run import environment, find, run
from smie import frozen, leftovers
from smie.brought import SOFTWARE, bring
from smie.failed import in_task
from smie.image import PATH
from smie.isolation import tied
from smie.packer import LIMIT, Log, plain_environment, play, variables
from smie.recipe import Recipe
from smie.software import programs
from smie.workspace import Workspace

BROUGHT = "brought.tar"
POLICY = "/usr/sbin/policy-rc.d"
# Debian's scripts ask it before they start anything (invoke-rc.d(8)); 101 is "no".
MARK = "# Made by smie apply, for as long as it runs."
NO = f"#!/bin/sh\n{MARK}\nexit 101\n"
ENVIRONMENT = {"APT_CONFIG": "/smie/apt/apt.conf", "PATH": PATH.removeprefix("PATH="), "PYTHONDONTWRITEBYTECODE": "1"}
OPTIONS = "-o StrictHostKeyChecking=yes -o BatchMode=yes -o ConnectTimeout=20"
_HOST = re.compile(r"(?:(?P<user>[a-z_][a-z0-9_-]*)@)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*|[0-9a-fA-F:]+)")
_TASK = re.compile(r"TASK \[(.*)] \**$")
_OWN = "smie : "  # begins the names of tasks that bring and take away


@dataclass(frozen=True, slots=True)
class Host:
    """Where to, as a person says it: `USER@HOST`; without a user, root. `config` is of ssh, else the person's own."""

    user: str
    name: str
    config: Path | None = None

    @classmethod
    def parse(cls, text: str, config: Path | None = None) -> Host:
        """Raises BadInput."""
        found = _HOST.fullmatch(text)
        if found is None:
            raise BadInput(
                f"{text!r} is no host",
                resolution="Write USER@HOST, where HOST is a name, an address, or what ssh's configuration calls it.",
            )
        if config is not None and not config.is_file():
            raise BadInput(f"there is no file {config}", resolution="Name ssh's configuration, as ssh -F takes it.")
        return cls(found["user"] or "root", found["name"], config.resolve() if config else None)

    def __str__(self) -> str:
        return f"{self.user}@{self.name}"


@dataclass(slots=True)
class Applied:
    """What came of it. `changed` are tasks, in order; with `is_check` those that would have changed something, and
    `unknown` those that need what earlier ones had not really done."""

    role: str
    host: str
    fingerprint: Digest
    is_check: bool
    tasks: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    _task: str = ""  # at hand, if it is one of the role's

    def shown(self) -> dict[str, object]:
        """As `--json` prints it."""
        return {
            "role": self.role,
            "host": self.host,
            "made_from": self.fingerprint,
            "check": self.is_check,
            "tasks": self.tasks,
            "changed": self.changed,
            "unknown": self.unknown,
        }

    def take(self, line: str) -> str:
        """One line that Ansible says; the task that it begins."""
        if found := _TASK.match(line):
            self._task = "" if found[1].startswith(_OWN) else found[1]
            if self._task:
                self.tasks.append(self._task)
            return self._task
        kept = {"changed": self.changed, "fatal": self.unknown}.get(line.partition(": [")[0])
        if kept is not None and self._task and self._task not in kept:
            kept.append(self._task)
        return ""


class ApplyFailed(Error):
    """A task failed on the host."""


def apply(
    recipe: Recipe, host: Host, workspace: Workspace, report: Report, *,
    check: bool = False, limit: timedelta = LIMIT,
) -> Applied:  # fmt: skip
    """Run the install tasks of the recipe, of a root file system, on the host; with `check` only say what they would
    change. Twice is once. Raises BadInput, Denied, Unavailable, ApplyFailed, Changed, Conflict, Missing."""
    for program in ("ssh", "ansible-playbook"):
        find(program)
    identity, applied = leftovers.identity(recipe.name), Applied(recipe.name, str(host), recipe.fingerprint, check)
    with (
        lease(workspace.lock(f"apply-{Digest.of(str(host).encode()).hex[:16]}"), f"apply {recipe.name} to {host}"),
        workspace.build(identity) as folder,
        leftovers.scratch(identity) as scratch,
    ):
        leftovers.sweep_folders(workspace)
        remote = f"/tmp/.smie-{secrets.token_hex(8)}"  # nobody there can know it beforehand
        _prepare(recipe, host, workspace, folder, remote, check=check)
        log = Log(workspace.log("host", host.name), lambda task: None)

        def take(stream: str, line: str) -> None:
            log.write(line)
            if task := applied.take(line):
                log.task = task
                report(Event("task", recipe.name, task))

        # ssh finds the person's own keys and known hosts by himself (ssh(1)), not by HOME.
        more = {name: os.environ[name] for name in ("SSH_AUTH_SOCK",) if name in environment()}
        own = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(scratch), "ANSIBLE_REMOTE_TEMP": remote}
        env = plain_environment(folder, scratch, folder / "roles") | more | own
        ended = run(argv(host, check=check), cwd=folder, env=env, on_line=take, timeout=limit, check=False)
    if ended.code:
        raise told(ended.stdout, recipe.name, host, log)
    return applied


def argv(host: Host, *, check: bool) -> tuple[str, ...]:
    """Ansible's command. Nothing secret is in it."""
    more = ("--check", "--diff") if check else ()
    return tied("ansible-playbook", "--inventory", f"{host.name},", *more, "play.json")


def plays(
    roles: Sequence[tuple[str, dict[str, object]]], host: Host, brought: str, remote: str, *, check: bool = False
) -> list[dict[str, object]]:
    """One play: bring, install each of these roles with its variables, take away again. `remote` is Ansible's folder
    for temporary files there."""
    always = {"check_mode": False, "diff": False}
    installing = [{**one, "vars": values} for name, values in roles for one in _tasks(name)]
    taking = [
        {
            "name": f"{_OWN}Let services be started again",
            "ansible.builtin.file": {"path": POLICY, "state": "absent"},
            "when": "smie_policy is changed",
        },
        {"name": f"{_OWN}Take it away", "ansible.builtin.file": {"path": "/smie", "state": "absent"}},
        {"name": f"{_OWN}Leave nothing", "ansible.builtin.file": {"path": remote, "state": "absent"}},
    ]
    # In a dry run a task may need what one before it had not really done.
    trying = {"name": "Install roles", "block": installing, "ignore_errors": check}
    block = {
        "name": "Install",
        "block": [*({**one, **always} for one in _bringing(brought)), trying],
        "always": [{**one, **always} for one in taking],
    }
    said: dict[str, object] = {
        "ansible_user": host.user, "ansible_become": host.user != "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": f"-F {host.config} {OPTIONS}" if host.config else OPTIONS,
    }  # fmt: skip
    return [
        {
            "name": "Apply", "hosts": "all", "gather_facts": False, "vars": said, "environment": ENVIRONMENT,
            "tasks": [block],
        }
    ]  # fmt: skip


def _bringing(brought: str) -> list[dict[str, object]]:
    """The tasks before those of the roles."""
    mine = {"owner": "root", "group": "root"}
    return [
        # Who was cut off could not take it away: its services would never start again.
        {
            "name": f"{_OWN}See whether an earlier run kept services from being started",
            "ansible.builtin.command": {"argv": ["grep", "-qsxF", MARK, POLICY]},
            "register": "smie_earlier",
            "changed_when": False,
            "failed_when": False,
        },
        {
            "name": f"{_OWN}Let services be started again",
            "ansible.builtin.file": {"path": POLICY, "state": "absent"},
            "when": "smie_earlier.rc == 0",
        },
        {
            "name": f"{_OWN}Forget what an earlier run left",
            "ansible.builtin.file": {"path": "/smie", "state": "absent"},
        },
        {
            "name": f"{_OWN}Make room",
            "ansible.builtin.file": {"path": "/smie", "state": "directory", "mode": "0755", **mine},
        },
        {"name": f"{_OWN}Bring it", "ansible.builtin.unarchive": {"src": brought, "dest": "/smie", **mine}},
        {
            "name": f"{_OWN}Keep services from being started",
            "ansible.builtin.copy": {"content": NO, "dest": POLICY, "mode": "0755", "force": False, **mine},
            "register": "smie_policy",
        },
    ]


def _tasks(name: str) -> list[dict[str, object]]:
    tasks = play(name, {})[0]["tasks"]
    assert isinstance(tasks, list)
    return tasks


def _prepare(recipe: Recipe, host: Host, workspace: Workspace, folder: Path, remote: str, *, check: bool) -> None:
    recipe.index.fetch(recipe.packages)
    software = {
        role.name: programs(workspace, role.software, role.software_sha256, recipe.index.origin)
        for role in recipe.roles
        if role.software
    }
    frozen.roles(recipe, folder / "roles")
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    bring(recipe, software, folder / "brought")
    with tarfile.open(folder / BROUGHT, "w") as archive:
        archive.add(folder / "brought", ".")
    installed = [
        (role.name, variables(role, f"{SOFTWARE}/{role.name}" if role.name in software else ""))
        for role in recipe.roles
    ]
    write_atomically(folder / "ansible.cfg", "")
    made = plays(installed, host, str(folder / BROUGHT), remote, check=check)
    write_atomically(folder / "play.json", json.dumps(made, indent=2))


def told(said: str, role: str, host: Host, log: Log) -> Error:
    """Why it did not work."""
    again = f"The whole log is in {log.path}. Repeat it with: smie apply {role} --host {host}"
    details = "\n".join(log.end)
    if "Host key verification failed" in said:
        return Denied(
            f"{host} shows a key that is not among the known hosts",
            details=details,
            resolution="Compare it with the host's own, by another way than this network, and add it to known_hosts. "
            f"{again}",
        )
    if "UNREACHABLE!" in said:
        return Unavailable(f"{host} cannot be reached by SSH", details=details, resolution=again)
    return ApplyFailed(f"applying {role} to {host} failed{in_task(log)}", details=details, resolution=again)
