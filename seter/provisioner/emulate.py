"""What Terraform runs on this machine for the `qemu` module: `python -m seter.provisioner.emulate VERB JSON`.

    network-up, network-down    a bridge with the network's gateway addresses
    disk-up, disk-down          a file: on top of an artefact's disk, or empty
    machine-up, machine-down    QEMU, which outlives whoever starts it, and its taps on the bridges

The JSON is a resource's `input`. Each verb may be cut off and run again: what is there already stays, what is gone is
no error. Ours is a bridge or a tap by its alias, a QEMU by its name and the file of its process id; nothing else is
ever touched. Needs the right to make interfaces (CAP_NET_ADMIN, capabilities(7)).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from common.errors import BadInput, Conflict, Error, Missing
from common.machine.emulated import CONSOLE, FIRMWARE, TRANSLATED, VARIABLES
from common.run import CommandFailed, environment, run

PID, FIRMWARE_VARIABLES = "pid", "variables.fd"
WITHIN = timedelta(seconds=60)
END_WITHIN = 10.0  # seconds that QEMU has to write what it holds
FILTERS = ("iptables", "ip6tables")
Given = Mapping[str, Any]


def main(words: Sequence[str]) -> int:
    """Run one verb; what is wrong goes to stderr, from where Terraform shows it."""
    verbs: dict[str, Callable[[Given], None]] = {
        "network-up": network_up, "network-down": network_down, "disk-up": disk_up, "disk-down": disk_down,
        "machine-up": machine_up, "machine-down": machine_down,
    }  # fmt: skip
    try:
        verbs[words[0]](json.loads(words[1]))
    except Error as error:
        sys.stderr.write("\n".join(part for part in (error.message, error.details, error.resolution) if part) + "\n")
        return 1
    return 0


# networks


def network_up(given: Given) -> None:
    """A bridge with these addresses, unless an interface has the first of them already: then that is the network's."""
    address = str(given["addresses"][0])
    if interface_of(address):
        return
    name, alias = str(given["bridge"]), str(given["alias"])
    if (there := _links().get(name)) is None:
        _ip("link", "add", "name", name, "type", "bridge")
    elif there.get("ifalias", "") not in ("", alias):
        raise Conflict(f"the bridge {name} is not ours", resolution=f"Remove it: ip link del {name}")
    _ip("link", "set", "dev", name, "alias", alias)
    for each in given["addresses"][1:]:
        _ip("address", "replace", str(each), "dev", name, "nodad")
    _ip("link", "set", "dev", name, "up")
    _let_through(name)
    _ip("address", "replace", address, "dev", name)  # last: who finds it finds all


def network_down(given: Given) -> None:
    """Only what `network_up` made."""
    name = str(given["bridge"])
    if _links().get(name, {}).get("ifalias") == given["alias"]:
        _ip("link", "del", "dev", name)
    for program, chain in _filters(name):
        run((program, "-w", "-D", chain, *_rule(name)), timeout=WITHIN, check=False)


def _let_through(bridge: str) -> None:
    """Docker sends bridged packets through the filter, and lets it drop what it does not know."""
    for program, chain in _filters(bridge):
        if run((program, "-w", "-C", chain, *_rule(bridge)), timeout=WITHIN, check=False).code:
            run((program, "-w", "-I", chain, *_rule(bridge)), timeout=WITHIN)


def _filters(bridge: str) -> Iterator[tuple[str, str]]:
    for program in FILTERS:
        if shutil.which(program, path=environment()["PATH"]):
            docker = run((program, "-w", "-n", "-L", "DOCKER-USER"), timeout=WITHIN, check=False).code == 0
            yield program, "DOCKER-USER" if docker else "FORWARD"


def _rule(bridge: str) -> tuple[str, ...]:
    return ("-i", bridge, "-o", bridge, "-j", "ACCEPT")


def interface_of(address: str) -> str:
    """The interface that has the address (with its length), '' if none has."""
    wanted = ip_interface(address)
    for each in _read("-json", "address", "show"):
        for one in each.get("addr_info", ()):
            if one.get("local") == str(wanted.ip) and one.get("prefixlen") == wanted.network.prefixlen:
                return str(each["ifname"])
    return ""


def _links() -> dict[str, dict[str, Any]]:
    return {str(each["ifname"]): each for each in _read("-json", "-details", "link", "show")}


def _read(*words: str) -> list[dict[str, Any]]:
    said = json.loads(run(("ip", *words), timeout=WITHIN).stdout or "[]")
    return [each for each in said if each.get("ifname")]


def _ip(*words: str) -> None:
    try:
        run(("ip", *words), timeout=WITHIN)
    except CommandFailed as failed:
        raise Error(
            f"ip {' '.join(words)}: {failed.result.stderr.strip()}",
            resolution="Run seter as root, or give it CAP_NET_ADMIN: virtual machines need interfaces.",
        ) from failed


# disks


def disk_up(given: Given) -> None:
    """The file, made beside and renamed. One that is there stays."""
    file = Path(str(given["file"]))
    if file.exists():
        return
    new = file.with_name(f".{file.name}.new")
    base = ("-b", str(given["base"]), "-F", "qcow2") if given.get("base") else ()
    size = (str(given["size"]),) if given.get("size") else ()
    run(("qemu-img", "create", "-q", "-f", "qcow2", *base, str(new), *size), timeout=WITHIN)
    new.replace(file)


def disk_down(given: Given) -> None:
    """The file is gone."""
    Path(str(given["file"])).unlink(missing_ok=True)


