"""Which node a request that failed had reached: the answer did not say, or there was none.

Every request has an identifier of its own, which a balancer logs with what failed. So whoever serves is asked for its
logs; a node that stood still or had no power has none, and then nobody knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from common.errors import Error
from seter.survey import Survey

SHORTEST = 8  # characters of an identifier; less could be anything
MOST = 1000  # requests that are looked for


def named(load: Mapping[str, Any], seen: Survey, nodes: Sequence[str], since: timedelta) -> Mapping[str, Any]:
    """The same, with the node of each failure that one of these nodes has logged in this time."""
    failures = load.get("failures")
    if not isinstance(failures, list):
        return load
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
                    continue  # it does not run, or cannot be reached: that is what experiments are about
    return {**load, "failures": [_with(each, found) for each in failures]}


def logged(pieces: Iterable[bytes], identifiers: Collection[str]) -> set[str]:
    """Which of these are in a log, whose pieces may end anywhere. Pure."""
    found: set[str] = set()
    rest = b""
    for piece in pieces:
        text = rest + piece
        found |= {each for each in identifiers if each not in found and each.encode() in text}
        rest = text[-256:]
    return found


def _with(failure: Mapping[str, Any], found: Mapping[str, str]) -> Mapping[str, Any]:
    node = found.get(str(failure.get("identifier")), "")
    return {**failure, "gateway": node} if node and not failure.get("gateway") else failure
