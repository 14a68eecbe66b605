"""The two slots of a host's disk: sent to hosts with `onhost`, and run there as root.

    slot-ready                         what is needed is there; `trial` if the running slot is booted this once only
    slot-boot KEEP ROLES               processes stop in the reverse order; the next boot is of the other slot, once
    slot-heard                         who changes the host still reaches it
    slot-confirm                       the running slot is booted from now on
    slot-back ROLES                    the next boot is of the slot of before: says `reboots`; or it runs: `here`
    slot-forget                        nobody goes back any more; says `yes` if somebody could have

The disk is as `smie` writes it (root-a, root-b, esp) with one partition more, `state`, which both slots have at
/var/lib/seter. What the loader boots is in variables of the firmware, LoaderEntryDefault and LoaderEntryOneShot, which
bootctl(1) sets (systemd-boot(7), Boot Loader Interface); a variable is changed whole or not at all. A slot is written
while no entry of the loader names it (`onwriting`), and booted once; when nobody confirms it in time it boots the
other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from seter.provisioner.onnode import ROOT, STATE, UNITS, act, said_by, text_of, write

BLOCKS = Path("/sys/dev/block")
VARIABLES = Path("/sys/firmware/efi/efivars")
DEFAULT = "LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
ABOUT = Path("/etc/seter-slot.json")  # which artefact the slot was written from; stays when the node is emptied
NOTE = STATE / ".before-slot"  # which slot ran before a roll-out that has not ended
RUN = Path("/run/seter")
ESP = RUN / "esp"  # where it is mounted if nobody else did
OTHER = {"a": "b", "b": "a"}
GUARD = "confirm-slot"
MOUNT_UNIT = f"""[Unit]
Description=What roles keep, whichever slot is booted
[Mount]
What=/dev/disk/by-partuuid/{{partition}}
Where={STATE}
Type=ext4
[Install]
WantedBy=local-fs.target
"""
# No process starts on a folder of the slot where its state should be.
NEEDS_STATE = f"[Unit]\nRequiresMountsFor={STATE}\n"
MOUNT = "var-lib-seter.mount"


class Partition(NamedTuple):
    """One partition: its device, and the device's number."""

    device: str
    number: int

    @property
    def identifier(self) -> str:
        """Of the partition, in the table."""
        words = ("blkid", "--probe", "--match-tag", "PART_ENTRY_UUID", "--output", "value", self.device)
        return said_by(*words).strip() or sys.exit(f"nobody can tell the identifier of {self.device}")


def partitions(number: int | None = None, blocks: Path = BLOCKS) -> dict[str, Partition]:
    """By their names those of the disk that the root is on, or the file system of this device number; none where that
    is no partition."""
    wanted = Path("/").stat().st_dev if number is None else number
    own = blocks / f"{os.major(wanted)}:{os.minor(wanted)}"
    found = {}
    for folder in own.resolve().parent.glob("*/partition") if (own / "partition").exists() else ():
        said = dict(line.split("=", 1) for line in text_of(folder.parent / "uevent").splitlines() if "=" in line)
        node = os.makedev(int(said["MAJOR"]), int(said["MINOR"]))
        found[said.get("PARTNAME", "")] = Partition(f"/dev/{said['DEVNAME']}", node)
    return found


def booted(parts: Mapping[str, Partition]) -> str:
    """The slot that the root is; '' where there are no two."""
    if not {"esp", "root-a", "root-b"} <= parts.keys():
        return ""
    number = Path("/").stat().st_dev
    return next((slot for slot in OTHER if parts[f"root-{slot}"].number == number), "")


def running() -> tuple[dict[str, Partition], str]:
    """The disk's partitions, and the slot that runs. Ends with a complaint where there are no two."""
    parts = partitions()
    if not (slot := booted(parts)):
        sys.exit("its disk has no two slots, or it was not booted from one of them")
    return parts, slot


def default(esp: Path, variables: Path = VARIABLES) -> str:
    """The slot that is booted without a word: as the firmware's variable has it, else the loader's configuration."""
    try:
        # Four bytes of attributes, then text (efivarfs of the kernel's documentation).
        said = (variables / DEFAULT).read_bytes()[4:].decode("utf-16-le", "replace").rstrip("\0")
    except OSError:
        lines = (line.split() for line in text_of(esp / "loader/loader.conf").splitlines())
        said = next((words[1] for words in lines if len(words) > 1 and words[0] == "default"), "")
    found = re.fullmatch(r"([ab])(?:\.conf)?", said)
    return found[1] if found else ""


def mounted(part: Partition) -> list[str]:
    """Where it is mounted."""
    wanted = f"{os.major(part.number)}:{os.minor(part.number)}"
    lines = (line.split() for line in text_of(Path("/proc/self/mountinfo")).splitlines())
    return [words[4] for words in lines if words[2] == wanted]


def esp_of(parts: Mapping[str, Partition]) -> Path:
    """Where the boot partition is mounted, by us if by nobody else."""
    if there := mounted(parts["esp"]):
        return Path(there[0])
    ESP.mkdir(parents=True, exist_ok=True)
    act("mount", "-t", "vfat", "-o", "umask=0077", parts["esp"].device, str(ESP))
    return ESP


