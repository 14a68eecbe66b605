"""What all verbs of seter are asked, and how they ask back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Systems
from common.errors import BadInput
from common.system import Deployment

if TYPE_CHECKING:
    from seter.deploy import Outcome
    from seter.lease import Claim
    from seter.plan import Plan
    from seter.survey import Request

SystemName = Annotated[str, typer.Argument(metavar="SYSTEM", help="Name of the system, such as s3-lb.")]
TargetName = Annotated[str, typer.Option("--target", help="Where its nodes come from: targets/NAME.hcl.")]
Instance = Annotated[str, typer.Option("--instance", help="Name of this deployment among several.")]
Only = Annotated[str, typer.Option("--only", metavar="GROUP", help="Leave all other groups as they are.")]
Limit = Annotated[str, typer.Option("--limit", metavar="NODE,…", help="Leave all other nodes as they are.")]
OnlyRole = Annotated[
    str, typer.Option("--role", metavar="ROLE", help="Leave nodes without it alone; refuse where more than it is due.")
]
CutAfter = Annotated[int, typer.Option("--cut-after", help="Seconds that open connections may last on a drained node.")]


State = Annotated[
    str | None,
    typer.Option("--state", metavar="URL", help="Lease, secrets, history: a folder or store; else $SETER_STATE."),
]
Wait = Annotated[str, typer.Option("--wait", metavar="DURATION", help="Wait so long for the lease, as in 10m.")]
TakeOver = Annotated[
    str, typer.Option("--take-over", metavar="REASON", help="Take the lease from a run that is gone; it is recorded.")
]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the history and for who waits.")]


def claimed(wait: str, take_over: str, why: str) -> Claim:
    """How the lease is wanted. Raises BadInput for what is no duration."""
    from seter.lease import Claim

    return Claim(duration_of("--wait", wait) if wait else timedelta(0), take_over, why)


def duration_of(option: str, text: str) -> timedelta:
    """What an option says, such as 10m. Raises BadInput for what is no duration."""
    from common.values import Wrong, as_duration

    try:
        return as_duration(text)
    except Wrong as wrong:
        raise BadInput(f"{option}: {wrong.message}", resolution=f"{wrong.fix.capitalize()}.") from wrong


def deployment_of(system: str, target: str, instance: str) -> Deployment:
    """The deployment that these words name."""
    return Deployment(system, target, instance)


def request(
    system: str,
    target: str,
    instance: str,
    systems: Systems,
    store: str | None,
    state: str | None,
    *,
    only: str = "",
    limit: str = "",
    role: str = "",
    claim: Claim | None = None,
) -> Request:
    """What the operator asked about."""
    from seter.lease import Claim
    from seter.survey import Request

    nodes = tuple(filter(None, limit.split(",")))
    deployment = deployment_of(system, target, instance)
    return Request(
        deployment, systems, store, only, state=state, limit=nodes, role=role, claim=claim or Claim()
    )  # fmt: skip


@contextmanager
def planned(given: Request, yes: bool) -> Iterator[tuple[Request, Callable[[Plan], bool]]]:
    """What to deploy and how to ask about it: by the definitions, or by the saved plan that stands where a system's
    name would. A saved plan was looked at already; it is carried out as it is or not at all."""
    name, target = given.deployment.system, given.deployment.target
    if "/" not in name and "." not in name:
        if not target:
            raise BadInput("on which target?", resolution=f"Give --target; see the folder {name}/targets.")
        yield given, confirmed(yes)
        return
    from seter.saved import asked_by, read_saved

    if target or given.only or given.limit or given.role:
        raise BadInput("a saved plan says by itself what and where", resolution="Leave out the other options.")
    saved = read_saved(Path(name))
    with asked_by(saved, given) as asked:
        yield asked, saved.refuse_moved


def confirmed(yes: bool) -> Callable[[Plan], bool]:
    """Shows a plan and asks, unless the answer was given with the command."""

    def confirm(plan: Plan) -> bool:
        console.note("\n".join(f"  {step}" for step in plan.steps))
        if not yes:
            ask(f"Carry out these {len(plan.steps)} steps?")
        return True

    return confirm


def show_outcome(asked: Request, outcome: Outcome, json: bool = False) -> None:
    """What a deploy did."""
    if json:
        steps, seconds = outcome.plan.steps, outcome.seconds
        console.json_result({"deployment": str(asked.deployment), "steps": steps, "seconds": seconds})
    elif outcome.plan.is_empty:
        console.result(f"{asked.deployment}: no change")
    else:
        console.result(f"{asked.deployment}: {len(outcome.plan.steps)} steps done in {outcome.seconds:.1f} s")


def ask(question: str) -> None:
    """Go on only with a yes. Raises BadInput without a terminal, so that nothing waits for an answer unheard."""
    if not sys.stdin.isatty():
        raise BadInput(
            "this needs a yes, and there is no terminal to ask at", resolution="Give --yes; nothing was changed."
        )
    if input(f"{question} [yes/no] ").strip().lower() not in ("y", "yes"):
        raise BadInput("not confirmed", resolution="Nothing was changed.")
