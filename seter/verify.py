"""`seter verify`: all checks of a deployment, now, without changing anything."""

from __future__ import annotations

from common.console import Report
from seter.checks import Found, verdicts
from seter.survey import Request, survey


def verify(request: Request, report: Report) -> list[Found]:
    """The verdicts of every role's checks on every node, then of the system's."""
    seen = survey(request, report)
    nodes = [node.name for node in seen.blueprint.nodes]
    return verdicts(seen, nodes, report)