def slots() -> dict[str, str]:
    """What `look` says of them; nothing where there are none."""
    parts = partitions()
    if not (slot := booted(parts)):
        return {}
    about = text_of(ABOUT)
    return {
        "booted": slot,
        "default": default(esp_of(parts)),
        "artifact": str(json.loads(about)["artifact"]) if about else "",
        "before": text_of(NOTE),
    }


def ready() -> None:
    """The state of roles is on the partition that both slots have, from here on."""
    parts, slot = running()
    if not VARIABLES.is_dir() or not any(VARIABLES.iterdir()):
        sys.exit("its firmware keeps no variables, so it cannot boot a slot once")
    if "state" not in parts:
        sys.exit("its disk has no partition that is called state")
    if not STATE.is_mount():
        if STATE.is_dir() and any(STATE.iterdir()):
            sys.exit(f"{STATE} is not empty: move what it holds to the partition that is called state")
        plant_state(Path("/"), parts["state"])
        act("systemctl", "daemon-reload")
        act("systemctl", "start", MOUNT)
    if not (chosen := default(esp_of(parts))):
        sys.exit("its boot loader does not say which slot boots without a word")
    sys.stdout.write("" if chosen == slot else "trial")


def plant_state(root: Path, part: Partition) -> None:
    """Units of a root file system that mount the state, and keep processes from starting without it."""
    (root / STATE.relative_to("/")).mkdir(parents=True, exist_ok=True)
    units = root / UNITS.relative_to("/")
    write(units / MOUNT, MOUNT_UNIT.format(partition=part.identifier))
    write(units / "seter-.service.d" / "10-state.conf", NEEDS_STATE)
    enable(units, MOUNT, "local-fs.target")


def enable(units: Path, unit: str, target: str) -> None:
    """Twice is once."""
    folder = units / f"{target}.wants"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / unit).is_symlink():
        (folder / unit).symlink_to(f"../{unit}")


def boot(keep: str, *order: str) -> None:
    """Once. What ran before is noted where both slots see it."""
    parts, slot = running()
    if not (esp_of(parts) / f"loader/entries/{OTHER[slot]}.conf").is_file():
        sys.exit(f"slot {OTHER[slot]} is not written whole")
    act("bootctl", "set-oneshot", f"{OTHER[slot]}.conf")
    if keep:
        write(NOTE, slot)
    else:
        NOTE.unlink(missing_ok=True)
    stop_all(order)
    os.sync()


def stop_all(order: tuple[str, ...]) -> None:
    """Their units stay, for when this slot is booted again."""
    for role in reversed(order):
        if (UNITS / f"seter-{role}.service").exists():
            act("systemctl", "stop", f"seter-{role}.service")


def heard() -> None:
    """Says `yes` if something waits for it."""
    if (ROOT / GUARD).exists() and not (RUN / "confirmed").exists():
        write(RUN / "heard", text_of(Path("/proc/uptime")).partition(".")[0])
        sys.stdout.write("yes")


def choose(slot: str, esp: Path) -> None:
    """It is booted without a word: the variable counts, and the file if the firmware loses its variables."""
    act("bootctl", "set-default", f"{slot}.conf")
    path = esp / "loader/loader.conf"
    lines = [line for line in text_of(path).splitlines() if not line.startswith("default")]
    write(path, "\n".join([*lines, f"default {slot}.conf"]) + "\n")
    act("sync", "-f", str(esp))


def confirm() -> None:
    """Twice is once."""
    parts, slot = running()
    esp = esp_of(parts)
    if default(esp) != slot:
        choose(slot, esp)
    write(RUN / "confirmed", "")


def back(*order: str) -> None:
    """What was stopped in the slot of before starts again, or starts with it."""
    if not (before := text_of(NOTE)):
        return
    parts, slot = running()
    if before == slot:
        for role in order:
            if (UNITS / f"seter-{role}.service").exists():
                subprocess.run(["systemctl", "start", f"seter-{role}.service"], check=False)
        sys.stdout.write("here")
        return
    choose(before, esp_of(parts))
    act("bootctl", "set-oneshot", "")
    stop_all(order)
    os.sync()
    sys.stdout.write("reboots")


def forget() -> None:
    """Twice is once."""
    if NOTE.exists():
        NOTE.unlink()
        sys.stdout.write("yes")


def remove() -> None:
    """The slots stay as they are."""
    if (UNITS / MOUNT).exists():
        subprocess.run(["systemctl", "stop", MOUNT], check=False)
        for path in (UNITS / MOUNT, UNITS / "local-fs.target.wants" / MOUNT, UNITS / f"{GUARD}.service",
                     UNITS / "sysinit.target.wants" / f"{GUARD}.service"):  # fmt: skip
            path.unlink(missing_ok=True)
        shutil.rmtree(UNITS / "seter-.service.d", ignore_errors=True)
        act("systemctl", "daemon-reload")


VERBS: Mapping[str, Callable[..., None]] = {
    "slot-ready": ready, "slot-boot": boot, "slot-heard": heard, "slot-confirm": confirm,
    "slot-back": back, "slot-forget": forget,
}  # fmt: skip
