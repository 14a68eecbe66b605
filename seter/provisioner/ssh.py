"""The way to hosts: OpenSSH's client, with one connection to each host that all calls share.

What ssh has to know stands in one file, `config` in the deployment's folder, for us, for Ansible and for smie. A host's
key is the one that the target pins, or that `seter trust` learnt; no other is accepted, and none is learnt by the way.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shlex
import stat
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from math import inf
from pathlib import Path

from common.errors import Denied, Error, Missing, Unavailable
from common.files import write_atomically
from common.run import CommandFailed, Result, TimedOut, run, stream
from common.system import Node, Target
from common.target_shapes import JUMP

JUMP_NAME = "seter-jump"  # the host to go over, in ssh's configuration
SESSIONS = 4  # at once on one connection; sshd allows 10 (sshd_config(5), MaxSessions)
CONNECT_WITHIN = 10  # seconds
SILENCE = 5  # seconds without a word from the host, three times, end a connection
PERSIST = 30  # seconds that a connection stays open without a call
CALL_WITHIN = timedelta(seconds=60)
EMULATED = 5  # times longer may take what is done by a processor that is emulated; what runs on a gateway fills one
GRACE = timedelta(seconds=2)
TRIES = 6
# sshd drops connections at random when many arrive at once (MaxStartups); nothing has run then.
_DROPPED = re.compile(r"kex_exchange_identification|ssh_exchange_identification|Connection timed out during banner")
_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"
# Reads as many bytes of a program as its first argument says, and runs it; what follows is the program's own input.
BOOT = "import sys;n=int(sys.argv.pop(1));exec(compile(sys.stdin.buffer.read(n),'seter','exec'))"


def patience_of(target: Target, nodes: Iterable[Node]) -> int:
    """How many times longer than others these nodes may take. Pure."""
    emulated = target.machine is not None and (target.machine.module, target.machine.accelerator) == ("qemu", "tcg")
    return EMULATED if emulated and all(target.kind_of(node) == "virtual" for node in nodes) else 1


def config(target: Target, nodes: Sequence[Node], folder: Path, sockets: Path) -> str:
    """The text of ssh's configuration (ssh_config(5)). Pure."""
    lines: list[str] = []
    patience = patience_of(target, nodes)
    for node in nodes:
        lines += [f"Host {node.name}", f"  HostName {node.manage or node.address}"]
        lines += [f"  Port {node.port}", f"  User {target.user or 'root'}"]
        lines += [f"  HostKeyAlias {node.name}", *([f"  ProxyJump {JUMP_NAME}"] if target.jump else [])]
    if found := JUMP.fullmatch(target.jump):
        lines += [f"Host {JUMP_NAME}", f"  HostName {found['host'].strip('[]')}", f"  HostKeyAlias {JUMP_NAME}"]
        lines += [f"  Port {found['port'] or 22}", f"  User {found['user'] or target.user or 'root'}"]
    lines.append("Host *")
    if target.identity_file:
        lines += [f'  IdentityFile "{Path(target.identity_file).expanduser().absolute()}"', "  IdentitiesOnly yes"]
    lines += [
        f'  UserKnownHostsFile "{folder / "known_hosts"}" "{folder / "pinned"}"',
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  UpdateHostKeys no",
        "  BatchMode yes",
        f"  ConnectTimeout {CONNECT_WITHIN * patience}",
        f"  ServerAliveInterval {SILENCE * patience}",
        "  ServerAliveCountMax 3",
        "  ControlMaster auto",
        f'  ControlPath "{sockets}/%C"',
        f"  ControlPersist {PERSIST}",
        "  ForwardAgent no",
        "  ForwardX11 no",
        "  LogLevel ERROR",
    ]
    return "\n".join(lines) + "\n"


