"""`seter add`, `seter remove`, `seter replace`, `seter reboot`: one node more, one less, a new one, the same anew.

Adding and removing change the target's file, then deploy; replacing and rebooting change no definition, so they are
steps put into a plan that is empty otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace as with_changes

from common.errors import BadInput, Conflict
from common.role import Place
from common.system import Node
from seter.blueprint import Blueprint, known_group, no_such, read_blueprint
from seter.deploy import Outcome
from seter.edit import edited, with_node, without_block
from seter.plan import Act, Plan, Step, make_plan
from seter.state import Observed, Wanted, WantedGroup
from seter.survey import Request


def add(
    request: Request, group: str, name: str, attributes: Sequence[tuple[str, str]], carry_out: Callable[[], Outcome]
) -> Outcome:
    """One node more in the target's file, in this group; where `attributes` (name, HCL value) do not say, its networks
    are those of the group's last node. Raises BadInput and what `carry_out` raises."""
    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    known_group(blueprint, group)
    if name in [node.name for node in blueprint.nodes]:
        raise BadInput(f"there is a node {name} already", resolution="Give it another name.")
    last = blueprint.nodes_of(group)[-1]
    given = dict(attributes)
    if last.networks and "networks" not in given:
        given["networks"] = "[" + ", ".join(f'"{network}"' for network in last.networks) + "]"
    place = Place(last.place.file, _nodes_line(last.place, group))
    return edited(place, lambda text: with_node(text, place.line, name, tuple(given.items())), carry_out)


def remove(request: Request, name: str, carry_out: Callable[[], Outcome]) -> Outcome:
    """The node out of the target's file, then a deploy. Raises BadInput, also where the group would become too small,
    and what `carry_out` raises."""
    node = _node(read_blueprint(request.deployment, request.systems, request.state), name)
    return edited(node.place, lambda text: without_block(text, node.place.line), carry_out)


def replacing(request: Request, name: str) -> Request:
    """A request for a node made anew, without what it held."""
    _node(read_blueprint(request.deployment, request.systems, request.state), name)
    return with_changes(request, adjust=lambda plan, wanted, seen: _replaced(plan, wanted, seen, name))


def rebooting(request: Request, names: Sequence[str], group: str) -> Request:
    """A request for nodes that are rebooted, one after the other. Raises BadInput if none or one unknown is named."""
    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    wanted = [_node(blueprint, name).name for name in names]
    wanted += [node.name for node in blueprint.nodes_of(known_group(blueprint, group))] if group else []
    if not wanted:
        raise BadInput("which nodes?", resolution="Name them, or a group with --only.")
    return with_changes(request, adjust=lambda plan, state, _: _rebooted(plan, state, wanted))


def restarting(request: Request, role: str) -> Request:
    """A request that makes a role's process anew on all its nodes, as an update does. Raises BadInput for a role that
    no node has."""
    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    names = {seat.role.name for node in blueprint.nodes for seat in blueprint.seats_of(node.name)}
    if role not in names:
        raise no_such(f"role {role!r}", role, sorted(names))
    return with_changes(request, adjust=lambda plan, state, _: _restarted(plan, state, role))


def _node(blueprint: Blueprint, name: str) -> Node:
    for node in blueprint.nodes:
        if node.name == name:
            return node
    raise no_such(f"node {name!r}", name, [node.name for node in blueprint.nodes])


def _nodes_line(place: Place, group: str) -> int:
    """Where the block `nodes "GROUP"` begins, above this place."""
    from pathlib import Path

    lines = Path(place.file).read_text().splitlines()
    return next(number for number in range(place.line, 0, -1) if f'nodes "{group}"' in lines[number - 1])


def _rebooted(plan: Plan, wanted: Wanted, names: Sequence[str]) -> Plan:
    _refuse_changes(plan)
    steps: list[Step] = []
    for group in wanted.groups:
        for node in (node for node in group.nodes if node in names):
            steps.append(Step(Act.REBOOT_NODE, group.name, node, reason="it was asked for"))
            steps += _starts(group, wanted, node)
        # Members that come back with an empty memory need it again.
        steps += _cluster_steps(group, [node for node in group.nodes if node in names])
    return Plan(plan.deployment, tuple(steps))


def _restarted(plan: Plan, wanted: Wanted, role: str) -> Plan:
    _refuse_changes(plan)
    states = [(group, node, wanted.nodes[node].role(role)) for group in wanted.groups for node in group.nodes]
    return Plan(
        plan.deployment,
        tuple(
            Step(Act.RESTART, group.name, node, role, state.process, state.process, "it was asked for")
            for group, node, state in states
            if state is not None
        ),
    )


def _replaced(plan: Plan, wanted: Wanted, observed: Observed, name: str) -> Plan:
    """What is to do if it were not there; what it holds goes, so it is out of traffic first."""
    _refuse_changes(plan)
    others = {node: state for node, state in observed.nodes.items() if node != name}
    without = make_plan(wanted, with_changes(observed, nodes=others))
    made = Act.EMPTY_NODE if name in observed.nodes else Act.MAKE_NODE
    return Plan(
        plan.deployment,
        tuple(
            with_changes(step, act=made, reason="it was asked for; what it holds goes")
            if step.act is Act.MAKE_NODE
            else step
            for step in without.steps
        ),
    )


def _starts(group: WantedGroup, wanted: Wanted, node: str) -> list[Step]:
    states = {role.name: wanted.nodes[node].role(role.name) for role in group.roles if role.has_process}
    return [
        Step(Act.START, group.name, node, role, after=state.process, reason="its node is rebooted")
        for role, state in states.items()
        if state is not None
    ]


def _cluster_steps(group: WantedGroup, names: Sequence[str]) -> list[Step]:
    roles = [role.name for role in group.roles if role.has_cluster_step] if names else []
    return [Step(Act.CLUSTER, group.name, group.first, role, reason="a member is rebooted") for role in roles]


def _refuse_changes(plan: Plan) -> None:
    if not plan.is_empty:
        raise Conflict(
            f"{plan.deployment} is not as it should be: {len(plan.steps)} steps are due",
            resolution="Run seter deploy first; then nothing else happens than what is asked for here.",
        )
