"""The verbs of every day, one small function each. What a verb does is in the module of its name."""

from __future__ import annotations

import sys
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from seter.cli.asked import (
    CutAfter,
    Instance,
    Only,
    State,
    SystemName,
    TakeOver,
    TargetName,
    Wait,
    Why,
    ask,
    claimed,
    confirmed,
    deployment_of,
    request,
    show_outcome,
)  # fmt: skip

if TYPE_CHECKING:
    from seter.plan import Plan
    from seter.status import Status

CHANGES = 3


class PauseAfter(StrEnum):
    """Where a roll-out can pause."""

    CANARY = "canary"
    BATCH = "batch"


def plan(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    only: Only = "",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    json: Json = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when there are changes.")] = False,
) -> None:
    """Show what deploy would do, step by step and why; change nothing.

    Exit codes: 0 shown, 2 bad input, 3 changes (with --exit-code), 7 a foreign thing has our name.
    """
    from seter.survey import survey

    seen = survey(request(system, target, instance, systems, store, state, only=only), console.reporter())
    console.json_result(_plan_json(seen.plan)) if json else _show(seen.plan)
    if exit_code and not seen.plan.is_empty:
        raise typer.Exit(CHANGES)


def deploy(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    only: Only = "",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
    pause_after: Annotated[
        PauseAfter | None, typer.Option("--pause-after", help="Stop after the canaries, or after the next batch.")
    ] = None,
) -> None:
    """Make what is there what the definitions say.

    Exit codes: 0 done or no change, 1 a role's task failed, 2 bad input or not confirmed, 4 paused, or nodes failed and
    no more than may, 5 a node failed and the roll-out stopped, 6 rolled back, 7 lease or conflict, 8 damaged artefact,
    9 engine or store unavailable, 130 interrupted; deploy again to go on.
    """
    from seter.deploy import deploy as carry_out

    claim = claimed(wait, take_over, why)
    asked = request(system, target, instance, systems, store, state, only=only, claim=claim)
    outcome = carry_out(
        asked,
        report=console.reporter(),
        confirm=confirmed(yes),
        cut_after=timedelta(seconds=cut_after),
        pause_after=pause_after.value if pause_after is not None else "",
    )
    show_outcome(asked, outcome)


def status(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    json: Json = False,
    checks: Annotated[bool, typer.Option("--checks", help="Run all checks too.")] = False,
) -> None:
    """Show every role on every node: what runs, and whether it is what is wanted.

    Exit codes: 0 shown, 2 bad input, 9 engine or store unavailable.
    """
    from seter.status import status as look

    found = look(request(system, target, instance, systems, store, state), console.reporter(), checks=checks)
    console.json_result(found) if json else _show_status(found)


