"""What cannot be true together on a target: found before anything runs, all at once, both places named. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import combinations

from common.errors import Problem
from common.parameters import given
from common.role import NOWHERE, Place, Role
from common.system import Group, Node, System, Target


def conflicts(system: System, target: Target) -> tuple[Problem, ...]:
    """All conflicts of the system on this target."""
    found = (
        *_equal_names(target),
        *_equal_addresses(target),
        *_overlapping_networks(target),
        *_equal_router_ids(system, target),
        *_virtual_addresses_of_nodes(system, target),
        *(problem for group in system.groups for problem in _equal_ports(group)),
        *(problem for group in system.groups for problem in _contradicting_sysctls(group)),
    )
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class _Claim:
    """Somebody wants something that only one can have."""

    what: str
    who: str
    place: Place


def _clashes(claims: Iterable[_Claim], message: str, fix: str) -> Iterator[Problem]:
    """A problem at each claim of what an earlier one claimed; `message` has {what}, {who} and {first}."""
    firsts: dict[str, _Claim] = {}
    for claim in claims:
        first = firsts.setdefault(claim.what, claim)
        if first is not claim:
            text = message.format(what=claim.what, who=claim.who, first=f"{first.who} ({first.place})")
            yield Problem(claim.place.file, claim.place.line, text, fix)


def _title(node: Node) -> str:
    return f'node "{node.name}" of group "{node.group}"'


def _equal_names(target: Target) -> Iterator[Problem]:
    claims = (_Claim(node.name, _title(node), node.place) for node in target.nodes)
    yield from _clashes(claims, "{who} is called as {first}", "give one of them another name")


def _equal_addresses(target: Target) -> Iterator[Problem]:
    claims = (
        _Claim(address, _title(node), node.place)
        for node in target.nodes
        for address in (node.address, node.address6, *node.addresses)
        if address
    )
    yield from _clashes(claims, "{who} has the address {what} of {first}", "give one of them another address")


def _overlapping_networks(target: Target) -> Iterator[Problem]:
    """Of networks that are there already: an address in both would be on two wires."""
    there = [
        (network, ip_network(prefix, strict=False))
        for network in target.networks
        for prefix in (network.prefix, network.prefix6)
        if prefix
    ]
    for (first, one), (second, other) in combinations(there, 2):
        if one.version == other.version and one.overlaps(other):
            message = f'network "{second.name}" ({other}) overlaps network "{first.name}" ({one}, {first.place})'
            yield Problem(second.place.file, second.place.line, message, "give each network a prefix of its own")


def _equal_router_ids(system: System, target: Target) -> Iterator[Problem]:
    """Parameters called `router_id`; two speakers with one do not peer (RFC 4271, 6286)."""
    claims: dict[tuple[str, str], _Claim] = {}
    for node, group in _placed(system, target):
        for use in group.roles:
            found = given(system, group, use, target, node, "router_id")
            if found is not None:
                claims.setdefault((node.name, str(found[0])), _Claim(str(found[0]), _title(node), found[1]))
    yield from _clashes(claims.values(), "{who} has the router id {what} of {first}", "give each node its own")


def _virtual_addresses_of_nodes(system: System, target: Target) -> Iterator[Problem]:
    """An address that routers spread over the nodes may not be a node's own.

    Virtual are the addresses of the parameter `vips` and of those whose routes a check looks at.
    """
    names = {"vips", *(check.routes for check in system.checks)}
    virtual: dict[str, Place] = {}
    for node, group in _placed(system, target):
        for use in group.roles:
            for name in names:
                value, place = given(system, group, use, target, node, name) or ("", NOWHERE)
                virtual |= {str(each): place for each in (value if isinstance(value, tuple) else (value,)) if each}
    for node in target.nodes:
        for address in {node.address, node.address6} & virtual.keys():
            message = f"{_title(node)} has the address {address}, which is a virtual one ({virtual[address]})"
            yield Problem(node.place.file, node.place.line, message, "give the node another address")


def _placed(system: System, target: Target) -> Iterator[tuple[Node, Group]]:
    groups = {group.name: group for group in system.groups}
    for node in target.nodes:
        if node.group in groups:
            yield node, groups[node.group]


def _equal_ports(group: Group) -> Iterator[Problem]:
    claims = (
        _Claim(str(port), f'role "{use.role.name}"', place)
        for use in group.roles
        for port, place in _ports(use.role).items()
    )
    message = f'group "{group.name}": {{who}} wants port {{what}}, which {{first}} wants on the same node'
    yield from _clashes(claims, message, "give one of them another port, or another group")


def _ports(role: Role) -> dict[int, Place]:
    """Ports that the role wants, with where it says so."""
    ports: dict[int, Place] = {}
    if role.process is not None:
        place = dict(role.process.places).get("listens", role.process.place)
        ports = dict.fromkeys(role.process.listens, place)
    if role.metrics:
        ports.setdefault(role.metrics, dict(role.places).get("metrics", role.place))
    return ports


def _contradicting_sysctls(group: Group) -> Iterator[Problem]:
    for first, second in combinations([use.role for use in group.roles], 2):
        wanted = dict(first.sysctls)
        for name, value in second.sysctls:
            if wanted.get(name, value) != value:
                place = dict(second.places).get("sysctls", second.place)
                other = dict(first.places).get("sysctls", first.place)
                message = (
                    f'group "{group.name}": role "{second.name}" sets {name} to {value}, '
                    f'role "{first.name}" ({other}) to {wanted[name]} on the same node'
                )
                yield Problem(place.file, place.line, message, "make them agree, or put them into different groups")