def private_folder(folder: Path) -> Path:
    """A folder of this user alone, with a short name: sockets are there (unix(7): 108 bytes). Raises Denied."""
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    made = Path(tempfile.gettempdir()) / f"seter-ssh-{os.getuid()}-{name}"
    made.mkdir(mode=0o700, exist_ok=True)
    seen = made.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise Denied(f"{made} is not ours alone", resolution="Remove it: connections to hosts are kept there.")
    return made


@dataclass
class Ssh:
    """Calls to the hosts that `folder/config` knows. `users` says whom we are there, by name of the host; `patience`
    how many times longer than others they may take."""

    folder: Path
    users: dict[str, str]
    patience: int = 1
    halt: threading.Event = field(default_factory=threading.Event)
    _slots: dict[str, threading.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: threading.Semaphore(SESSIONS))
    )
    _doors: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _open: set[str] = field(default_factory=set)

    @classmethod
    def made(cls, target: Target, nodes: Sequence[Node], folder: Path) -> Ssh:
        """Written anew from the definitions."""
        whole = folder.absolute()
        users = {node.name: target.user or "root" for node in nodes}
        pinned = "".join(f"{node.name} {node.host_key}\n" for node in nodes if node.host_key)
        for name, text in (
            ("config", config(target, nodes, whole, private_folder(whole))),
            ("pinned", pinned),
            ("users.json", json.dumps(users)),
            ("patience", str(patience := patience_of(target, nodes))),
        ):
            write_atomically(whole / name, text)
        return cls(whole, users, patience)

    @classmethod
    def remembered(cls, folder: Path) -> Ssh:
        """As an earlier call wrote it, for when definitions have changed or are gone. Without one it has no hosts."""
        whole, users = folder.absolute(), {}
        if (whole / "users.json").is_file():
            private_folder(whole)
            users = dict(json.loads((whole / "users.json").read_text()))
        patience = whole / "patience"
        return cls(whole, users, int(patience.read_text()) if patience.is_file() else 1)

    @property
    def config(self) -> Path:
        """Ssh's configuration."""
        return self.folder / "config"

    def call(
        self, node: str, program: str, words: Sequence[str], data: bytes = b"", within: timedelta = CALL_WITHIN
    ) -> Result:
        """Run a Python program as root on the host, with these arguments; `data` is its input.

        Raises Unavailable when the host does not answer, also in the middle, Denied for an unknown or wrong host key,
        a user who may not log in and one without sudo, Missing for a host without Python.
        """
        source = program.encode()
        argv = remote(self.config, node, ["python3", "-IS", "-c", BOOT, str(len(source)), *words], self.users[node])
        with self._slots[node]:
            result = self._first(node, argv, source + data, within)
        if (error := refused(node, result)) is not None:
            self._open.discard(node)
            raise error
        return result

    def reach(self, node: str, within: timedelta = CALL_WITHIN) -> timedelta:
        """Log in as the user that we are there, on a connection of its own; how long it took. Raises as `call`, but
        nothing about root."""
        argv = remote(self.config, node, ["true"], "root")
        begun = time.monotonic()
        patience = CONNECT_WITHIN / 2 * self.patience
        result = self._run(node, [*argv[:3], "-oControlPath=none", *argv[3:]], b"", within, patience)
        if (error := refused(node, result)) is not None:
            raise error
        return timedelta(seconds=time.monotonic() - begun)

    def send(
        self, node: str, program: str, words: Sequence[str], data: Iterable[bytes], within: timedelta = CALL_WITHIN
    ) -> Result:
        """As `call`, for input that comes in pieces; so it is tried once, over the connection that there is."""
        source = program.encode()
        argv = remote(self.config, node, ["python3", "-IS", "-c", BOOT, str(len(source)), *words], self.users[node])
        with self._slots[node]:
            result = self._run(node, argv, chain((source,), data), within, 0.0)
        if (error := refused(node, result)) is not None:
            self._open.discard(node)
            raise error
        return result

    def stream(self, node: str, program: str, words: Sequence[str]) -> Iterator[bytes]:
        """As `call`, but what the program prints comes in pieces, for as long as it runs. Raises CommandFailed too."""
        source = program.encode()
        argv = remote(self.config, node, ["python3", "-IS", "-c", BOOT, str(len(source)), *words], self.users[node])
        try:
            yield from stream(argv, source)
        except CommandFailed as failed:
            raise refused(node, failed.result) or failed from failed

    def forget(self, node: str) -> None:
        """The host's power was switched: what connection there was is of an earlier life."""
        self._open.discard(node)
        run(["ssh", "-F", str(self.config), "-O", "exit", node], timeout=CALL_WITHIN, check=False)

    def _first(self, node: str, argv: Sequence[str], data: bytes, within: timedelta) -> Result:
        """The first call opens the connection that the others go over."""
        if node in self._open:
            return self._run(node, argv, data, within)
        with self._doors[node]:
            result = self._run(node, argv, data, within)
            self._open.add(node)
        return result

    def _run(
        self, node: str, argv: Sequence[str], data: bytes | Iterable[bytes], within: timedelta, patience: float = inf
    ) -> Result:
        """A connection that was dropped is tried again, for so many seconds."""
        within *= self.patience
        begun = time.monotonic()
        for left in reversed(range(TRIES)):
            try:
                result = run(argv, input=data, timeout=within, grace=GRACE, check=False, halt=self.halt)
            except TimedOut as late:
                raise Unavailable(
                    f"{node} did not answer within {within.total_seconds():.0f} s",
                    details=late.details,
                    resolution="See that the host runs and is not overloaded, then run the command again.",
                ) from late
            tired = time.monotonic() - begun > patience
            if result.code != 255 or not _DROPPED.search(result.stderr) or tired or not left:
                break
            time.sleep(random.uniform(0.2, 0.5) * 2 ** (TRIES - 1 - left))
        return result


