"""A Docker engine of a test's own, which may be lost at any moment.

It has its own socket, folder, network, processes and mounts: a second engine beside the machine's, in the machine's own
network, would take the first one's bridge away. When it is killed, all that runs in it goes at once, as with a machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import docker
import docker.errors

from tests.lab.programs import program

CGROUP = "smie-test-engine"


# Waits for an interface, then becomes dockerd. $1 the interface.
AWAITED = 'until ip link show "$1" up >/dev/null 2>&1; do sleep 0.05; done; shift; exec "$@"'


@dataclass(frozen=True)
class Wire:
    """From an interface of this machine to one of the engine's; with an address, a prefix of two, they have its lower
    and its upper one."""

    here: str
    there: str
    address: str = ""


@dataclass
class Engine:
    """`folder` has a short path, because sockets are in it. A context manager; it runs when the block begins."""

    folder: Path
    options: tuple[str, ...] = ()  # of dockerd, beside its own
    wires: tuple[Wire, ...] = ()  # there before dockerd, as a machine's interfaces are
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self.folder / 'docker.sock'}"

    def start(self) -> None:
        """Start it, or start it again on what it had."""
        alone = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
        own = (
            f"--host={self.host}", f"--data-root={self.folder / 'data'}", f"--exec-root={self.folder / 'run'}",
            f"--pidfile={self.folder / 'pid'}", "--bridge=none", "--iptables=false", f"--cgroup-parent=/{CGROUP}",
            *self.options,
        )  # fmt: skip
        for name in ("docker.sock", "pid", "run"):
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            awaited = ("sh", "-c", AWAITED, "sh", self.wires[-1].there) if self.wires else ()
            self.process = subprocess.Popen(
                (*alone, *awaited, program("dockerd"), *own), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        for wire in self.wires:
            self._plug(wire)
        end = time.monotonic() + 60
        while not self._answers():
            said = (self.folder / "log").read_text()[-2000:]
            assert self.process.poll() is None and time.monotonic() < end, f"dockerd does not answer:\n{said}"
            time.sleep(0.1)

    def _plug(self, wire: Wire) -> None:
        """It goes with the engine."""
        assert self.process is not None
        pid = str(self.process.pid)
        while Path("/proc", pid, "ns", "net").readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)  # unshare(1) has not got to it yet
        inside = ("nsenter", "--net", "--target", pid, "--")
        _ip("link", "add", wire.here, "type", "veth", "peer", "name", wire.there, "netns", pid)
        for argv, name, place in (((), wire.here, 0), (inside, wire.there, 1)):
            if wire.address:
                _ip("address", "add", f"{ip_network(wire.address)[place]}/31", "dev", name, before=argv)
            _ip("link", "set", name, "up", before=argv)

    def lose(self) -> None:
        """It is gone, with everything in it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """It ends what runs in it, then itself."""
        assert self.process is not None
        inner = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=True)
        os.kill(int(inner.stdout.split()[0]), signal.SIGTERM)  # unshare(1) hands nothing on
        self.process.wait(timeout=120)

    def client(self) -> docker.DockerClient:
        """Talks to it."""
        return docker.DockerClient(base_url=self.host, timeout=60)

    def _answers(self) -> bool:
        with suppress(docker.errors.DockerException):
            return bool(self.client().ping())
        return False

    def __enter__(self) -> Engine:
        self.folder.mkdir(parents=True)
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.lose()
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in sorted(Path("/sys/fs/cgroup").glob(f"**/{CGROUP}"), reverse=True):
            for inner in sorted((*folder.rglob("*/"), folder), reverse=True):
                with suppress(OSError):  # what still has a process in it
                    inner.rmdir()


def _ip(*words: str, before: tuple[str, ...] = ()) -> None:
    """ip(8)."""
    ended = subprocess.run((*before, "ip", *words), capture_output=True, text=True, timeout=20)
    assert ended.returncode == 0, f"ip {words}: {ended.stderr}"
