"""Which node a request that failed or was late had reached.

An answer says who made it, by a name of the server's own that changes with each start: the status commands of roles
with `answers_as` know it, and no others are asked. Without an answer, or where it did not say: every request has an
identifier of its own, which a balancer logs with what failed. So whoever serves is asked for its logs; a node that
stood still or had no power has none, and then nobody knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from common.errors import Error
from seter.blueprint import Seat
from seter.status import ask
from seter.survey import Survey

SHORTEST = 8  # characters of an identifier; less could be anything
MOST = 1000  # requests that are looked for
TOGETHER = 4  # status commands
LISTS = ("failures", "late_requests")  # of a load


def answering(seen: Survey, nodes: Sequence[str]) -> dict[str, str]:
    """The node of each server of these nodes, by what its answers call it now."""
    seats = [seat for node in nodes for seat in seen.blueprint.seats_of(node) if seat.role.answers_as]
    with ThreadPoolExecutor(TOGETHER) as threads:
        return {name: node for found in threads.map(lambda seat: _answering(seen, seat), seats) for name, node in found}


def _answering(seen: Survey, seat: Seat) -> list[tuple[str, str]]:
    try:
        said = ask(seen, seat)
    except Error:
        return []  # it does not run, or cannot be reached: that is what experiments are about
    name = said.get("answers_as") if isinstance(said, dict) else None
    return [(name, seat.node.name)] if isinstance(name, str) and name else []


def is_told(load: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    """Whether these names are enough for all that the load lists. Pure."""
    listed = [each for name in LISTS for each in _list(load, name)]
    return all(each.get("gateway") in ("", None, *names) for each in listed)


def named(
    load: Mapping[str, Any], seen: Survey, nodes: Sequence[str], since: timedelta, names: Mapping[str, str]
) -> Mapping[str, Any]:
    """The same, with the node of each failed or late request, by these names of servers, or that has logged its failure
    in this time."""
    failures = _list(load, LISTS[0])
    wanted = {str(each["identifier"]) for each in failures if not each.get("gateway") and each.get("identifier")}
    wanted = {each for each in sorted(wanted)[:MOST] if len(each) >= SHORTEST}
    found: dict[str, str] = {}
    for node in nodes if wanted else ():
        for seat in seen.blueprint.seats_of(node):
            if seat.role.process is not None and seat.role.process.type != "oneshot":
                try:
                    lines = seen.provisioner.logs(node, seat.role.name, since=since, follow=False)
                    found |= dict.fromkeys(logged(lines, wanted - found.keys()), node)
                except Error:
                    continue
    told = {name: [_with(each, found, names) for each in _list(load, name)] for name in LISTS if name in load}
    return {**load, **told}


def _list(load: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = load.get(name)
    return found if isinstance(found, list) else []


def logged(pieces: Iterable[bytes], identifiers: Collection[str]) -> set[str]:
    """Which of these are in a log, whose pieces may end anywhere. Pure."""
    found: set[str] = set()
    rest = b""
    for piece in pieces:
        text = rest + piece
        found |= {each for each in identifiers if each not in found and each.encode() in text}
        rest = text[-256:]
    return found


def _with(request: Mapping[str, Any], found: Mapping[str, str], names: Mapping[str, str]) -> Mapping[str, Any]:
    who = request.get("gateway") or found.get(str(request.get("identifier")), "")
    return {**request, "gateway": names.get(who, who)} if who else request
