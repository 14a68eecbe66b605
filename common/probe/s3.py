"""`s3 = "dns_name"`: an object is stored, read, compared and deleted through the service's name, as a client would."""

from __future__ import annotations

import json
from collections.abc import Sequence

from common.model import Verdict
from common.probe.interface import Probe, Said, Scene, bounded, last_line
from common.role import Check

CLIENT = "/usr/local/lib/seter/s3-client"  # the program of the role s3-client
SIZE = 1024  # bytes
LONGEST = 30  # seconds


def argv(size: int = SIZE, through: str = "", service: str = "") -> tuple[str, ...]:
    """The round trip, over all virtual IPs or through the node of one address: the service's name stays the same.

    That of the first service, when no other is named.
    """
    one = ("--vip", through) if through else ()
    which = ("--service", service) if service else ()
    return (CLIENT, "round-trip", "--size", str(size), "--json", *one, *which)


def upload_argv(file: str) -> tuple[str, ...]:
    """One upload that lasts as long as the file does, and is touched now and then."""
    return (CLIENT, "upload", "--while", file, "--json")


def drive_argv(
    profile: str, seconds: float, rate: float, addresses: Sequence[str] = (), *, stream: bool = False
) -> tuple[str, ...]:
    """Requests of a profile (JSON; s3_profile.py of the role s3-client says what that is) at planned times, over these
    addresses in turn, else over the virtual IPs. One JSON document at the end; with `stream` a line each second too."""
    how = "--stream" if stream else "--json"
    over = tuple(word for address in addresses for word in ("--vip", address))
    return (CLIENT, "drive", "--profile", profile, "--seconds", f"{seconds:g}", "--rate", f"{rate:g}", how, *over)


class S3Probe(Probe):
    """One round trip from every node of the scene; the client reads the service's name from its own configuration."""

    def run(self, check: Check, scene: Scene) -> Verdict:
        """See the interface."""
        expected = f"put, get, compare, delete on {scene.parameters.get(check.s3, check.s3)}"
        way = f" by {scene.through}" if scene.through else ""
        sizes = check.sizes or (SIZE,)
        for node in scene.nodes:
            for size in sizes:
                said = scene.execute(node, scene.role, bounded(argv(size, scene.through, check.service), LONGEST))
                if said.code != 0:
                    return Verdict(check.name, False, f"{node}: {size} bytes{way}: {fault_of(said)}", expected)
        return Verdict(check.name, True, f"round trip from {', '.join(scene.nodes)}{way}", expected)


def fault_of(said: Said) -> str:
    """What the client found, else its last words."""
    try:
        return str(json.loads(said.stdout)["error"])
    except (ValueError, KeyError, TypeError):
        return last_line(said)
