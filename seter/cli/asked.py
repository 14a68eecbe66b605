"""What all verbs of seter are asked, and how they ask back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Systems
from common.errors import BadInput
from common.system import Deployment

if TYPE_CHECKING:
    from seter.plan import Plan
    from seter.survey import Request

SystemName = Annotated[str, typer.Argument(metavar="SYSTEM", help="Name of the system, such as s3-lb.")]
TargetName = Annotated[str, typer.Option("--target", help="Where its nodes come from: targets/NAME.hcl.")]
Instance = Annotated[str, typer.Option("--instance", help="Name of this deployment among several.")]
Only = Annotated[str, typer.Option("--only", metavar="GROUP", help="Leave all other groups as they are.")]
CutAfter = Annotated[int, typer.Option("--cut-after", help="Seconds that open connections may last on a drained node.")]


def deployment_of(system: str, target: str, instance: str) -> Deployment:
    """The deployment that these words name."""
    return Deployment(system, target, instance)


def request(system: str, target: str, instance: str, systems: Systems, store: str | None, only: str = "") -> Request:
    """What the operator asked about."""
    from seter.survey import Request

    return Request(deployment_of(system, target, instance), systems, store, only)


def confirmed(yes: bool) -> Callable[[Plan], bool]:
    """Shows a plan and asks, unless the answer was given with the command."""

    def confirm(plan: Plan) -> bool:
        console.note("\n".join(f"  {step}" for step in plan.steps))
        if not yes:
            ask(f"Carry out these {len(plan.steps)} steps?")
        return True

    return confirm


def ask(question: str) -> None:
    """Go on only with a yes. Raises BadInput without a terminal, so that nothing waits for an answer unheard."""
    if not sys.stdin.isatty():
        raise BadInput(
            "this needs a yes, and there is no terminal to ask at", resolution="Give --yes; nothing was changed."
        )
    if input(f"{question} [yes/no] ").strip().lower() not in ("y", "yes"):
        raise BadInput("not confirmed", resolution="Nothing was changed.")