def _grown(file: Path, size: int) -> None:
    """The disk has at least this size. Raises BadInput for one that is larger: what lies on it would be cut."""
    there = int(
        json.loads(run(("qemu-img", "info", "--output=json", str(file)), timeout=WITHIN).stdout)["virtual-size"]
    )
    if there > size:
        raise BadInput(f"{file} has {there} bytes already", resolution=f"Let disk be {there >> 20}MiB or more.")
    if there < size:
        run(("qemu-img", "resize", "-q", str(file), str(size)), timeout=WITHIN)


# machines


def machine_up(given: Given) -> None:
    """It runs, with its taps on the bridges. One that runs goes on."""
    folder = Path(str(given["folder"]))
    if process(folder, str(given["name"])):
        return
    if not FIRMWARE.exists() or not VARIABLES.exists():
        raise Missing("there is no UEFI firmware for QEMU", resolution="Install it: apt-get install ovmf")
    variables = folder / FIRMWARE_VARIABLES
    if not variables.exists():
        shutil.copyfile(VARIABLES, variables)
    _grown(Path(str(given["state"])), int(given["size"]))
    for card in given["cards"]:
        _tap(str(card["tap"]), str(given["name"]), _bridge(card))
    run(argv(given), timeout=WITHIN, cwd=folder)


def argv(given: Given) -> tuple[str, ...]:
    """QEMU's command. What it has to tell the machine is in files, some of it secret. Pure."""
    folder = Path(str(given["folder"]))
    accelerator = "kvm" if given["accelerator"] == "kvm" else f"tcg,thread=multi,tb-size={TRANSLATED}"
    return (
        "qemu-system-x86_64", "-name", f"guest={given['name']}", "-uuid", str(given["uuid"]),
        "-daemonize", "-pidfile", str(folder / PID),
        "-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none",
        "-machine", "q35", "-accel", accelerator, "-cpu", "max",
        "-smp", str(given["cores"]), "-m", f"{given['memory']}M",
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}",
        "-drive", f"if=pflash,unit=1,format=raw,file={folder / FIRMWARE_VARIABLES}",
        "-drive", f"if=none,id=root,format=qcow2,file={given['disk']}",
        "-device", "virtio-blk-pci,drive=root,serial=root,bootindex=1",
        "-drive", f"if=none,id=state,format=qcow2,discard=unmap,file={given['state']}",
        "-device", "virtio-blk-pci,drive=state,serial=state",
        "-serial", f"file:{folder / CONSOLE}", "-device", "virtio-rng-pci",
        *(word for file in given["seed"] for word in ("-smbios", f"type=11,path={file}")),
        *(word for number, file in enumerate(given.get("drives", ())) for word in _drive(number, str(file))),
        *_cards(given["cards"]),
    )  # fmt: skip


def _drive(number: int, file: str) -> tuple[str, ...]:
    """A disc that is only read."""
    where = f"if=none,id=drive{number},format=raw,readonly=on,file={file}"
    return "-drive", where, "-device", f"ide-cd,drive=drive{number}"


def _cards(cards: Sequence[Given]) -> Iterator[str]:
    for number, card in enumerate(cards):
        yield from ("-netdev", f"tap,id=net{number},ifname={card['tap']},script=no,downscript=no")
        yield from ("-device", f"virtio-net-pci,netdev=net{number},mac={card['mac']},romfile=")


def _bridge(card: Given) -> str:
    if not (found := interface_of(str(card["gateway"]))):
        raise Error(
            f"no bridge has {card['gateway']}, the address of network {card['network']}",
            resolution="Run seter deploy again: it makes networks that are gone.",
        )
    return found


def _tap(name: str, alias: str, bridge: str) -> None:
    there = _links().get(name)
    if there is None:
        _ip("tuntap", "add", "dev", name, "mode", "tap")
    elif there.get("ifalias", "") not in ("", alias):
        raise Conflict(f"the interface {name} is not ours", resolution=f"Remove it: ip link del {name}")
    _ip("link", "set", "dev", name, "alias", alias)
    _ip("link", "set", "dev", name, "master", bridge, "up")


def machine_down(given: Given) -> None:
    """Its process ends as if the power were cut, once it has written what it holds; its taps are gone."""
    folder, name = Path(str(given["folder"])), str(given["name"])
    end(folder, name, END_WITHIN)
    there = _links()
    for card in given["cards"]:
        if there.get(str(card["tap"]), {}).get("ifalias") == name:
            _ip("link", "del", "dev", str(card["tap"]))
    (folder / PID).unlink(missing_ok=True)


def process(folder: Path, name: str) -> int:
    """The id of the machine's process, 0 if none runs. By its command, whatever became of the file with its id."""
    wanted = {f"guest={name}".encode(), str(folder / PID).encode()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if Path(os.fsdecode(words[0])).name.startswith("qemu-") and wanted <= set(words):
                    return int(entry.name)
    return 0


def age(pid: int) -> float:
    """Seconds since the process began, 0 for one that is gone."""
    with suppress(OSError):
        return time.time() - Path(f"/proc/{pid}").stat().st_mtime
    return 0.0


def end(folder: Path, name: str, within: float) -> None:
    """Ask its process to end, and end it when `within` seconds are over."""
    deadline = time.monotonic() + within
    while pid := process(folder, name):
        late = time.monotonic() > deadline
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if late or not within else signal.SIGTERM)
        time.sleep(0.1)
        if late and time.monotonic() > deadline + END_WITHIN:
            raise Error(f"process {pid} of {name} does not end", resolution="See what holds it: ps, dmesg.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