def verify(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Run the checks of the system and of all its roles, now.

    Exit codes: 0 all hold, 1 some do not, 2 bad input.
    """
    from seter.verify import verify as look

    found = look(request(system, target, instance, systems, store, state), console.reporter())
    if json:
        console.json_result(found)
    else:
        rows = [
            ("good" if each.verdict.ok else "BAD", each.subject, each.verdict.check, each.verdict.measured)
            for each in found
        ]
        console.table(("verdict", "subject", "check", "measured"), rows)
    if not all(each.verdict.ok for each in found):
        raise typer.Exit(1)


def prove(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    victim: Annotated[str, typer.Option("--victim", metavar="NODE", help="Node to break; else the first.")] = "",
    json: Json = False,
) -> None:
    """Use the system, cut a node's power under load, bring it back, use it again; say whether it held.

    Exit codes: 0 it held, 1 it did not, 2 bad input or a target not marked for experiments, 7 deploy first.
    """
    from seter.prove import prove as show
    from seter.prove import rows

    proof = show(request(system, target, instance, systems, store, state), console.reporter(), victim)
    if json:
        console.json_result({"held": proof.held, **dict(console.fields_of(proof))})
    else:
        console.result("\n".join(proof.routes))
        console.table(("verdict", "step", "took", "measured", "expected"), rows(proof))
    if not proof.held:
        raise typer.Exit(1)


def exec(
    system: SystemName,
    target: TargetName,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="Role whose place it runs in.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="The command and its arguments.")],
    instance: Instance = "main",
    systems: Systems = None,
    state: State = None,
    root: Annotated[bool, typer.Option("--root", help="Run as root instead of the role's user.")] = False,
) -> None:
    """Run a command on a node, where a role's process runs and as its user.

    Exit code: that of the command; 2 when there is no such node, role or process.
    """
    from seter.exec import execute

    deployment = deployment_of(system, target, instance)
    answer = execute(deployment, systems, node, role, command, root=root, state=state)
    sys.stdout.write(answer.stdout)
    sys.stderr.write(answer.stderr)
    raise typer.Exit(answer.code)


def document(
    system: SystemName,
    target: TargetName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which; without it, the list of all.")] = "",
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Print what others have to set up around it, such as the routers in front, from the same definitions.

    Exit codes: 0 printed, 2 bad input.
    """
    from seter.document import documents

    found = documents(request(system, target, instance, systems, store, state), console.reporter(), name)
    if json:
        console.json_result(found)
    elif name:
        console.result("\n".join(one.text for one in found).rstrip())
    else:
        console.table(("role", "document"), [(one.role, one.name) for one in found])


def drain(
    system: SystemName,
    target: TargetName,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.")],
    instance: Instance = "main",
    systems: Systems = None,
    state: State = None,
    wait: Annotated[int, typer.Option(help="Seconds that what is under way may last.")] = 30,
    json: Json = False,
) -> None:
    """Take a node out of traffic, and wait until nothing is under way on it; nothing is cut.

    Exit codes: 0 nothing is open, 1 connections are still open after the time to wait (they go on), 2 bad input, 5 the
    node does not do it, 7 lease.
    """
    from seter.drain import drain as take_out

    found = take_out(
        deployment_of(system, target, instance), systems, node, console.reporter(), timedelta(seconds=wait), state
    )
    words = f"{found.open} connections are still open" if found.open else "nothing is open"
    console.json_result(found) if json else console.result(f"{node}: out of traffic, {words}")
    if found.open:
        raise typer.Exit(1)


def undrain(
    system: SystemName,
    target: TargetName,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.")],
    instance: Instance = "main",
    systems: Systems = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Let traffic to a node in again, once its own checks hold.

    Exit codes: 0 it has traffic, 2 bad input, 5 the node does not do it, 7 lease.
    """
    from seter.drain import undrain as let_in

    found = let_in(deployment_of(system, target, instance), systems, node, console.reporter(), state)
    console.json_result(found) if json else console.result(f"{node}: in traffic")


def destroy(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    systems: Systems = None,
    state: State = None,
    yes: Yes = False,
    forget: Annotated[bool, typer.Option("--forget", help="Remove the secrets and the history too.")] = False,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
) -> None:
    """Remove everything that carries the deployment's mark, and nothing else.

    Exit codes: 0 removed or nothing there, 2 bad input or not confirmed, 7 lease or conflict.
    """
    from seter.destroy import destroy as remove
    from seter.destroy import names_of

    deployment = deployment_of(system, target, instance)
    names = names_of(deployment, systems, state)
    if names and not yes:
        console.note("\n".join(f"  remove {name}" for name in names))
        ask("Remove all of these?")
    claim = claimed(wait, take_over, why)
    removed = remove(deployment, forget=forget, state=state, claim=claim, report=console.reporter())
    console.result(f"{deployment}: {len(removed)} removed" if removed else f"{deployment}: nothing is there")


def _show(plan: Plan) -> None:
    if plan.is_empty:
        console.result(f"{plan.deployment}: no change")
        return
    rows = [(step.group, step.node, step.role, step.act.value, step.reason) for step in plan.steps]
    console.table(("group", "node", "role", "act", "reason"), rows, title=f"{plan.deployment}: {len(rows)} steps")


def _plan_json(plan: Plan) -> object:
    return {"deployment": plan.deployment, "fingerprint": plan.fingerprint, "steps": plan.steps}


def _show_status(found: Status) -> None:
    rows = [
        (row.node, row.role, row.artifact, row.state, "yes" if row.converged else "not converged", row.summary)
        for row in found.roles
    ]
    console.table(("node", "role", "artefact", "state", "as wanted", "says"), rows, title=found.deployment)
    for check in found.checks:
        console.result(f"{'good' if check.verdict.ok else 'BAD'}: {check}")
