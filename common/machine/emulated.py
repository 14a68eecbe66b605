"""A machine that QEMU emulates: it boots a disk by UEFI as a physical one would, and answers SSH.

Nothing of it is left: QEMU ends with the block that it was started in, or with the thread that started it if that is
killed (PR_SET_PDEATHSIG, prctl(2)); the disk is not written, changes go to a file that nobody sees (`snapshot=on`) and
that goes with QEMU. Only a machine that is to last keeps its disk and its firmware's variables, as when power was cut.
Its network is QEMU's own (`-netdev user`), from which there is no way out. What differs between machines comes by
systemd credentials in the SMBIOS tables (systemd.system-credentials(7), systemd 254 and newer).
"""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from common.errors import Error, Missing
from common.run import CommandFailed, OnLine, Result, environment, run

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")  # Debian's package ovmf
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
TRANSLATED = 128  # MiB for translated code; by default QEMU takes a quarter of the machine's memory
ANSWER = timedelta(minutes=4)
# What is sent goes to the discard port (RFC 863); a hub without another port would stop the card's queue instead.
NOBODY = "socket,udp=127.0.0.1:9,localaddr=127.0.0.1:0"
TAIL = 25  # lines of the console that an error shows
NAME = "machine"  # of it, in ssh's configuration
CONSOLE = "console.log"  # what it wrote to its serial console
_PAUSE = 0.5  # seconds between two tries
# ssh(1) binds its socket under its name and 17 characters more first; a socket's path has at most 107 bytes (unix(7)).
_LONGEST_SOCKET = 107 - 17


@dataclass(frozen=True, slots=True)
class Nic:
    """A network interface. `model` as QEMU calls it; `slot` on the PCI bus, None for the next; one that is not wired
    has nobody at the other end, so no DHCP either."""

    model: str = "virtio-net-pci"
    slot: int | None = None
    wired: bool = True


@dataclass(frozen=True, slots=True)
class Hardware:
    """`disk` is virtio, scsi, nvme or ahci; `memory` in MiB. SSH goes through the first interface that is wired."""

    memory: int = 512
    cores: int = 2
    disk: str = "virtio"
    nics: tuple[Nic, ...] = (Nic(),)


class DoesNotAnswer(Error):
    """The machine died, or did not come up in time. Shows the end of its console."""


@dataclass(slots=True)
class Machine:
    """One that runs. `folder` has its console, its key and ssh's configuration, under the name NAME."""

    folder: Path
    seconds: float = 0.0  # from power on until SSH answered
    died: threading.Event = field(default_factory=threading.Event)

    @property
    def configuration(self) -> Path:
        """For `ssh -F`."""
        return self.folder / "ssh.config"

    def run(self, *argv: str, timeout: timedelta = timedelta(minutes=2), halt: threading.Event | None = None) -> Result:
        """A command in it, as root; ssh(1) hands its words to a shell there. Raises CommandFailed."""
        command = ("ssh", "-F", str(self.configuration), NAME, "--", *argv)
        return run(command, env=environment(), timeout=timeout, halt=halt)

    def console(self) -> str:
        """The end of what it wrote to its serial console."""
        return "\n".join(self._written()[-TAIL:])

    def has_written(self, text: str) -> bool:
        """Whether this was on its serial console, in one line."""
        return any(text in line for line in self._written())

    def _written(self) -> list[str]:
        with suppress(OSError):
            text = (self.folder / CONSOLE).read_bytes().decode(errors="replace")
            lines = ["".join(c for c in line if c.isprintable()).rstrip() for line in text.splitlines()]
            return [line for line in lines if line]
        return []


@contextmanager
def booted(
    disk: Path,
    folder: Path,
    hardware: Hardware | None = None,
    *,
    credentials: Mapping[str, str] | None = None,
    reboots: bool = True,
    until: str = "",
    sockets: Path | None = None,
    lasting: bool = False,
    port: int = 0,
    within: timedelta = ANSWER,
    halt: threading.Event | None = None,
) -> Iterator[Machine]:
    """Boot a disk, qcow2 by its name or else raw, and wait until SSH answers; it is off and gone afterwards.

    Without `reboots` it dies when it wants to start anew, as a kernel that found no root does. With `until` it is
    waited for that text on its console instead, for a machine that no network reaches. `sockets` is a folder with a
    short path: where `folder` is a deep one, connections are shared only if one is given. A `lasting` machine writes to
    its disk, and takes its firmware's variables and its key from `folder` when it is booted again; the end of the block
    cuts its power. SSH listens on this `port` of the loopback, else on a free one.

    Raises Missing without QEMU or its firmware, DoesNotAnswer, KeyboardInterrupt once `halt` is set.
    """
    if not FIRMWARE.exists() or not VARIABLES.exists():
        raise Missing("there is no UEFI firmware for QEMU", resolution="Install it: apt-get install ovmf")
    hardware, machine, off = hardware or Hardware(), Machine(folder), threading.Event()
    folder.mkdir(mode=0o700, exist_ok=True)
    port, public = port or _free_port(), _key(machine)
    told = {"ssh.authorized_keys.root": public, **(credentials or {})}
    if not lasting or not (folder / "variables.fd").exists():
        (folder / "variables.fd").write_bytes(VARIABLES.read_bytes())
    _configure(machine, port, sockets or folder)
    command = argv(hardware, disk.resolve(), folder, port, told, lasting=lasting)
    command = (*command, *(() if reboots else ("-no-reboot",)))
    runner = threading.Thread(target=_power, args=(machine, command, off), daemon=True)
    runner.start()
    try:
        _wait(machine, port, until, within, halt)
        yield machine
    finally:
        off.set()
        runner.join()


