"""The shapes of `system.hcl` and `targets/*.hcl`: what may stand in them and what it means.

A system names roles that the catalogue has yet to find, so what is read here are drafts with names instead of roles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from common.errors import BadInput
from common.hcl import Literal
from common.model import Reference
from common.names import as_command, as_expected
from common.role import NOWHERE, Check, Image, Place, Places, Value
from common.role_shapes import COMMAND, HTTP, IMAGE, WITHIN, ways_faults
from common.schema import Inner, Setting, Shape
from common.system import MAIN, Rollout, Service, WatchList
from common.upkeep_shapes import command_only
from common.values import (
    Wrong,
    as_count,
    as_duration,
    as_flag,
    as_integer,
    as_label,
    as_port,
    as_size,
    as_text,
    did_you_mean,
    many,
    one_of,
    shown,
)
from common.watch_shapes import WATCH

Pairs: TypeAlias = "tuple[tuple[str, Value], ...]"


@dataclass(frozen=True, slots=True)
class RoleUseDraft:
    """A role of a group, by name."""

    name: str
    parameters: Pairs = ()
    artifact: str = ""
    place: Place = NOWHERE
    places: Places = ()


@dataclass(frozen=True, slots=True)
class GroupDraft:
    """A group whose roles are names. Defaults are those of `common.system.Group`."""

    name: str
    roles: tuple[RoleUseDraft, ...] = ()
    at_least: int = 1
    summary: str = ""
    images: tuple[Image, ...] = ()
    withdraw: tuple[str, ...] = ()
    idle_ports: tuple[int, ...] = ()
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class ParametersDraft:
    """Parameters with the places where they stand."""

    values: Pairs = ()
    places: Places = ()


NO_PARAMETERS = ParametersDraft()


@dataclass(frozen=True, slots=True)
class SystemDraft:
    """A system whose roles are names."""

    name: str
    summary: str
    groups: tuple[GroupDraft, ...] = ()
    parameters: ParametersDraft = NO_PARAMETERS
    services: tuple[Service, ...] = ()
    checks: tuple[Check, ...] = ()
    rollout: Rollout = field(default_factory=Rollout)
    watch: WatchList | None = None
    place: Place = NOWHERE


# system.hcl -----------------------------------------------------------------------------------------------------------


def as_at_least(literal: Literal) -> int:
    """1 or more."""
    number = as_integer(literal)
    if number < 1:
        raise Wrong(f"{number} nodes make no group", "write 1 or more")
    return number


def as_artifact(literal: Literal) -> str:
    """`kind/name:tag`."""
    try:
        return str(Reference.parse(as_text(literal)))
    except BadInput as error:
        raise Wrong(error.message, "write KIND/NAME:VERSION, one that `naust list` shows") from None


ROLE_USE = Shape(
    name="role",
    summary="A role of the group, with what this group tells it. Roles start in this order and stop in the reverse",
    make=RoleUseDraft,
    label="name",
    label_summary="name of a role",
    settings=(
        Setting("artifact", "artefact", as_artifact, "A pinned artefact, `container/NAME:VERSION`; else the newest"),
    ),
    open="parameters",
    open_summary="A parameter of the role: a literal, or the name of a parameter of the system",
)

WITHDRAW = Shape(
    name="withdraw",
    summary="How a node moves new traffic away before it is touched",
    make=command_only,
    settings=(Setting("command", "list of text", as_command, "Command on the node", True),),
)


def ports_only(ports: tuple[int, ...]) -> tuple[int, ...]:
    """A block that holds ports and nothing else is these ports."""
    return ports


IDLE = Shape(
    name="idle",
    summary="When a node that was withdrawn is idle",
    make=ports_only,
    settings=(Setting("ports", "list of ports", many(as_port), "No connection to these is left", True),),
)

GROUP = Shape(
    name="group",
    summary="Nodes that are alike. A roll-out takes groups in this order",
    make=GroupDraft,
    label="name",
    label_summary="name of the group",
    settings=(
        Setting("summary", "text", as_text, "What it is for"),
        Setting("at_least", "number", as_at_least, "It needs so many nodes"),
    ),
    inner=(
        Inner(ROLE_USE, "roles", required=True),
        Inner(IMAGE, "images"),
        Inner(WITHDRAW, "withdraw", one=True),
        Inner(IDLE, "idle_ports", one=True),
    ),
)

PARAMETERS = Shape(
    name="parameters",
    summary="Given to every role that declares a parameter of the name",
    make=ParametersDraft,
    open="values",
    open_summary="A parameter",
)


def as_service(literal: Literal) -> str:
    """A label that is not the first service's."""
    name = as_label(literal)
    if name == MAIN:
        raise Wrong(f"{shown(literal)} is the service that parameters {{ … }} describe", "give this one another name")
    return name


