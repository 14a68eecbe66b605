"""A Docker engine's socket on another machine, as a socket here: OpenSSH's client carries it.

The SDK, Ansible and docker's own client then all speak to a local socket, so none of them needs to know SSH, host keys
or jump hosts, and all calls share one login. On the other side a cat(1) waits for our end: when this process is gone,
whatever ended it, its input ends, and ssh with it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import Unavailable
from common.run import CommandFailed, stream
from common.system import Engine, Node, Target
from seter.provisioner.ssh import CONNECT_WITHIN, Ssh, private_folder, refused

SOCKET = "/var/run/docker.sock"
UP = b"up"
_OURS = re.compile(r"engine-[a-z0-9-]+-(?P<pid>\d+)\.sock")
OPTIONS = ("ControlMaster=no", "ControlPath=none", "ExitOnForwardFailure=yes", "StreamLocalBindUnlink=yes")


def ssh_of(engine: Engine, target: Target | None, folder: Path) -> Ssh:
    """The way to the engine's machine; without a target as an earlier run wrote it."""
    if target is None:
        return Ssh.remembered(folder)
    parts = urlsplit(engine.url)
    node = Node(engine.name, "", manage=parts.hostname or "", port=parts.port or 22, host_key=engine.host_key)
    known = Target(
        target.name, "baremetal", (node,), target.file, user=parts.username or "root", jump=target.jump,
        identity_file=target.identity_file,
    )  # fmt: skip
    return Ssh.made(known, (node,), folder)


def command(config: Path, name: str, local: Path, remote: str) -> list[str]:
    """The command line that carries the socket. Pure."""
    options = [word for option in OPTIONS for word in ("-o", option)]
    return ["ssh", "-F", str(config), "-T", *options, "-L", f"{local}:{remote}", name, "--", f"echo {UP.decode()}; cat"]


class Tunnel:
    """Open from when it is made to `close`, or the end of this process."""

    def __init__(self, engine: Engine, ssh: Ssh) -> None:
        """Raises Unavailable, Denied as `Ssh.call` does."""
        folder = private_folder(ssh.folder)
        sweep(folder)
        self.socket = folder / f"engine-{engine.name}-{os.getpid()}.sock"
        argv = command(ssh.config, engine.name, self.socket, urlsplit(engine.url).path.rstrip("/") or SOCKET)
        self._said = stream(argv, b"")
        _first(self._said, engine.name)

    def close(self) -> None:
        """Twice is once."""
        self._said.close()
        self.socket.unlink(missing_ok=True)


def _first(said: Generator[bytes, None, None], name: str) -> None:
    """Wait until we are logged in, at most as long as ssh may take, and some."""
    failed: list[Exception] = []
    up = threading.Event()

    def wait() -> None:
        try:
            next(said, b"")
        except Exception as error:
            failed.append(error)
        up.set()

    threading.Thread(target=wait, daemon=True).start()
    if not up.wait(2 * CONNECT_WITHIN):
        raise Unavailable(
            f"{name} did not answer within {2 * CONNECT_WITHIN} s",
            resolution="See that the machine runs and is not overloaded, then run the command again.",
        )
    for error in failed:
        raise (refused(name, error.result) or error) if isinstance(error, CommandFailed) else error


def sweep(folder: Path) -> None:
    """Remove sockets of processes that were killed before they could."""
    for socket in folder.glob("engine-*.sock"):
        found = _OURS.fullmatch(socket.name)
        if found is not None and not Path("/proc", found["pid"]).exists():
            socket.unlink(missing_ok=True)