def argv(
    hardware: Hardware, disk: Path, folder: Path, port: int, credentials: Mapping[str, str], *, lasting: bool = False
) -> tuple[str, ...]:
    """QEMU's command. Raises KeyError for a kind of disk that is not known."""
    kept = "" if lasting else "snapshot=on,"
    form = "qcow2" if disk.suffix == ".qcow2" else "raw"
    drive = {
        "virtio": ("-device", "virtio-blk-pci,drive=disk,bootindex=1"),
        "scsi": ("-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk,bootindex=1"),
        "nvme": ("-device", "nvme,drive=disk,serial=disk,bootindex=1"),
        "ahci": ("-device", "ide-hd,drive=disk,bootindex=1"),
    }[hardware.disk]
    return (
        "setpriv", "--pdeathsig", "KILL", "--",
        "qemu-system-x86_64", "-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none",
        "-machine", "q35", "-accel", f"tcg,thread=multi,tb-size={TRANSLATED}", "-cpu", "max",
        "-smp", str(hardware.cores), "-m", str(hardware.memory),
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}",
        "-drive", f"if=pflash,unit=1,format=raw,file={folder / 'variables.fd'}",
        "-drive", f"if=none,id=disk,format={form},{kept}file={disk}", *drive,
        "-serial", f"file:{folder / CONSOLE}", "-device", "virtio-rng-pci",
        *(word for text in _credentials(credentials) for word in ("-smbios", text)),
        *_network(hardware.nics, port),
    )  # fmt: skip


def _credentials(values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        # A comma would end the value; base64 has none.
        yield f"type=11,value=io.systemd.credential.binary:{name}={base64.b64encode(value.encode()).decode()}"


def _network(nics: Sequence[Nic], port: int) -> Iterator[str]:
    reached = next((number for number, nic in enumerate(nics) if nic.wired), None)
    for number, nic in enumerate(nics):
        forward = f",hostfwd=tcp:127.0.0.1:{port}-:22" if number == reached else ""
        net = f"10.{number}.2.0/24"
        kind = f"user,restrict=on,ipv6=off,net={net}{forward}" if nic.wired else NOBODY
        where = "" if nic.slot is None else f",addr={nic.slot:#x}"
        yield from ("-netdev", f"{kind},id=net{number}")
        yield from ("-device", f"{nic.model},netdev=net{number},romfile={where}")


def _power(machine: Machine, command: Sequence[str], off: threading.Event) -> None:
    try:
        with suppress(KeyboardInterrupt):  # how `run` says that it was halted
            run(
                command,
                env=environment({"TMPDIR": str(machine.folder)}),
                on_line=_to(machine.folder / CONSOLE),
                halt=off,
            )
    except Error as error:
        _to(machine.folder / CONSOLE)("", str(error))
    finally:
        machine.died.set()


def _to(path: Path) -> OnLine:
    def write(stream: str, line: str) -> None:
        with path.open("a") as file:
            file.write(line + "\n")

    return write


def _greets(port: int) -> bool:
    """Whether an SSH server says its version; QEMU takes connections long before anybody is there."""
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 2)) as client:
        client.settimeout(30)
        return client.recv(4) == b"SSH-"
    return False


def _wait(machine: Machine, port: int, until: str, within: timedelta, halt: threading.Event | None) -> None:
    began, refused = time.monotonic(), ""
    while True:
        if halt is not None and halt.is_set():
            raise KeyboardInterrupt
        try:
            if _is_up(machine, port, until, halt):
                machine.seconds = time.monotonic() - began
                return
        except CommandFailed as error:
            refused = error.details
        late = time.monotonic() - began > within.total_seconds()
        if late or machine.died.is_set():
            raise _silent(machine, until, within if late else None, refused)
        time.sleep(_PAUSE)


def _is_up(machine: Machine, port: int, until: str, halt: threading.Event | None) -> bool:
    if until:
        return machine.has_written(until)
    if not _greets(port):
        return False
    machine.run("true", timeout=timedelta(seconds=30), halt=halt)
    return True


def _silent(machine: Machine, until: str, late: timedelta | None, refused: str) -> DoesNotAnswer:
    awaited = f"has not written {until!r}" if until else "does not answer SSH"
    what = "has died" if late is None else f"{awaited} within {late.total_seconds():.0f} s"
    return DoesNotAnswer(
        f"the emulated machine {what}",
        details="\n".join((machine.console(), *((f"ssh said: {refused}",) if refused else ()))),
        resolution="What it wrote last to its console is above.",
    )


def _key(machine: Machine) -> str:
    path = machine.folder / "key"
    if not path.exists():
        run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)))
    return path.with_suffix(".pub").read_text()


def _configure(machine: Machine, port: int, sockets: Path) -> None:
    socket_path = sockets / "s"
    # Each connection costs a second or more under emulation; with a path that is too long ssh would not even begin.
    shared = ("ControlMaster auto", f"ControlPath {socket_path}", "ControlPersist 60")
    lines = (
        f"Host {NAME}",
        "HostName 127.0.0.1",
        f"Port {port}",
        "User root",
        f"IdentityFile {machine.folder / 'key'}",
        "IdentitiesOnly yes",
        # It is ours, on this machine, and its key was made a moment ago.
        "StrictHostKeyChecking accept-new",
        f"UserKnownHostsFile {machine.folder / 'known_hosts'}",
        "BatchMode yes",
        "ConnectTimeout 30",
        # Others take seconds under emulation, and nobody listens on this machine's own network.
        "KexAlgorithms curve25519-sha256",
        "Ciphers aes128-gcm@openssh.com",
        *(shared if len(os.fsencode(socket_path)) <= _LONGEST_SOCKET else ()),
        "LogLevel ERROR",
    )
    machine.configuration.write_text("\n".join(lines) + "\n")


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port