SERVICE = Shape(
    name="service",
    summary="Another service of the same nodes, beside the one that `parameters` describes; what it does not say is as "
    "there",
    make=Service,
    label="name",
    label_summary="name of the service",
    take_label=as_service,
    open="parameters",
    open_summary="A parameter that a role takes for each service (`per_service`)",
)


def _system_check_faults(check: Check) -> Iterator[Wrong]:
    yield from ways_faults(check, ("s3", "routes", "http", "command"))
    if (check.routes or check.command or check.through or check.throughout) and not check.on:
        yield Wrong("does not say where it runs", 'add on = "GROUP"')
    for name in ("through", "throughout", "sizes"):
        if not check.s3 and getattr(check, name):
            yield Wrong(f"is no check of kind s3 and has {name}", f"leave {name} out", name)
    if check.through and check.throughout:
        yield Wrong("goes through one node and throughout a roll-out", "make two checks of it", "throughout")


SYSTEM_CHECK = Shape(
    name="check",
    summary="A probe of the running system",
    make=Check,
    label="name",
    label_summary="what holds",
    settings=(
        Setting("s3", "parameter", as_text, "Put, get, compare and delete at the name that this parameter holds"),
        Setting("routes", "parameter", as_text, "Routes to the addresses that this parameter holds, in the kernel"),
        HTTP,
        COMMAND,
        Setting("on", "group", as_label, "Group whose nodes look"),
        Setting("through", "group", as_label, "`s3` goes through each node of this group, after it was changed too"),
        Setting("throughout", "flag", as_flag, "`s3` is one upload as long as a roll-out lasts, which must not break"),
        Setting("sizes", "list of sizes", many(as_size), "Objects that `s3` stores; else one of 1 KiB"),
        Setting(
            "expect", "text or number", as_expected, "Status that `http` gets; of `routes`, the group of next hops"
        ),
        WITHIN,
    ),
    faults=_system_check_faults,
)


ROLLOUT = Shape(
    name="rollout",
    summary="How a change goes over a group",
    make=Rollout,
    settings=(
        Setting("canary", "count", as_count, "Nodes that go first"),
        Setting("at_once", "number", as_at_least, "Nodes that go together afterwards"),
        Setting("watch", "duration", as_duration, "Checks must hold this long before the next step"),
        Setting("confirm", "duration", as_duration, "A node that hears nothing this long rolls itself back"),
        Setting("budget", "count", as_count, "Nodes that may fail over the whole roll-out, unreachable included"),
        Setting("on_failure", "choice", one_of("roll back", "stop"), "What happens then: `roll back` or `stop`"),
    ),
)


def _system_faults(system: SystemDraft) -> Iterator[Wrong]:
    groups = [group.name for group in system.groups]
    if system.watch is not None and system.watch.on not in groups:
        hint = did_you_mean(system.watch.on, groups, "groups")
        yield Wrong(f'watch: on: unknown group "{system.watch.on}"', hint)


SYSTEM = Shape(
    name="system",
    summary="Groups of nodes that make one thing run",
    make=SystemDraft,
    label="name",
    label_summary="name of its folder",
    settings=(Setting("summary", "text", as_text, "What it is", True),),
    inner=(
        Inner(PARAMETERS, "parameters", one=True),
        Inner(SERVICE, "services"),
        Inner(GROUP, "groups", required=True),
        Inner(SYSTEM_CHECK, "checks"),
        Inner(ROLLOUT, "rollout", one=True),
        Inner(WATCH, "watch", one=True),
    ),
    faults=_system_faults,
)
