#!/usr/bin/python3
"""Says how BIRD is, as JSON: its protocols, its BGP sessions with what they carry, its BFD sessions.

    bird-status [--all-up]

Exit code: 0 BIRD answers (and with --all-up every session with a router is up, BGP and BFD), 1 it does not.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import sys
from collections.abc import Iterable
from typing import Any

from bird_control import Bird

_ROUTES = re.compile(r"^\s*Routes:\s+(\d+) imported, (?:\d+ filtered, )?(\d+) exported")
_NEIGHBOR = re.compile(r"^\s*Neighbor address:\s+(\S+)")


def protocols(lines: Iterable[str]) -> list[dict[str, Any]]:
    """What `show protocols all` prints, one entry a protocol. Pure."""
    found: list[dict[str, Any]] = []
    for line in lines:
        words = line.split()
        if line[:1].strip() and len(words) >= 5 and words[0] != "Name":
            found.append(_protocol(line))
        elif found:
            _add_detail(found[-1], line)
    return found


def _protocol(line: str) -> dict[str, Any]:
    # Name Proto Table State Since(date time) Info…; with "iso long" times the date and the time are two words.
    words = line.split()
    return {
        "name": words[0],
        "protocol": words[1],
        "up": words[3] == "up",
        "since": " ".join(words[4:6]),
        "info": " ".join(words[6:]),
    }


def _add_detail(protocol: dict[str, Any], line: str) -> None:
    if routes := _ROUTES.match(line):
        protocol["imported"] = protocol.get("imported", 0) + int(routes[1])
        protocol["exported"] = protocol.get("exported", 0) + int(routes[2])
    elif neighbor := _NEIGHBOR.match(line):
        protocol["neighbor"] = neighbor[1]


def bfd(lines: Iterable[str]) -> list[dict[str, Any]]:
    """What `show bfd sessions` prints: address, interface, state, since, interval and timeout (seconds). Pure."""
    found = []
    for line in lines:
        words = line.split()
        if len(words) >= 6 and ("." in words[0] or ":" in words[0]) and not words[0].endswith(":"):
            found.append(
                {
                    "neighbor": words[0],
                    "interface": words[1],
                    "up": words[2] == "Up",
                    "since": " ".join(words[3:-2]),
                    "interval": float(words[-2]),
                    "timeout": float(words[-1]),
                }
            )
    return found


def problems(report: dict[str, Any]) -> list[str]:
    """Sessions with routers that are not up, by name. Pure.

    BFD between gateways tells which of them are there: that one is gone is no fault of this node.
    """
    sessions = [entry for entry in report["protocols"] if entry["protocol"] == "BGP"]
    routers = {entry.get("neighbor") for entry in sessions}
    down = [entry["name"] for entry in sessions if not entry["up"]]
    return down + [f"BFD {one['neighbor']}" for one in report["bfd"] if not one["up"] and one["neighbor"] in routers]


def become_bird() -> None:
    """Root of a container has no right to BIRD's socket (it has no CAP_DAC_OVERRIDE); the user bird has."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("bird")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def main(argv: list[str]) -> int:
    """See the top of this file."""
    if argv not in ([], ["--all-up"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        become_bird()
        bird = Bird()
        report = {"protocols": protocols(bird.ask("show protocols all")), "bfd": bfd(bird.ask("show bfd sessions"))}
    except OSError as fault:
        print(f"bird-status: {fault}", file=sys.stderr)
        return 1
    down = problems(report)
    print(json.dumps({"ok": not down, "down": down, **report}))
    return 1 if down and argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
