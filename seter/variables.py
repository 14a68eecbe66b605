"""What templates and tasks see: plain values, computed from definitions, places and subnets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from common.errors import BadInput
from common.role import ParameterType, Role, Value
from common.system import Node
from seter.provisioner.subnets import address
from seter.state import Place, Subnets

Variables = dict[str, Any]
ALL = "main"  # the one network of hosts whose target names none
LARGEST_NUMBER = 199  # host parts from 200 on are kept for the engine's gateway and for growth


@dataclass(frozen=True, slots=True)
class Map:
    """Where every node of a deployment is: its place, and the addresses of its networks."""

    nodes: tuple[Node, ...]
    places: Mapping[str, Place]
    subnets: Mapping[str, Subnets]

    def addresses(self, node: Node) -> dict[str, Variables]:
        """The node's addresses in each of its networks, in the order of the target's file."""
        if node.address or node.address6:
            return self._given(node)
        return {network: self._address(node, network) for network in node.networks}

    def _given(self, node: Node) -> dict[str, Variables]:
        """The addresses that the target's file says, each in the network that holds it; without networks, in one."""
        found: dict[str, Variables] = {}
        for text in filter(None, (node.address, node.address6, *node.addresses)):
            name = next((name for name, subnets in self.subnets.items() if _holds(subnets, text)), ALL)
            subnets = self.subnets.get(name, Subnets("", ""))
            entry = found.setdefault(name, {"address": "", "address6": "", "prefix": subnets.v4, "prefix6": subnets.v6})
            entry["address6" if ":" in text else "address"] = text
        return found

    def _address(self, node: Node, network: str) -> Variables:
        number, subnets = self.places[node.name].number, self.subnets[network]
        return {
            "address": address(subnets.v4, number),
            "address6": address(subnets.v6, number),
            "prefix": subnets.v4,
            "prefix6": subnets.v6,
        }

    def seen_from(self, observer: Node, node: Node) -> Variables:
        """The node as `observer` knows it: its address is the one in the first network that both have."""
        networks = self.addresses(node)
        shared = next((network for network in self.addresses(observer) if network in networks), next(iter(networks)))
        place = self.places[node.name]
        return {
            "name": node.name,
            "group": node.group,
            "index": place.index,
            "number": place.number,
            "address": networks[shared]["address"],
            "address6": networks[shared]["address6"],
            "networks": networks,
            "manage": not node.existing,
            "ssh": node.port,
        }

    def groups_from(self, observer: Node) -> dict[str, list[Variables]]:
        """All groups as `observer` knows them; nodes in the order of their numbers, whatever the file's order is."""
        ordered = sorted(self.nodes, key=lambda node: self.places[node.name].number)
        groups: dict[str, list[Variables]] = {}
        for node in ordered:
            groups.setdefault(node.group, []).append(self.seen_from(observer, node))
        return groups


def _holds(subnets: Subnets, text: str) -> bool:
    address = ip_address(text)
    return any(address in ip_network(prefix) for prefix in (subnets.v4, subnets.v6) if prefix)


def number(nodes: Sequence[Node], known: Mapping[str, Place]) -> dict[str, Place]:
    """Give every node a place. Known ones keep theirs; new ones get the lowest that are free, in the file's order."""
    places = {node.name: known[node.name] for node in nodes if _keeps(node, known)}
    for node in nodes:
        if node.name not in places:
            indexes = {place.index for place in places.values() if place.group == node.group}
            numbers = {place.number for place in places.values()}
            places[node.name] = Place(node.group, _lowest(indexes), _lowest(numbers))
    if any(place.number > LARGEST_NUMBER for place in places.values()):
        raise BadInput(f"more than {LARGEST_NUMBER} nodes", resolution="Split the deployment in two.")
    return places


def _keeps(node: Node, known: Mapping[str, Place]) -> bool:
    return node.name in known and known[node.name].group == node.group


