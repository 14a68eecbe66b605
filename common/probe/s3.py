"""`s3 = "dns_name"`: an object is stored, read, compared and deleted through the service's name, as a client would."""

from __future__ import annotations

from common.model import Verdict
from common.probe.interface import Probe, Scene, bounded, last_line
from common.role import Check

CLIENT = "/usr/local/lib/seter/s3-client"  # the program of the role s3-client
SIZE = 1024  # bytes
LONGEST = 30  # seconds


def argv(size: int = SIZE, service: str = "") -> tuple[str, ...]:
    """The round trip, over the first service when no other is named."""
    which = ("--service", service) if service else ()
    return (CLIENT, "round-trip", "--size", str(size), "--json", *which)


class S3Probe(Probe):
    """One round trip from every node of the scene; the client reads the service's name from its own configuration."""

    def run(self, check: Check, scene: Scene) -> Verdict:
        """See the interface."""
        expected = f"put, get, compare, delete on {scene.parameters.get(check.s3, check.s3)}"
        for node in scene.nodes:
            said = scene.execute(node, scene.role, bounded(argv(service=check.service), LONGEST))
            if said.code != 0:
                return Verdict(check.name, False, f"{node}: {last_line(said)}", expected)
        return Verdict(check.name, True, f"round trip from {', '.join(scene.nodes)}", expected)
