"""The verbs about what nodes are reached by, one small function each. What a verb does is in its module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.cli import Json, Store, Systems, Yes
from seter.cli.asked import Instance, State, SystemName, TargetName, ask, deployment_of, request

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
