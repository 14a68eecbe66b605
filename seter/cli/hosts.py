"""The verbs about what nodes are reached by, one small function each. What a verb does is in its module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from seter.cli.asked import (
    Instance,
    State,
    SystemName,
    TakeOver,
    TargetName,
    Wait,
    Why,
    ask,
    claimed,
    deployment_of,
    request,
)

if TYPE_CHECKING:
    from seter.trust import HostKey


def trust(
    system: SystemName,
    target: TargetName,
    nodes: Annotated[list[str] | None, typer.Argument(metavar="[NODE…]", help="Which; without any, all.")] = None,
    instance: Instance = "main",
    systems: Systems = None,
    state: State = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Show the keys of hosts and, once you have compared them with the hosts' own, accept these from now on.

    Exit codes: 0 known now, 2 bad input or not confirmed, 7 lease, 9 a host does not answer (then nothing is learnt).
    """
    from seter.trust import trust as learn

    def confirm(found: Sequence[HostKey]) -> None:
        console.note("\n".join(f"  {each.host}: {each.state}: {each.fingerprint}" for each in found))
        if not yes:
            ask("Are these the hosts' own?")

    deployment, report = deployment_of(system, target, instance), console.reporter()
    found = learn(deployment, systems, nodes or (), confirm, state=state, report=report)
    if json:
        console.json_result(found)
    else:
        console.table(("host", "state", "fingerprint"), [(each.host, each.state, each.fingerprint) for each in found])


def doctor(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    json: Json = False,
) -> None:
    """See whether all that a deploy needs is there: programs, keys, space, clocks, state, store, engines, hosts.

    Changes nothing. Exit codes: 0 all is well, or warnings alone; 1 something fails; 2 bad input.
    """
    from seter.doctor import doctor as look
    from seter.finding import State as Found

    found = look(request(system, target, instance, systems, store, state), console.reporter())
    if json:
        console.json_result(found)
    else:
        rows = [(each.state.value, each.subject, each.what, each.says, each.fix) for each in found.findings]
        console.table(("", "where", "what", "is", "what to do"), rows, title=found.deployment)
        counts = (f"{found.count(state)} {state.value}" for state in Found)
        console.note(f"{found.deployment}: {', '.join(counts)}")
    if found.state is Found.FAIL:
        raise typer.Exit(1)


def adopt(
    system: SystemName,
    target: TargetName,
    instance: Instance = "main",
    origin: Annotated[
        str, typer.Option("--from", metavar="DEPLOYMENT", help="Take hosts over from it: SYSTEM/TARGET/INSTANCE.")
    ] = "",
    systems: Systems = None,
    store: Store = None,
    state: State = None,
    yes: Yes = False,
    wait: Wait = "",
    take_over: TakeOver = "",
    why: Why = "",
    json: Json = False,
) -> None:
    """Take over nodes that run already and whose record was lost, or is another deployment's; restart nothing.

    Exit codes: 0 taken over or nothing to take, 2 bad input or not confirmed, 7 lease, or nodes of yet another
    deployment, 9 a node does not answer.
    """
    from seter.adopt import Candidate
    from seter.adopt import adopt as take

    def confirm(found: Sequence[Candidate]) -> None:
        rows = (
            f"  {each.node}: of {each.owner}, with {', '.join(each.roles) or 'roles not looked at'}" for each in found
        )
        console.note("\n".join(rows))
        if not yes:
            ask(f"Take over these {len(found)} nodes?")

    claim = claimed(wait, take_over, why)
    asked = request(system, target, instance, systems, store, state, claim=claim)
    done = take(asked, origin, report=console.reporter(), confirm=confirm)
    if json:
        console.json_result(done)
    elif not done.nodes:
        console.result(f"{asked.deployment}: nothing to take over")
    else:
        secrets = "secrets and CA as they were" if done.moved else f"{len(done.secrets)} secrets read back"
        console.result(f"{asked.deployment}: {len(done.nodes)} nodes taken over, {secrets}; see seter plan")
