"""What templates and tasks see: plain values, computed from definitions, places and subnets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from common.errors import BadInput
from common.role import ParameterType, Role, Value
from common.system import Node
from seter.provisioner.subnets import GATEWAY, address
from seter.state import Place, Subnets

Variables = dict[str, Any]
T = TypeVar("T")
ALL = "main"  # the one network of hosts whose target names none
LARGEST_NUMBER = 199  # host parts from 200 on are kept for the engine's gateway and for growth


@dataclass(frozen=True, slots=True)
class Map:
    """Where every node of a deployment is: its place, and the addresses of its networks."""

    nodes: tuple[Node, ...]
    places: Mapping[str, Place]
    subnets: Mapping[str, Subnets]
    # What is the same for many nodes is made once.
    memo: dict[tuple[object, ...], Any] = field(default_factory=dict, compare=False, repr=False)

    def addresses(self, node: Node) -> dict[str, Variables]:
        """The node's addresses in each of its networks, in the order of the target's file."""
        return self.once(("addresses", node.name), lambda: self._make_addresses(node))

    def _make_addresses(self, node: Node) -> dict[str, Variables]:
        given = self._given(node) if node.address or node.address6 else {}
        if given and node.kind != "container":
            return given
        return {network: given.get(network) or self._address(node, network) for network in node.networks}

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
        """All groups as `observer` knows them; nodes in the order of their numbers, whatever the file's order is. The
        same for all that are in the same networks."""
        return self.once(("groups", *self.addresses(observer)), lambda: self._make_groups(observer))

    def once(self, key: tuple[object, ...], made: Callable[[], T]) -> T:
        """What was made for this key, the first time."""
        if key not in self.memo:
            self.memo[key] = made()
        found: T = self.memo[key]
        return found

    def _make_groups(self, observer: Node) -> dict[str, list[Variables]]:
        ordered = sorted(self.nodes, key=lambda node: self.places[node.name].number)
        groups: dict[str, list[Variables]] = {}
        for node in ordered:
            groups.setdefault(node.group, []).append(self.seen_from(observer, node))
        return groups


def _holds(subnets: Subnets, text: str) -> bool:
    address = ip_address(text)
    return any(address in ip_network(prefix) for prefix in (subnets.v4, subnets.v6) if prefix)


def number(nodes: Sequence[Node], known: Mapping[str, Place], largest: int = LARGEST_NUMBER) -> dict[str, Place]:
    """Give every node a place. Known ones keep theirs; new ones get the lowest that are free, in the file's order; none
    gets the number of the engine's own address. Raises BadInput when there are more than `largest`."""
    places = {node.name: known[node.name] for node in nodes if _keeps(node, known)}
    indexes: dict[str, set[int]] = {}
    for place in places.values():
        indexes.setdefault(place.group, set()).add(place.index)
    numbers = {GATEWAY, *(place.number for place in places.values())}
    for node in nodes:
        if node.name not in places:
            taken = indexes.setdefault(node.group, set())
            places[node.name] = Place(node.group, _lowest(taken), _lowest(numbers))
            taken.add(places[node.name].index)
            numbers.add(places[node.name].number)
    if any(place.number > largest for place in places.values()):
        raise BadInput(
            f"more than {largest} nodes",
            resolution="Give the target's networks a smaller length (22, say), or make two targets.",
        )
    return places


def largest_number(lengths: Iterable[int]) -> int:
    """Of nodes in networks of these prefix lengths: in larger ones than a /24 all that the engine leaves."""
    shortest = max(lengths, default=24)
    return LARGEST_NUMBER if shortest >= 24 else (1 << (32 - shortest)) - 2


def _keeps(node: Node, known: Mapping[str, Place]) -> bool:
    return node.name in known and known[node.name].group == node.group


def _lowest(taken: set[int]) -> int:
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


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
    roles: Sequence[tuple[Role, Mapping[str, Value]]],
    groups: Mapping[str, list[Variables]],
    memo: dict[tuple[object, ...], Any] | None = None,
) -> list[Variables]:
    """Which ports of a node's roles others reach, and the addresses of those others; `anyone` is no address.

    Openings for nobody are left out. `roles` have their parameters, `groups` are as the node knows them; `memo` keeps
    what is the same for other nodes."""
    found, known = [], memo if memo is not None else {}
    for role, parameters in roles:
        for opening in role.openings:
            key = ("sources", id(groups), *((name, parameters.get(name)) for name in opening.sources))
            if key not in known:
                every = (address for name in opening.sources for address in _addresses(name, parameters, groups))
                known[key] = sorted(dict.fromkeys(every))
            sources = known[key]
            if sources:
                found.append(
                    {
                        "role": role.name,
                        "name": opening.name,
                        "protocol": opening.protocol,
                        "ports": list(opening.ports),
                        "from": sources,
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
    groups = map.groups_from(observer)
    return map.once(("metrics", id(groups)), lambda: _metrics_targets(groups, roles))


def _metrics_targets(groups: Mapping[str, list[Variables]], roles: Mapping[str, Sequence[Role]]) -> list[Variables]:
    targets: list[Variables] = []
    for group, nodes in groups.items():
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
