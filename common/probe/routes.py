"""`routes = "vips"`: the kernel of each node has as many next hops for each address as `expect` has nodes."""

from __future__ import annotations

import json

from common.model import Verdict
from common.probe.interface import Probe, Scene, bounded, last_line
from common.role import Check


def argv(address: str) -> tuple[str, ...]:
    """The command that prints the route to exactly this address, as JSON."""
    family = "-6" if ":" in address else "-4"
    return ("ip", family, "-json", "route", "show", address)


def next_hops(text: str) -> int:
    """How many next hops there are in what iproute2 prints: a multipath route, or several routes of one hop each."""
    routes = json.loads(text or "[]")
    return sum(len(route["nexthops"]) if "nexthops" in route else 1 for route in routes)


class RoutesProbe(Probe):
    """Asks every node of the scene for every address of the parameter."""

    def run(self, check: Check, scene: Scene) -> Verdict:
        """See the interface."""
        wanted = len(scene.groups.get(check.expect, ()))
        value = scene.parameters[check.routes]
        addresses = [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
        expected = f"{wanted} next hops on each of {', '.join(scene.nodes)}"
        for node in scene.nodes:
            for address in addresses:
                said = scene.execute(node, scene.role, bounded(argv(address)))
                if said.code != 0:
                    return Verdict(check.name, False, f"{node}: {last_line(said)}", expected)
                if (count := next_hops(said.stdout)) != wanted:
                    return Verdict(check.name, False, f"{node}: {count} next hops for {address}", expected)
        return Verdict(check.name, True, expected, expected)
