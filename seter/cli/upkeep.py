"""The verbs that keep a running system in order, one small function each. What a verb does is in its module."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from common.errors import BadInput
from seter.cli.asked import (
    CutAfter,
    Instance,
    State,
    SystemName,
    TakeOver,
    TargetName,
    Wait,
    Why,
    ask,
    claimed,
    confirmed,
    request,
)


def rotate(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    secret: Annotated[
        list[str] | None, typer.Option("--secret", metavar="NAME", help="These certificates; may be repeated.")
    ] = None,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="The certificates of this role.")] = "",
    all: Annotated[bool, typer.Option("--all", help="All certificates.")] = False,
    authority: Annotated[
        bool, typer.Option("--authority", help="The CA, and so all certificates; in three roll-outs.")
    ] = False,
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
    json: Json = False,
) -> None:
    """Draw certificates anew, or the CA that signs them, while everything runs.

    Passwords and Ceph keys stay. Exit codes: as deploy; 2 too for what cannot be drawn anew, 9 before the first deploy.
    """
    from seter.rotate import rotate as draw
    from seter.rotate import rotate_authority

    if sum((bool(secret or role), all, authority)) != 1:
        raise BadInput(
            "what is to be drawn anew?", resolution="Give --secret or --role (or both), or --all, or --authority."
        )
    asked, report = (
        request(system, target, instance, systems, store, state, claim=claimed(wait, take_over, why)),
        console.reporter(),
    )
    confirm, within = confirmed(yes), timedelta(seconds=cut_after)
    if authority:
        done = rotate_authority(asked, report=report, confirm=confirm, cut_after=within)
    else:
        done = draw(asked, role=role, secrets=tuple(secret or ()), report=report, confirm=confirm, cut_after=within)
    words = "the CA and all certificates" if authority else f"{len(done.drawn)} certificates"
    console.json_result(done) if json else console.result(
        f"{asked.deployment}: {words} drawn anew, {done.steps} steps done"
    )


def backup(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="Of this role alone.")] = "",
    keep: Annotated[int, typer.Option("--keep", min=0, help="Copies to keep; older ones lose their name.")] = 0,
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Put a copy of what roles hold into the store, encrypted for the operator's identity.

    Exit codes: 0 stored, 2 bad input or no role can, 5 no node did it, 9 engine or store unavailable.
    """
    from seter.backup import backup as copy

    done = copy(
        request(system, target, instance, systems, store, state), role=role, keep=keep, report=console.reporter()
    )
    if json:
        console.json_result(done)
    for one in () if json else done:
        older = f", {len(one.removed)} older removed" if one.removed else ""
        console.result(f"{one.artifact} from {one.node}{older}")


def restore(
    system: SystemName,
    target: TargetName,
    artifact: Annotated[str, typer.Argument(metavar="ARTEFACT", help="The backup; else the newest of this one.")] = "",
    instance: Instance = "main",
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="Whose newest, without ARTEFACT.")] = "",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Put what a role holds back to a backup, on all its nodes; what was changed there since is lost.

    Exit codes: 0 restored, 2 bad input or not confirmed, 5 a node failed, 7 lease, 8 damaged or another's backup, 9
    unavailable.
    """
    from seter.restore import restore as bring_back

    def question(text: str) -> None:
        console.note(text)
        if not yes:
            ask("Go back?")

    asked = request(system, target, instance, systems, store, state)
    done = bring_back(asked, artifact, role=role, ask=question, report=console.reporter())
    console.json_result(done) if json else console.result(
        f"{done.role} on {', '.join(done.nodes)}: as it was at {done.made}; deploy to bring it to the definitions"
    )


def maintain(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="Of this role alone.")] = "",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Keep what roles hold in order; what that is, each role says.

    Exit codes: 0 done or nothing to do, 2 bad input or no role needs it, 5 no node did it, 7 lease.
    """
    from seter.maintain import maintain as put_in_order
    from seter.status import summary

    done = put_in_order(request(system, target, instance, systems, store, state), role=role, report=console.reporter())
    if json:
        console.json_result(done)
    for one in () if json else done:
        console.result(f"{one['role']}, from {one['node']}: {summary(one['says'])}")


def operators(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="KEY", help="Public key, age1…; repeatable.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="KEY", help="May be repeated.")] = None,
    state: State = None,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
    json: Json = False,
) -> None:
    """Show who can read the deployment's secrets; let others in, by their public keys, and out.

    Exit codes: 0 done, 2 bad input or nothing deployed yet, 7 lease, 8 you cannot read them, 9 state unavailable.
    """
    from seter.operators import operators as readers

    claim = claimed(wait, take_over, why)
    asked = request(system, target, instance, None, None, state, claim=claim)
    found = readers(asked, add=tuple(add or ()), remove=tuple(remove or ()), report=console.reporter())
    if json:
        console.json_result(found)
    else:
        console.table(("key", ""), [(key, "you" if key == found.own else "") for key in found.keys])
