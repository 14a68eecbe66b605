"""`seter drain` and `seter undrain`: one node out of traffic by hand, and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.console import Report
from common.errors import BadInput
from common.system import Deployment
from seter.blueprint import Blueprint, no_such, read_blueprint
from seter.keep import open_keep
from seter.record import leased
from seter.survey import open_provisioner
from seter.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Drained:
    """What `--json` prints. `open` connections were there when the time was over; they go on."""

    node: str
    withdrawn: bool
    open: int


def drain(
    deployment: Deployment,
    systems: Path | None,
    node: str,
    report: Report,
    wait: timedelta,
    state: str | None = None,
) -> Drained:
    """Let no new traffic in, and wait until what is under way has ended, at most so long; nothing is cut. The node
    stays out until `undrain`, its restart or a roll-out that touches it.

    Raises BadInput for a node that there is not or whose group has no `withdraw` command, Conflict while another run
    has the lease, RolloutStopped if the node does not do it.
    """
    blueprint = _with_command(deployment, systems, node, state)
    with leased(open_keep(deployment, state), "drain", report=report):
        traffic = Traffic(blueprint, open_provisioner(blueprint, state), report, wait)
        return Drained(node, True, traffic.withdraw(node))


def undrain(
    deployment: Deployment, systems: Path | None, node: str, report: Report, state: str | None = None
) -> Drained:
    """Let traffic in again, once the node's own checks hold. Raises as `drain` does."""
    blueprint = _with_command(deployment, systems, node, state)
    with leased(open_keep(deployment, state), "undrain", report=report):
        Traffic(blueprint, open_provisioner(blueprint, state), report).admit(node)
    return Drained(node, False, 0)


def _with_command(deployment: Deployment, systems: Path | None, node: str, state: str | None) -> Blueprint:
    blueprint = read_blueprint(deployment, systems, state, lenient=True)
    able = [each.name for group in blueprint.groups if group.withdraw for each in blueprint.nodes_of(group.name)]
    if node not in [each.name for each in blueprint.nodes]:
        raise no_such(f"node {node!r}", node, able)
    if node not in able:
        raise BadInput(
            f"{node} cannot be drained: its group has no withdraw command",
            resolution=f"These can: {', '.join(able)}." if able else "Give the group a withdraw block in system.hcl.",
        )
    return blueprint
