"""Rules of one phase: what install, configure and service may not do (systems/README.md, "A role")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from smie.lint.everywhere import COMMANDS, FILES, PACKAGERS, command_of, destinations
from smie.lint.finding import Finding, Found
from smie.lint.folder import INCLUDES_ROLE, INCLUDES_TASKS, OF_ANSIBLE, OF_INSTALL, PROCESS, Folder, House
from smie.lint.tasks import Task, strings

SERVICES = ("service", "systemd", "systemd_service", "sysvinit")
FETCHES = ("get_url", "uri", "git", "subversion", "hg", "apt_key", "apt_repository", "deb822_repository", "rpm_key")
WRITES = ("template", "copy", "file", "assemble", *INCLUDES_ROLE, *INCLUDES_TASKS, "set_fact", "assert", "debug")
_URL = re.compile(r"\b(https?|ftp|git|ssh)://")
_FETCHING = re.compile(
    r"\b(curl|wget|git\s+(clone|fetch|pull)|svn\s+checkout|pip3?\s+(install|download)|apt(-get)?\s+\S*\s*(install|update|upgrade)"
    r"|npm\s+i|go\s+(get|install)|gem\s+install|cargo\s+install|docker\s+pull|scp|rsync\s+\S*:)"
)
_STARTING = re.compile(r"\b(systemctl|service|invoke-rc\.d|initctl)\b|\bnohup\b|(?<!&)&\s*$")
_UNEVEN = {
    "now": "the time",
    "lookup": "the operator's machine",
    "query": "the operator's machine",
    "q": "the operator's machine",
    "random": "chance",
    "shuffle": "chance",
    "password_hash": "chance",
    "random_mac": "chance",
}


def rules(house: House, folder: Folder) -> Found:
    """All of them."""
    for task in folder.of_phase("install"):
        yield from _install(house, folder, task)
    for task in folder.of_phase("configure"):
        yield from _configure(house, folder, task)
        yield from _uneven(house, task.file, folder.reading(task).calls | folder.reading(task).filters)
    for task in folder.of_phase("service") if folder.name != PROCESS else ():
        if task.module in FILES or task.module in PACKAGERS:
            problem = f"{task.title} writes while the process may run"
            remedy = "files belong into configure.yml, packages into role.hcl"
            yield house.found(task.file, task.line, "service-writes", problem, remedy)
    yield from _handed_over(house, folder)


def _install(house: House, folder: Folder, task: Task) -> Found:
    command = command_of(task) if task.module in COMMANDS else ""
    started = _STARTING.search(command)
    if (task.module in SERVICES or started) and not _has_init(folder):
        problem = f"{task.title} starts something, or wants an init system"
        remedy = "say in the process block of role.hcl what runs"
        yield house.found(task.file, task.line, "starts", problem, remedy)
    reached = _reached(task, command)
    if reached:
        remedy = "name packages or software in role.hcl: smie fetches them beforehand and checks them"
        yield house.found(task.file, task.line, "network", f"{task.title} reaches for {reached}", remedy)
    yield from _packages(house, folder, task)
    yield from _told(house, folder, task.file, folder.reading(task).variables)


def _has_init(folder: Folder) -> bool:
    """Whether the tasks run in nothing but machines that have booted."""
    images = folder.role.images if folder.role else ()
    return any(image.build == "booted" for image in images) and all(image.kind != "container" for image in images)


def _reached(task: Task, command: str) -> str:
    """What of the network a task of install wants; nothing when it wants none."""
    if task.module in FETCHES:
        return "the network"
    if match := _FETCHING.search(command):
        return f"the network with {match[0]}"
    sources = [task.text(key) for key in ("src", "deb", "url", "repo", "name")] + [command]
    if any(_URL.search(source) for source in sources):
        return "a URL"
    if task.module == "apt" and (task.arguments.get("update_cache") is True or task.arguments.get("upgrade")):
        return "Debian's mirror"
    return "PyPI" if task.module == "pip" else ""


def _packages(house: House, folder: Folder, task: Task) -> Found:
    if task.module not in ("apt", "package") or folder.role is None or task.text("state") == "absent":
        return
    for text in strings(task.arguments.get("name") or task.arguments.get("pkg")):
        for name in (each.strip().partition("=")[0] for each in text.split(",")):
            if name and "{{" not in name and name not in folder.role.packages:
                problem = f"package {name} is not in packages of role.hcl, so the build does not have it"
                yield house.found(task.file, task.line_of("name"), "package", problem, f'add "{name}" there')


def _told(house: House, folder: Folder, path: Path, variables: Mapping[str, int]) -> Found:
    """Variables that other phases know and install does not."""
    later = house.known(folder) - OF_INSTALL - OF_ANSIBLE - _set_while_installing(folder)
    for name, line in variables.items():
        if name in later:
            problem = f"{name} is not known while an image is built"
            remedy = "an image is the same for all: move it into configure.yml"
            yield house.found(path, line, "parameter-in-install", problem, remedy)


def _set_while_installing(folder: Folder) -> frozenset[str]:
    return folder.own_variables - folder.parameters


def _configure(house: House, folder: Folder, task: Task) -> Found:
    if task.module not in WRITES and task.module:
        problem = f"{task.title} is no writing of files"
        remedy = "configure.yml runs on the operator's machine: use template and copy alone"
        yield house.found(task.file, task.line, "configure-acts", problem, remedy)
    if task.module in FILES:
        for place in destinations(task):
            if not re.match(r"\{\{\s*root\s*\}\}/", place) or "/../" in place:
                remedy = f'begin it with "{{{{ root }}}}/{folder.name}/"'
                yield house.found(task.file, task.line_of("dest"), "outside-root", f"writes to {place}", remedy)
        for key in ("owner", "group"):
            if key in task.arguments:
                problem = f"{task.title} sets the {key}, which the operator's machine may not have"
                remedy = "leave it out: the process reads what everybody may read, and secrets have its user"
                yield house.found(task.file, task.line_of(key), "configure-acts", problem, remedy)


def _uneven(house: House, path: Path, used: Mapping[str, int]) -> Found:
    for name, line in used.items():
        if name in _UNEVEN:
            problem = f"{name} brings {_UNEVEN[name]} into a file, which then changes by itself"
            yield house.found(path, line, "not-repeatable", problem, "make it a parameter, or a secret block")


def _handed_over(house: House, folder: Folder) -> Iterator[Finding]:
    role = folder.role
    if role is None:
        return
    wanted = {"install": bool(role.packages or role.process), "service": role.process is not None}
    for phase, needed in wanted.items():
        there = any(
            task.module in INCLUDES_ROLE and task.text("name") == PROCESS and task.text("tasks_from") == phase
            for task in folder.of_phase(phase)
        )
        if needed and phase in folder.files and not there:
            what = "packages and the user are not installed" if phase == "install" else "the process does not run"
            remedy = f"begin with include_role: name: {PROCESS}, tasks_from: {phase}"
            path = folder.files[phase].path
            yield house.found(path, 1, "process-left-out", f"the role process is not included, so {what}", remedy)


def template_rules(house: House, folder: Folder) -> Found:
    """Rules for templates, which belong to the phase that renders them."""
    installed = folder.templates_of("install")
    for name, read in folder.templates.items():
        path = folder.path / "templates" / name
        yield from _uneven(house, path, read.calls | read.filters)
        if name in installed:
            yield from _told(house, folder, path, read.variables)
