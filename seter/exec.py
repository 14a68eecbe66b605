"""`seter exec`: one command on one node, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.system import Deployment
from seter.blueprint import Blueprint, Seat, no_such, read_blueprint
from seter.provisioner.interface import Answer
from seter.survey import open_provisioner


def execute(
    deployment: Deployment,
    systems: Path | None,
    node: str,
    role: str,
    argv: Sequence[str],
    *,
    root: bool = False,
    state: str | None = None,
) -> Answer:
    """Run the command where the role's process runs. Raises BadInput for unknown names, NotFound if it does not run."""
    blueprint = read_blueprint(deployment, systems, state, lenient=True)
    seat = seat_of(blueprint, node, role)
    provisioner = open_provisioner(blueprint, state)
    user = seat.role.process.user if seat.role.process is not None and not root else "root"
    return provisioner.execute(node, role, argv, user=user)


def seats_on(blueprint: Blueprint, node: str) -> tuple[Seat, ...]:
    """The seats of a node, in starting order. Raises BadInput if there is no such node."""
    names = [each.name for each in blueprint.nodes]
    if node not in names:
        raise no_such(f"node {node!r}", node, names)
    return blueprint.seats_of(node)


def seat_of(blueprint: Blueprint, node: str, role: str) -> Seat:
    """The role on the node. Raises BadInput if there is none."""
    found = blueprint.seat.get((node, role))
    if found is None:
        roles = [seat.role.name for seat in blueprint.seats_of(node)]
        names = roles or [each.name for each in blueprint.nodes]
        what, word = (f"role {role!r} on node {node}", role) if roles else (f"node {node!r}", node)
        raise no_such(what, word, names)
    return found
