"""A Docker engine: what `seter doctor` finds at it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from common.errors import Error
from seter.finding import Finding, clock, failed, good, space, warn
from seter.provisioner.docker_errors import translated

DEFAULT = "engine"  # how doctor calls the one that DOCKER_HOST names
OLDEST_API = (1, 41)  # of Docker 20.10, the oldest that was tried


class Engine(Protocol):
    """What of the SDK's client is needed."""

    base_url: str

    def info(self) -> Mapping[str, Any]:
        """What the engine says of itself and its machine."""
        ...

    def version(self) -> Mapping[str, Any]:
        """Its versions."""
        ...


def examine(api: Engine, name: str) -> Iterator[Finding]:
    """Whether it answers, is new enough, and has the right time and space."""
    try:
        with translated(f"asking {name}"):
            version = api.version()
            before = time.time()
            said = api.info()
            after = time.time()
    except Error as error:
        yield failed(name, "Docker", error)
        return
    yield from findings(name, version, said, before, after)
    root = Path(str(said["DockerRootDir"]))
    if "unix" in api.base_url and root.is_dir():  # else nobody tells from here
        free = os.statvfs(root)
        yield space(name, str(root), free.f_bavail * free.f_frsize, free.f_favail if free.f_files else -1)


def findings(
    name: str, version: Mapping[str, Any], said: Mapping[str, Any], before: float, after: float
) -> Iterator[Finding]:
    """What an engine said, between these two moments of our clock (seconds since 1970). Pure."""
    says = f"{version['Version']} on {said['Name']}, answers within {after - before:.1f} s"
    if tuple(int(part) for part in str(version["ApiVersion"]).split(".")) < OLDEST_API:
        yield warn(name, "Docker", says, "Install 20.10 or newer there: nobody has tried an older one.")
    else:
        yield good(name, "Docker", says)
    # With nine digits of a second, of which Python 3.11 reads them all and keeps six.
    offset = datetime.fromisoformat(str(said["SystemTime"])).timestamp() - (before + after) / 2
    yield clock(name, offset, (after - before) / 2)
    if not said.get("IPv4Forwarding", True):
        yield warn(name, "forwarding", "IPv4 forwarding is off", "sysctl -w net.ipv4.ip_forward=1 there.")