def _lowest(taken: Iterable[int]) -> int:
    used = set(taken)
    return next(number for number in range(1, len(used) + 2) if number not in used)


def of_role(
    role: Role,
    parameters: Mapping[str, Value],
    groups: Mapping[str, list[Variables]],
    services: Mapping[str, Mapping[str, Value]],
) -> Variables:
    """The role's parameters as Ansible variables: durations in seconds, sizes in bytes, groups as lists of nodes.

    A role that takes some for each service has those of all but the first in a list."""
    variables = {role.variable_prefix + name: value for name, value in _variables(role, parameters, groups).items()}
    if role.per_service:
        variables[role.variable_prefix + "services"] = [
            {"name": service, **_variables(role, values, groups)} for service, values in services.items()
        ]
    return variables


def _variables(role: Role, parameters: Mapping[str, Value], groups: Mapping[str, list[Variables]]) -> Variables:
    """By the names of the parameters."""
    variables = {}
    for parameter in role.parameters:
        if parameter.name in parameters:
            value = parameters[parameter.name]
            is_group = parameter.type is ParameterType.NODES
            plain = groups.get(str(value), []) if is_group else _plain(value, f"{role.name}: {parameter.name}")
            variables[parameter.name] = plain
    return variables


def _plain(value: Value, what: str) -> object:
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds == int(seconds) else seconds
    if isinstance(value, tuple):
        return [_plain(item, what) for item in value]
    if isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#")):
        raise BadInput(f"{what} holds {value!r}", resolution="Values are literals: templates are not evaluated there.")
    return value


def openings(
    roles: Sequence[tuple[Role, Mapping[str, Value]]], groups: Mapping[str, list[Variables]]
) -> list[Variables]:
    """Which ports of a node's roles others reach, and the addresses of those others; `anyone` is no address.

    Openings for nobody are left out. `roles` have their parameters, `groups` are as the node knows them."""
    found = []
    for role, parameters in roles:
        for opening in role.openings:
            sources = [address for name in opening.sources for address in _addresses(name, parameters, groups)]
            if sources:
                found.append(
                    {
                        "role": role.name,
                        "name": opening.name,
                        "protocol": opening.protocol,
                        "ports": list(opening.ports),
                        "from": sorted(dict.fromkeys(sources)),
                    }
                )
    return found


def _addresses(name: str, parameters: Mapping[str, Value], groups: Mapping[str, list[Variables]]) -> list[str]:
    """Who is meant by one source of an opening."""
    if name == "anyone":
        return [name]
    value = parameters.get(name, ())
    if isinstance(value, str) and value in groups:
        return [node[family] for node in groups[value] for family in ("address", "address6") if node[family]]
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)] if value else []


def metrics_targets(map: Map, observer: Node, roles: Mapping[str, Sequence[Role]]) -> list[Variables]:
    """Everything that has metrics, for whoever collects them. `roles` gives the roles of each group."""
    targets = []
    for group, nodes in map.groups_from(observer).items():
        for role in roles.get(group, ()):
            if role.metrics:
                targets += [
                    {"job": role.name, "node": node["name"], "address": node["address"], "port": role.metrics}
                    for node in nodes
                ]
    return targets


def certificate_names(role_names: Sequence[str], node: Node, map: Map, parameters: Mapping[str, Value]) -> list[str]:
    """What a certificate covers: the node, or what parameters hold; a name also covers all directly below it."""
    names: list[str] = []
    for name in role_names:
        if name == "node":
            addresses = map.addresses(node).values()
            own = [entry[family] for entry in addresses for family in ("address", "address6") if entry[family]]
            names += [node.name, *own, "localhost", "127.0.0.1", "::1"]
        else:
            value = parameters[name]
            for item in value if isinstance(value, tuple) else (value,):
                names += [str(item)] if _is_address(str(item)) else [str(item), f"*.{item}"]
    return list(dict.fromkeys(names))


def _is_address(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
