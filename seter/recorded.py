"""What was there after a run, kept in the history: what `plan --recorded` compares with instead of looking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from common import console
from common.errors import BadInput, Corrupt
from seter.definition import packed, unpacked
from seter.history import STATES, History, Run
from seter.state import NodeState, Observed, Place, RoleState, Subnets, WantedGroup, cluster_mark

if TYPE_CHECKING:
    from seter.keep import Keep
    from seter.render import Work
    from seter.survey import Survey

FORMAT = 1
LIFE = "recorded"  # stands for a node's present life, which only the node knows


@dataclass(frozen=True, slots=True)
class Left:
    """What the last run that got through left; `later` runs that came after it did not. `inputs` are digests of what
    each (node, role) was rendered from."""

    run: Run
    observed: Observed
    inputs: Mapping[tuple[str, str], str]
    later: int = 0

    def known(self, works: Iterable[Work]) -> dict[tuple[str, str], str]:
        """Digests of the files of those that would be rendered from the same: they need not be rendered."""
        found = {}
        for work in works:
            node, role = work.seat.key
            state = self.observed.nodes[node].role(role) if node in self.observed.nodes else None
            if state is not None and self.inputs.get(work.seat.key) == work.digest:
                found[work.seat.key] = state.files
        return found

    def __str__(self) -> str:
        age = console.age(self.run.finished) if self.run.finished else "some time"
        later = (
            f"; {self.later} later runs did not get through, and what they changed is not in it" if self.later else ""
        )
        return f"what run {self.run.number} left, {age} ago{later}"


def left(keep: Keep) -> Left:
    """From the history. Raises BadInput if no run has got through."""
    runs = History(keep)
    for later, run in enumerate(found := runs.runs()):
        if run.is_done and run.verb != "destroy":
            what = f"the states of run {run.number}"
            observed, inputs = read_states(runs.part(run.number, STATES), what)
            return Left(run, observed, inputs, later)
        if run.is_done:
            break
    raise BadInput(
        f"no run has left {keep.deployment} as it should be" if found else f"{keep.deployment} has no history",
        resolution="Plan without --recorded, which looks.",
    )


def states_after(seen: Survey) -> bytes:
    """What a run that got to its end left: what it wanted where it was to change things, elsewhere what was there."""
    request = seen.request
    touched = {
        name
        for group in seen.wanted.groups
        if not request.groups or group.name in request.groups
        for name in group.nodes
        if name not in seen.observed.unreachable
        and (not request.limit or name in request.limit)
        and (not request.role or seen.wanted.nodes[name].role(request.role) is not None)
    }
    nodes = dict(seen.observed.nodes) if touched < set(seen.wanted.nodes) else {}
    nodes |= {name: replace(seen.wanted.nodes[name], identity=LIFE) for name in touched}
    for group in seen.wanted.groups:
        if touched.issuperset(group.nodes):
            nodes[group.first] = replace(nodes[group.first], cluster=_marks(group, nodes))
    places = {name: seen.map.places[name] for name in nodes if name in seen.map.places}
    inputs = {key: digest for key, digest in seen.inputs.items() if key[0] in touched}
    subnets = {name: seen.map.subnets[name] for name in seen.wanted.networks}
    return write_states(Observed(subnets, nodes, places), inputs)


def _marks(group: WantedGroup, nodes: Mapping[str, NodeState]) -> tuple[tuple[str, str], ...]:
    """What successful cluster steps leave, for lives that are only recorded."""
    first, lives = nodes[group.first], [(name, nodes[name].identity) for name in group.nodes if name in nodes]
    roles = ((role.name, first.role(role.name)) for role in group.roles if role.has_cluster_step)
    return tuple((name, cluster_mark(name, state, lives)) for name, state in roles if state is not None)


def write_states(observed: Observed, inputs: Mapping[tuple[str, str], str]) -> bytes:
    """As it is kept."""

    def of_node(node: NodeState) -> list[object]:
        roles = [[name, *(getattr(state, each.name) for each in fields(state))] for name, state in node.roles]
        own = [node.system] if node.system else []
        return [node.shape, node.files, node.secrets, node.running, node.identity, list(node.cluster), roles, *own]

    nodes = {name: of_node(node) for name, node in observed.nodes.items()}
    networks = {name: asdict(subnets) for name, subnets in observed.networks.items()}
    places = {name: [place.group, place.index, place.number] for name, place in observed.places.items()}
    made = [[node, role, digest] for (node, role), digest in inputs.items()]
    return packed({"format": FORMAT, "networks": networks, "nodes": nodes, "places": places, "inputs": made})


def read_states(data: bytes, what: str) -> tuple[Observed, dict[tuple[str, str], str]]:
    """The reverse. Raises Corrupt."""
    said = unpacked(data, what)
    try:
        networks = {name: Subnets(**subnets) for name, subnets in said["networks"].items()}
        places = {name: Place(*place) for name, place in said["places"].items()}
        inputs = {(str(node), str(role)): str(digest) for node, role, digest in said.get("inputs", ())}
        return Observed(networks, {name: _node(*node) for name, node in said["nodes"].items()}, places), inputs
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"{what} cannot be read", details=str(error), resolution="Plan without --recorded, which looks."
        ) from error


def _node(
    shape: str,
    files: str,
    secrets: str,
    running: bool,
    identity: str,
    cluster: list[list[str]],
    roles: list[list[Any]],
    system: str = "",
) -> NodeState:
    states = tuple((name, RoleState(*state)) for name, *state in roles)
    marks = tuple((role, mark) for role, mark in cluster)
    return NodeState(shape, files, secrets, states, running, identity, marks, system=system)