def remote(config: Path, node: str, argv: Sequence[str], user: str) -> list[str]:
    """The command line that runs a command as root on the host. Nothing secret may be in it. Pure."""
    rights = [] if user == "root" else ["sudo", "-n", "--"]
    return ["ssh", "-F", str(config), "-T", node, "--", shlex.join([*rights, *argv])]


def refused(node: str, result: Result) -> Error | None:
    """What ssh or sudo say instead of running a command, as an error of ours; None if it ran. Pure."""
    said = result.stderr.strip()
    if result.code == 255:
        return _of_ssh(node, said)
    last = said.splitlines()[-1] if said else ""
    if "python3" in last and (result.code == 127 or (result.code == 1 and "command not found" in last)):
        return Missing(f"{node} has no Python 3", details=said, resolution="Install it there: apt-get install python3.")
    if result.code == 1 and last.startswith("sudo:"):
        return Denied(
            f"{node}: the user may not become root there",
            details=said,
            resolution="Let it use sudo without a password (sudoers(5), NOPASSWD), or name another user in the target.",
        )
    return None


def _of_ssh(node: str, said: str) -> Error:
    if _CHANGED in said:
        return Denied(
            f"{node} shows another host key than the one that is known",
            details=said,
            resolution="Somebody may be in between. If the host was made anew, compare the new key by another way than "
            f"this network, then: seter trust SYSTEM --target TARGET {node}",
        )
    if "Host key verification failed" in said or "No ED25519 host key is known" in said:
        return Denied(
            f"the host key of {node} is not known",
            details=said,
            resolution=f"Pin it in the target (host_key), or learn it with: seter trust SYSTEM --target TARGET {node}",
        )
    if "Permission denied" in said:
        return Denied(
            f"{node} does not let us log in",
            details=said,
            resolution="See user and identity_file of the target, and the host's authorized_keys.",
        )
    return Unavailable(
        f"{node} cannot be reached by SSH",
        details=said,
        resolution="See that the host runs and that its address and port in the target are right; try again.",
    )
