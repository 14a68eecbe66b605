"""Who sits where: the definitions of a system and a target, resolved to roles on nodes. Looks at nothing but files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from common import console
from common.catalog import Catalog
from common.errors import BadInput
from common.model import Kind
from common.parameters import resolve, resolve_services
from common.role import CPU_WEIGHT, Check, Process, Role, Value
from common.services import checks_of
from common.system import Deployment, Group, Node, RoleUse, System, Target
from seter.keep import open_keep
from seter.sources import Sources


@dataclass(frozen=True, slots=True)
class Seat:
    """One role on one node, with the parameters that hold there."""

    node: Node
    role: Role
    parameters: Mapping[str, Value]
    artifact: str  # `container/traefik`, or with a pinned version; on hosts `rootfs/traefik` or `rootfs/s3-lb.gateways`
    services: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)  # all but the first, by name

    @property
    def key(self) -> tuple[str, str]:
        """(node, role)."""
        return self.node.name, self.role.name


@dataclass(frozen=True)
class Blueprint:
    """A system on a target, before anything is looked at."""

    deployment: Deployment
    system: System
    target: Target
    seats: tuple[Seat, ...]
    roles_folder: Path

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The system's groups that have nodes of ours on this target, in file order."""
        present = {node.group for node in self.target.nodes if not node.existing}
        return tuple(group for group in self.system.groups if group.name in present)

    @cached_property
    def known(self) -> tuple[Node, ...]:
        """The target's nodes, group by group as the system orders them, within a group in file order."""
        order = {group.name: number for number, group in enumerate(self.system.groups)}
        return tuple(sorted(self.target.nodes, key=lambda node: order[node.group]))

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Those of them that are ours to make and change, in the same order."""
        return tuple(node for node in self.known if not node.existing)

    @cached_property
    def seat(self) -> Mapping[tuple[str, str], Seat]:
        """Seats by (node, role)."""
        return {seat.key: seat for seat in self.seats}

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """The system's checks, those of each service among them."""
        return checks_of(self.system, self.target)

    def group(self, name: str) -> Group:
        """The group of this name."""
        return next(group for group in self.groups if group.name == name)

    def nodes_of(self, group: str) -> tuple[Node, ...]:
        """The group's nodes in file order."""
        return tuple(node for node in self.nodes if node.group == group)

    @cached_property
    def _seats_by_node(self) -> Mapping[str, tuple[Seat, ...]]:
        found: dict[str, list[Seat]] = {}
        for seat in self.seats:
            found.setdefault(seat.node.name, []).append(seat)
        return {node: tuple(seats) for node, seats in found.items()}

    def seats_of(self, node: str) -> tuple[Seat, ...]:
        """The node's seats in starting order."""
        return self._seats_by_node.get(node, ())

    def roles_of_groups(self) -> dict[str, tuple[Role, ...]]:
        """Each group's roles in starting order."""
        return {group.name: tuple(use.role for use in group.roles) for group in self.groups}


def read_blueprint(
    deployment: Deployment, systems: Path | None, state: str | None = None, *, lenient: bool = False
) -> Blueprint:
    """Read and check all definitions that the deployment reaches, and ask programs for the nodes that none names; with
    `lenient` one that fails is made up for by what it said last. Raises BadInput with all problems at once."""
    folder = Catalog.open(systems).folder / deployment.system / "targets"
    given = Sources(open_keep(deployment, state).folder, folder, console.reporter(), lenient)
    catalog = Catalog.open(systems, given)
    system, target = catalog.definition(deployment.system, deployment.target)
    seats = tuple(
        Seat(
            node,
            use.role,
            resolve(system, group, use, target, node),
            _artifact(system, group, use, target, node),
            resolve_services(system, group, use, target, node),
        )
        for group in system.groups
        for node in target.nodes
        if node.group == group.name and not node.existing
        for use in group.roles
    )
    return Blueprint(deployment, system, target, seats, catalog.folder / "roles")


def _artifact(system: System, group: Group, use: RoleUse, target: Target, node: Node) -> str:
    """What the role runs from on this node: its own image, what is installed for it on hosts, or the disk or root file
    system that has all roles of its group. What the system names is of one kind; where a target has nodes of several,
    those of another have what follows from the role's name."""
    kinds = {"baremetal": Kind.ROOTFS, "virtual": Kind.VM}
    kind = kinds.get(target.kind_of(node), Kind.CONTAINER)
    is_meant = len(target.kinds) == 1 or use.artifact.startswith(f"{kind}/")
    whole = kind is Kind.VM or node.written
    own = f"{kind}/{system.name}.{group.name}" if whole else f"{kind}/{use.role.name}"
    return use.artifact if use.artifact and is_meant else own


def known_group(blueprint: Blueprint, name: str) -> str:
    """The name, if it is one of the deployment's groups or empty. Raises BadInput."""
    names = [group.name for group in blueprint.groups]
    if name and name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Its groups are: {', '.join(names)}."
        raise BadInput(f"{blueprint.deployment} has no group {name!r}", resolution=hint)
    return name


def sysctls(node: Node, roles: Iterable[Role]) -> tuple[tuple[str, str], ...]:
    """What the node's kernel must be set to, sorted. Raises BadInput when two roles want it differently."""
    wanted: dict[str, tuple[Role, str]] = {}
    for role in roles:
        for name, value in role.sysctls:
            other, there = wanted.setdefault(name, (role, value))
            if there != value:
                raise BadInput(
                    f"{_line(role)}: node {node.name} cannot have {name}={value}: role {other.name} wants {there}",
                    resolution=f"Roles on one node share its kernel settings: change this line or {_line(other)}.",
                )
    return tuple(sorted((name, value) for name, (_, value) in wanted.items()))


def _line(role: Role) -> str:
    """Where the role says what it wants of the kernel."""
    place = dict(role.places).get("sysctls", role.place)
    return f"{place.file}:{place.line}"


def refuse_addresses(target: Target) -> None:
    """Nodes that are made get their addresses from us. Raises BadInput for one that the target gives."""
    there = {network.name for network in target.networks if network.prefix}
    for node in target.managed:
        if target.kind_of(node) != "baremetal" and (node.address or node.address6) and there.isdisjoint(node.networks):
            raise BadInput(
                f"{node.place}: node {node.name} has an address, "
                f"but the addresses of {target.kind_of(node)} nodes are picked when their networks are made",
                resolution="Take the address out; networks = […] says where the node is.",
            )


def process_block(process: Process) -> dict[str, object]:
    """What of a process block a running process is made of; a change in the rest needs no new start."""
    weight = {} if process.cpu_weight == CPU_WEIGHT else {"cpu_weight": process.cpu_weight}  # older digests stay valid
    return weight | {
        "command": list(process.command),
        "type": process.type,
        "user": process.user,
        "uid": process.uid,
        "groups": list(process.groups),
        "capabilities": list(process.capabilities),
        "writes": list(process.writes),
        "environment": dict(process.environment),
        "restart": process.restart,
        "stop_signal": process.stop_signal,
        "stop_within": int(process.stop_within.total_seconds()),
    }


def no_such(what: str, word: str, names: Sequence[str]) -> BadInput:
    """The error for a name that nothing has, with the one that may have been meant."""
    close = difflib.get_close_matches(word, names, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names)}."
    return BadInput(f"there is no {what}", resolution=hint)
