"""`seter maintain`: what roles hold kept in order, by the commands that they name (block `maintain` of role.hcl)."""

from __future__ import annotations

from common.console import Report
from seter.able import able, first_that_does
from seter.blueprint import read_blueprint
from seter.record import leased
from seter.survey import Request, open_provisioner


def maintain(request: Request, *, role: str = "", report: Report) -> tuple[dict[str, object], ...]:
    """Run the command that keeps a role's state in order, on the first node that does it, for each role that has one;
    what they say. Never beside a roll-out or another of its kind: it holds the deployment's lease.

    Raises BadInput if no role has one, Conflict while another run has the lease, RolloutStopped if no node does it.
    """
    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    provisioner = open_provisioner(blueprint, request.state)
    done: list[dict[str, object]] = []
    with leased(request.keep, "maintain", claim=request.claim, report=report):
        for name, seats in able(blueprint, role, "maintain").items():
            seat, said = first_that_does(provisioner, seats, seats[0].role.maintain, report)
            done.append({"role": name, "node": seat.node.name, "says": dict(said)})
    return tuple(done)
