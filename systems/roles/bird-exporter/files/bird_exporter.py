#!/usr/bin/python3
"""Gives Prometheus what BIRD says of itself, asked anew for every scrape.

    bird-exporter run            until SIGTERM
    bird-exporter status         JSON; exit 1 while BIRD does not answer
    bird-exporter check-config   exit 0 when the file of --config can be used, else 2 and the reason

Options before the verb: --config FILE. Exit codes: 0 done, 1 nobody answers, 2 wrong file or usage.

Beside the sessions it counts the ways to each prefix that came by BGP: on a router, the gateways that announce a
virtual IP there.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import bird_status
from bird_control import Bird, Refused
from metrics_server import exporter, metric

CONFIG = Path("/etc/seter/now/bird-exporter/bird-exporter.json")
# "192.0.2.10/32  unicast [gw1_v4 2026-…] * (100) [AS64513i]"; the next way to the same prefix begins with spaces.
_WAY = re.compile(r"^(\S+/\d+)?\s+\w+ \[(\S+) ")


def ways(lines: Iterable[str]) -> dict[str, int]:
    """Prefix → number of ways to it, of what `show route` prints. Pure."""
    found: dict[str, int] = {}
    prefix = ""
    for line in lines:
        if entry := _WAY.match(line):
            prefix = entry[1] or prefix
            if prefix:
                found[prefix] = found.get(prefix, 0) + 1
    return found


class Exporter:
    """One BIRD. Several may ask at once; BIRD is asked by one at a time."""

    def __init__(self, bird: Bird, expected: Sequence[str]) -> None:
        self._bird, self._expected = bird, expected
        self._asking = threading.Lock()

    def report(self) -> dict[str, Any]:
        """For `status`."""
        try:
            found = self._ask()
        except OSError as fault:
            return {"ok": False, "summary": str(fault)}
        sessions = [one for one in found["protocols"] if one["protocol"] == "BGP"]
        up = sum(one["up"] for one in sessions)
        return {"ok": True, "summary": f"{up} of {len(sessions)} BGP sessions up", "ways": found["ways"]}

    def metrics(self) -> str:
        """Prometheus text format 0.0.4."""
        try:
            lines = told(self._ask(), self._expected)
            answers = 1
        except OSError:
            lines, answers = [], 0
        return "\n".join([*metric("bird_up", "gauge", "1 while BIRD answers", [({}, answers)]), *lines]) + "\n"

    def _ask(self) -> dict[str, Any]:
        with self._asking:
            return {
                "protocols": bird_status.protocols(self._bird.ask("show protocols all")),
                "bfd": bird_status.bfd(self._answer("show bfd sessions")),
                "ways": ways(self._answer("show route where source = RTS_BGP")),
            }

    def _answer(self, command: str) -> list[str]:
        try:
            return self._bird.ask(command)
        except Refused:
            return []  # there is no BFD here, or no such table


def told(found: Mapping[str, Any], expected: Sequence[str]) -> list[str]:
    """What was found, as lines of Prometheus's text format; no way to an expected prefix is 0 ways. Pure."""
    protocols = [({"name": one["name"], "protocol": one["protocol"]}, one) for one in found["protocols"]]
    sessions = [
        ({"name": one["name"], "neighbor": one.get("neighbor", ""), "family": family(one.get("neighbor", ""))}, one)
        for one in found["protocols"]
        if one["protocol"] == "BGP"
    ]
    routed = [(labels, one) for labels, one in protocols if "imported" in one]
    bfd = [({"neighbor": one["neighbor"], "interface": one["interface"]}, one["up"]) for one in found["bfd"]]
    hoped = [({"prefix": prefix, "family": family(prefix)}, found["ways"].get(prefix, 0)) for prefix in expected]
    paths = [({"prefix": prefix, "family": family(prefix)}, count) for prefix, count in sorted(found["ways"].items())]
    return [
        *metric("bird_protocol_up", "gauge", "1 while it is up", [(labels, one["up"]) for labels, one in protocols]),
        *metric("bird_bgp_up", "gauge", "1 while it is established", [(labels, one["up"]) for labels, one in sessions]),
        *metric("bird_bfd_up", "gauge", "1 while the neighbour is heard", bfd),
        *metric("bird_imported_routes", "gauge", "Routes taken", [(labels, one["imported"]) for labels, one in routed]),
        *metric("bird_exported_routes", "gauge", "Routes told", [(labels, one["exported"]) for labels, one in routed]),
        *metric("bird_prefix_ways", "gauge", "Neighbours that announce the prefix", paths),
        *metric("bird_expected_prefix_ways", "gauge", "The same of prefixes that have to be there", hoped),
    ]


def family(text: str) -> str:
    """Of an address or a prefix."""
    return "ipv6" if ":" in text else "ipv4"


def exporter_of(found: Mapping[str, Any]) -> Exporter:
    """As seter's file says. Raises KeyError, TypeError, ValueError."""
    expected = [f"{address}/{ip_address(address).max_prefixlen}" for address in found["expects"]]
    return Exporter(Bird(str(found["socket"])), expected)


if __name__ == "__main__":
    sys.exit(exporter(__doc__, CONFIG, sys.argv[1:], exporter_of))
