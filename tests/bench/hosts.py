"""Hosts for peers: namespaces on one switch, so that packets are as long as on a wire and cross interfaces."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A client, what is served, and two nodes before it.
HOSTS = {"cl": "10.99.0.10", "be": "10.99.0.20", "a": "10.99.0.11", "b": "10.99.0.12"}


@contextmanager
def network() -> Iterator[None]:
    """A switch and four hosts, each a namespace."""
    names = ["sw", *HOSTS]
    try:
        for name in names:
            ip("netns", "add", f"peer-{name}")
            ip("-n", f"peer-{name}", "link", "set", "lo", "up")
        ip("-n", "peer-sw", "link", "add", "switch", "type", "bridge")
        ip("-n", "peer-sw", "link", "set", "switch", "up")
        for host, address in HOSTS.items():
            pair = ("type", "veth", "peer", "name", "eth0", "netns", f"peer-{host}")
            ip("-n", "peer-sw", "link", "add", f"to-{host}", *pair)
            ip("-n", "peer-sw", "link", "set", f"to-{host}", "master", "switch", "up")
            ip("-n", f"peer-{host}", "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", f"peer-{host}", "link", "set", "eth0", "up")
        yield
    finally:
        for name in names:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", f"peer-{name}")


@contextmanager
def program(host: str, argv: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program on a host until the end of the block, in a group of processes of its own."""
    with (folder / f"{host}.log").open("ab") as log:
        process = subprocess.Popen(
            inside(host, argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def inside(host: str, argv: list[str]) -> list[str]:
    """The command, in the namespace of a host."""
    return ["ip", "netns", "exec", f"peer-{host}", *argv]


def ip(*words: str) -> None:
    """Raises CalledProcessError."""
    subprocess.run(["ip", *words], check=True, capture_output=True)
