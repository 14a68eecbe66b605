"""What was there after a run, kept in the history: what `plan --recorded` compares with instead of looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from common.errors import Corrupt
from seter.definition import packed, unpacked
from seter.state import NodeState, Observed, Place, RoleState, Subnets, WantedGroup, cluster_mark

if TYPE_CHECKING:
    from seter.survey import Survey

FORMAT = 1
LIFE = "recorded"  # stands for a node's present life, which only the node knows


def states_after(seen: Survey) -> bytes:
    """What a run that got to its end left: what it wanted where it was to change things, elsewhere what was there."""
    touched = {
        name
        for group in seen.wanted.groups
        if not seen.request.groups or group.name in seen.request.groups
        for name in group.nodes
        if name not in seen.observed.unreachable
    }
    nodes = dict(seen.observed.nodes) if seen.request.groups else {}
    nodes |= {name: replace(seen.wanted.nodes[name], identity=LIFE) for name in touched}
    for group in seen.wanted.groups:
        if group.first in touched:
            nodes[group.first] = replace(nodes[group.first], cluster=_marks(group, nodes))
    places = {name: seen.map.places[name] for name in nodes if name in seen.map.places}
    subnets = {name: seen.map.subnets[name] for name in seen.wanted.networks}
    return write_states(Observed(subnets, nodes, places))


def _marks(group: WantedGroup, nodes: Mapping[str, NodeState]) -> tuple[tuple[str, str], ...]:
    """What successful cluster steps leave, for lives that are only recorded."""
    first, lives = nodes[group.first], [(name, nodes[name].identity) for name in group.nodes if name in nodes]
    roles = ((role.name, first.role(role.name)) for role in group.roles if role.has_cluster_step)
    return tuple((name, cluster_mark(name, state, lives)) for name, state in roles if state is not None)


def write_states(observed: Observed) -> bytes:
    """As it is kept."""

    def of_node(node: NodeState) -> list[object]:
        roles = [[name, *(getattr(state, each.name) for each in fields(state))] for name, state in node.roles]
        return [node.shape, node.files, node.secrets, node.running, node.identity, list(node.cluster), roles]

    nodes = {name: of_node(node) for name, node in observed.nodes.items()}
    networks = {name: asdict(subnets) for name, subnets in observed.networks.items()}
    places = {name: [place.group, place.index, place.number] for name, place in observed.places.items()}
    return packed({"format": FORMAT, "networks": networks, "nodes": nodes, "places": places})


def read_states(data: bytes, what: str) -> Observed:
    """The reverse. Raises Corrupt."""
    said = unpacked(data, what)
    try:
        networks = {name: Subnets(**subnets) for name, subnets in said["networks"].items()}
        places = {name: Place(*place) for name, place in said["places"].items()}
        return Observed(networks, {name: _node(*node) for name, node in said["nodes"].items()}, places)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"{what} cannot be read", details=str(error), resolution="Plan without --recorded, which looks."
        ) from error


def _node(
    shape: str, files: str, secrets: str, running: bool, identity: str, cluster: list[list[str]], roles: list[list[Any]]
) -> NodeState:
    states = tuple((name, RoleState(*state)) for name, *state in roles)
    return NodeState(shape, files, secrets, states, running, identity, tuple((role, mark) for role, mark in cluster))
