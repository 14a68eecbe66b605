"""The verbs that are about single nodes or one artefact, one small function each. What they do is in their modules."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
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
    claimed,
    confirmed,
    deployment_of,
    duration_of,
    request,
    show_outcome,
)

if TYPE_CHECKING:
    from seter.deploy import Outcome
    from seter.survey import Request

NodeName = Annotated[str, typer.Argument(metavar="NODE", help="Name of the node.")]


def update(
    system: SystemName,
    target: TargetName,
    wanted: Annotated[str, typer.Argument(metavar="ROLE=VERSION", help="As naust list shows it, or ROLE=newest.")],
    instance: Instance = "main",
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
    """Write another version of a role's artefact into the system's file, and roll it out.

    Exit codes: as deploy; with 2 and 6 the file says again what it said.
    """
    from seter.update import update as change

    asked = request(system, target, instance, systems, store, state, claim=claimed(wait, take_over, why))
    done = change(asked, wanted, _deploying(asked, yes, cut_after), console.reporter())
    if json:
        console.json_result(done)
    else:
        what = done.artifact or "the newest"
        console.result(f"{done.role}: {what}, in {done.file}; {done.steps} steps done in {done.seconds:.1f} s")


def add(
    system: SystemName,
    target: TargetName,
    node: NodeName,
    group: Annotated[str, typer.Option("--group", metavar="GROUP", help="Group that it belongs to.")],
    address: Annotated[str, typer.Option("--address", help="IPv4 address, of kinds whose nodes have one.")] = "",
    address6: Annotated[str, typer.Option("--address6", help="IPv6 address.")] = "",
    interface: Annotated[str, typer.Option("--interface", help="Interface to the routers.")] = "",
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
) -> None:
    """Write one node more into the target's file, and deploy.

    Exit codes: as deploy; with 2 and 6 the file says again what it said.
    """
    from seter.nodes import add as put_in

    given = (("address", address), ("address6", address6), ("interface", interface))
    attributes = [(key, _quoted(value)) for key, value in given if value]
    asked = request(system, target, instance, systems, store, state, claim=claimed(wait, take_over, why))
    show_outcome(asked, put_in(asked, group, node, attributes, _deploying(asked, yes, cut_after)))


def remove(
    system: SystemName,
    target: TargetName,
    node: NodeName,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
) -> None:
    """Take a node out of the target's file, and deploy: it goes, with what it held.

    Exit codes: as deploy; with 2 and 6 the file says again what it said.
    """
    from seter.nodes import remove as take_out

    asked = request(system, target, instance, systems, store, state, claim=claimed(wait, take_over, why))
    show_outcome(asked, take_out(asked, node, _deploying(asked, yes, cut_after)))


def replace(
    system: SystemName,
    target: TargetName,
    node: NodeName,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
) -> None:
    """Make a node anew, without anything that it held, out of traffic.

    Exit codes: as deploy; 7 too when something else is due.
    """
    from seter.nodes import replacing

    asked = replacing(
        request(system, target, instance, systems, store, state, claim=claimed(wait, take_over, why)), node
    )
    show_outcome(asked, _deploying(asked, yes, cut_after)())


def reboot(
    system: SystemName,
    target: TargetName,
    nodes: Annotated[list[str] | None, typer.Argument(metavar="NODE…", help="Names of nodes.")] = None,
    only: Only = "",
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    cut_after: CutAfter = 30,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
) -> None:
    """Reboot nodes as they would be updated: out of traffic, in batches, with checks between.

    Exit codes: as deploy; 7 too when something else is due.
    """
    from seter.nodes import rebooting

    asked = rebooting(
        request(system, target, instance, systems, store, state, claim=claimed(wait, take_over, why)), nodes or [], only
    )
    show_outcome(asked, _deploying(asked, yes, cut_after)())


def logs(
    system: SystemName,
    target: TargetName,
    node: NodeName,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="Its role; else all of them, each line with its.")] = "",
    instance: Instance = "main",
    systems: Systems = None,
    state: State = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is printed.")] = False,
    since: Annotated[str, typer.Option("--since", metavar="AGO", help="Only what is younger, such as 10m.")] = "",
) -> None:
    """Print what the processes of a node have printed.

    Exit codes: 0 printed, 2 bad input or nothing of it runs, 130 interrupted.
    """
    from seter.logs import logs as read

    def write(line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    age = duration_of("--since", since) if since else None
    deployment = deployment_of(system, target, instance)
    read(deployment, systems, node, role, state=state, since=age, follow=follow, write=write)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _deploying(asked: Request, yes: bool, cut_after: int) -> Callable[[], Outcome]:
    from seter.deploy import deploy

    confirm, wait = confirmed(yes), timedelta(seconds=cut_after)
    return lambda: deploy(asked, report=console.reporter(), confirm=confirm, cut_after=wait)
