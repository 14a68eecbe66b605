"""Which part of a plan is meant: some nodes, or one role. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import Conflict
from seter.blueprint import Blueprint, no_such
from seter.plan import Act, Plan, Step
from seter.state import Observed, Wanted


def known(blueprint: Blueprint, nodes: Iterable[str], role: str) -> None:
    """Raises BadInput for a node or role that the deployment does not have."""
    names = [node.name for node in blueprint.nodes]
    for name in nodes:
        if name not in names:
            raise no_such(f"node {name!r}", name, names)
    roles = sorted({seat.role.name for seat in blueprint.seats})
    if role and role not in roles:
        raise no_such(f"role {role!r}", role, roles)


def limited(plan: Plan, wanted: Wanted, observed: Observed, nodes: tuple[str, ...], role: str) -> Plan:
    """The steps on these nodes (none: all), and on those that have the role (none: all). Networks are made if there are
    none yet; nothing is removed. A cluster step comes with the steps of its group.

    Raises Conflict if on a node something else than the role is due: its files are one tree, switched at once.
    """
    if not nodes and not role:
        return plan
    kept = [step for step in plan.steps if step.act is not Act.CLUSTER and _is_meant(step, nodes, role, wanted)]
    touched = {step.node for step in kept}
    if role:
        _refuse_others([step for step in kept if step.group], wanted, observed, role)
    groups = {step.group for step in kept}
    clusters = (step for step in plan.steps if step.act is Act.CLUSTER and step.group in groups and touched)
    return Plan(plan.deployment, (*kept, *(step for step in clusters if not role or step.role == role)))


def _is_meant(step: Step, nodes: tuple[str, ...], role: str, wanted: Wanted) -> bool:
    if not step.group:
        return step.act is Act.MAKE_NETWORK
    has_role = not role or wanted.nodes[step.node].role(role) is not None
    return (not nodes or step.node in nodes) and has_role


def _refuse_others(steps: list[Step], wanted: Wanted, observed: Observed, role: str) -> None:
    others = dict.fromkeys(
        f"{step.node}: {step.role or other}, {step.reason}"
        for step in steps
        for other in _concerned(step, wanted, observed)
        if other != role
    )
    if others:
        raise Conflict(
            f"more than role {role} is due on the nodes that have it",
            details="\n".join(others),
            resolution="A node's files are switched at once. Deploy these nodes with --limit, or put back the rest.",
        )


def _concerned(step: Step, wanted: Wanted, observed: Observed) -> Iterable[str]:
    there = observed.nodes.get(step.node)
    if step.role or step.act is not Act.WRITE_FILES or there is None:
        return (step.role or "the node",)
    pairs = ((name, state, there.role(name)) for name, state in wanted.nodes[step.node].roles)
    files = [name for name, state, now in pairs if now is None or now.files != state.files]
    secrets = ["its secrets"] if there.secrets != wanted.nodes[step.node].secrets else []
    return [*files, *secrets]
