"""The verbs of every day, one small function each. What a verb does is in the module of its name."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from seter.cli.asked import (
    CutAfter,
    Instance,
    Limit,
    Only,
    OnlyRole,
    State,
    SystemName,
    TakeOver,
    TargetName,
    Wait,
    Why,
    ask,
    claimed,
    deployment_of,
    planned,
    request,
    show_outcome,
)  # fmt: skip
from seter.cli.shown import show_affected, show_plan

if TYPE_CHECKING:
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
    limit: Limit = "",
    role: OnlyRole = "",
    recorded: Annotated[bool, typer.Option("--recorded", help="Compare with the history, do not look.")] = False,
    render: Annotated[bool, typer.Option("--render", help="With --recorded: render files that are not yet.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Save it, for seter deploy FILE.")] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Leave out order and files.")] = False,
    json: Json = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when there are changes.")] = False,
) -> None:
    """Show what deploy would do: steps and why, artefacts, files, order, what serves meanwhile; change nothing.

    Exit codes: 0 shown, 2 bad input, 3 changes (with --exit-code), 7 a foreign thing has our name, 8 an artefact is
    revoked.
    """
    from seter.preview import preview
    from seter.saved import save
    from seter.survey import survey

    asked = request(system, target, instance, systems, store, state, only=only, limit=limit, role=role)
    asked = replace(asked, recorded=recorded, render=render or not recorded or out is not None)
    seen = survey(asked, console.reporter())
    found = preview(seen)
    console.json_result(found) if json else show_plan(found, brief=brief)
    if out is not None:
        console.note(f"plan {save(seen, out)} is in {out}; carry it out with: seter deploy {out}")
    if exit_code and not seen.plan.is_empty:
        raise typer.Exit(CHANGES)


def deploy(
    system: Annotated[str, typer.Argument(metavar="SYSTEM|PLAN", help="A system's name, or a file of plan --out.")],
    target: Annotated[str, typer.Option("--target", help="As of plan; a saved plan has its own.")] = "",
    instance: Instance = "main",
    only: Only = "",
    limit: Limit = "",
    role: OnlyRole = "",
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
    """Make what is there what the definitions say; or carry out a saved plan, once, if the world is as it was then.

    Exit codes: 0 done or no change, 1 a role's task failed, 2 bad input or not confirmed, 4 paused, or nodes failed and
    no more than may, 5 a node failed and the roll-out stopped, 6 rolled back, 7 lease or conflict, 8 damaged artefact,
    9 engine or store unavailable, 130 interrupted; deploy again to go on.
    """
    from seter.deploy import deploy as carry_out

    claim = claimed(wait, take_over, why)
    given = request(
        system, target, instance, systems, store, state, only=only, limit=limit, role=role, claim=claim
    )  # fmt: skip
    with planned(given, yes) as (asked, confirm):
        outcome = carry_out(
            asked,
            report=console.reporter(),
            confirm=confirm,
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
    affected: Annotated[
        str, typer.Option("--affected", metavar="PACKAGES", help="Where these run, such as 'openssl<3.5.5'; no more.")
    ] = "",
) -> None:
    """Show every role on every node: what runs, and whether it is what is wanted; what is revoked.

    Exit codes: 0 shown, 2 bad input, 9 engine or store unavailable.
    """
    from seter.status import affected as ask
    from seter.status import status as look

    asked = request(system, target, instance, systems, store, state)
    if affected:
        show_affected(ask(asked, affected, console.reporter()), json)
        return
    found = look(asked, console.reporter(), checks=checks)
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


def _show_status(found: Status) -> None:
    rows = [
        (row.node, row.role, row.artifact, row.state, "yes" if row.converged else "not converged", row.summary)
        for row in found.roles
    ]
    console.table(("node", "role", "artefact", "state", "as wanted", "says"), rows, title=found.deployment)
    for check in found.checks:
        console.result(f"{'good' if check.verdict.ok else 'BAD'}: {check}")
