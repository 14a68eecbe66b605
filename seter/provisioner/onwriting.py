"""Writes the idle slot of a host's disk: sent to the host and run there as root.

    slot-write ARTEFACT SHA256 G W    a root file system from the input, a tar that zstd has packed

G and W are seconds: until somebody has to be heard after the boot of the slot, and that nobody may be heard afterwards;
with a W of 0 it waits for nobody. What is the machine's own comes over from the slot that runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from seter.provisioner.onnode import ROOT, UNITS, act, text_of, write
from seter.provisioner.onslots import (
    ABOUT,
    DEFAULT,
    GUARD,
    OTHER,
    RUN,
    VARIABLES,
    enable,
    esp_of,
    mounted,
    plant_state,
    running,
)

NEW = RUN / "slot"  # where it is mounted
PIECE = 1 << 20  # bytes
# What a machine has that an artefact cannot: its names, its addresses, its keys, and who may log in.
OWN = (
    "etc/machine-id", "etc/hostname", "etc/hosts", "etc/systemd/network", "etc/ssh/ssh_host_*", "root/.ssh",
    "etc/sysctl.d/90-seter.conf",
)  # fmt: skip
# Of /etc/seter: they are about the slot that they lie in.
LEFT = ("before", "before.next", "installed", "enabled-before", "loaded")
# $1 this slot, $2 seconds until somebody has to be heard, $3 seconds that nobody may be heard afterwards. Times are
# those since the boot: clocks may be wrong. What does not come down in a minute is reset by the kernel.
WATCH = f"""#!/bin/sh
is_default() {{ cat {VARIABLES}/{DEFAULT} 2>/dev/null | tr -d '\\000' | grep -q "$1\\.conf\\$"; }}
now() {{ cut -d. -f1 /proc/uptime; }}
is_default "$1" && exit 0
end=$(($(now) + $2))
while sleep 1; do
    [ ! -e {RUN}/confirmed ] || exit 0
    heard=$(cat {RUN}/heard 2>/dev/null) && [ "$heard" ] && end=$((heard + $3))
    [ "$(now)" -lt "$end" ] || break
done
is_default "$1" && exit 0
echo "nobody has confirmed slot $1: the other one is booted"
(sleep 60; echo b >/proc/sysrq-trigger) &
systemctl reboot --force
sleep 120
"""
GUARD_UNIT = f"""[Unit]
Description=Boots the other slot when nobody confirms this one
DefaultDependencies=no
IgnoreOnIsolate=yes
[Service]
ExecStart=/bin/sh {ROOT}/{GUARD} {{slot}} {{grace}} {{within}}
KillMode=process
[Install]
WantedBy=sysinit.target
"""


def write_slot(artifact: str, digest: str, grace: str, within: str) -> None:
    """From the first to the last byte no entry of the loader names the slot. `within` of 0: it waits for nobody."""
    RUN.mkdir(parents=True, exist_ok=True)
    lock = (RUN / "slot.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("another run is writing to it; that one ends when its connection does")
    parts, slot = running()
    esp = esp_of(parts)
    idle = OTHER[slot]
    part = parts[f"root-{idle}"]
    (esp / f"loader/entries/{idle}.conf").unlink(missing_ok=True)
    act("sync", "-f", str(esp))
    for path in mounted(part):
        act("umount", path)
    act("mkfs.ext4", "-q", "-F", "-m", "0", "-L", f"root-{idle}", part.device)
    NEW.mkdir(parents=True, exist_ok=True)
    act("mount", "-t", "ext4", part.device, str(NEW))
    try:
        unpack(digest)
        # As at a first boot, which this is none of: the machine has its id already (systemd.preset(5)).
        act("systemctl", f"--root={NEW}", "preset-all", "--preset-mode=enable-only", "--quiet")
        carry_over(NEW)
        plant(NEW, idle, artifact, grace, within)
        plant_state(NEW, parts["state"])
        put_kernel(NEW, esp / f"slot-{idle}")
    finally:
        subprocess.run(["umount", str(NEW)], check=False)
    entry = text_of(esp / f"loader/entries/{slot}.conf")
    write(esp / f"loader/entries/{idle}.conf", entry_of(entry, slot, idle, part.identifier))
    act("sync", "-f", str(esp))
    os.sync()


def unpack(digest: str) -> None:
    """The input, whose SHA-256 has to be this, into the slot."""
    unpacking = subprocess.Popen(["zstd", "-dqc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    argv = ["tar", "-C", str(NEW), "--extract", "--numeric-owner", "--preserve-permissions", "--xattrs"]
    more = ["--xattrs-include=*", "--warning=no-unknown-keyword"]
    laying = subprocess.Popen([*argv, *more], stdin=unpacking.stdout)
    assert unpacking.stdin is not None and unpacking.stdout is not None
    unpacking.stdout.close()
    seen = hashlib.sha256()
    try:
        while piece := sys.stdin.buffer.read(PIECE):
            seen.update(piece)
            unpacking.stdin.write(piece)
        unpacking.stdin.close()
    except BrokenPipeError:
        pass
    codes = unpacking.wait(), laying.wait()
    if seen.hexdigest() != digest:
        sys.exit("what arrived is not what was sent, or not all of it")
    if any(codes):
        sys.exit(f"the root file system cannot be unpacked: zstd ended with {codes[0]}, tar with {codes[1]}")


def carry_over(root: Path) -> None:
    """What is the machine's own, and what lies below /etc/seter."""
    found = [str(path.relative_to("/")) for pattern in OWN for path in Path("/").glob(pattern)]
    act("env", "-C", "/", "cp", "-a", "--parents", "-t", str(root), "--", *found)
    act("cp", "-a", "-t", str(root / "etc"), str(ROOT))
    for name in LEFT:
        path = root / ROOT.relative_to("/") / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if user := os.environ.get("SUDO_USER", ""):
        let_in(root, user)


def let_in(root: Path, user: str) -> None:
    """The keys of who logs in go with it. An artefact without that user would lock us out."""
    lines = (line.split(":") for line in text_of(root / "etc/passwd").splitlines())
    there = next((words for words in lines if words[0] == user), None)
    if there is None:
        sys.exit(f"the root file system has no user {user}, as whom we log in")
    home = root / there[5].lstrip("/")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = Path(pwd.getpwnam(user).pw_dir, ".ssh")
    if keys.is_dir():
        shutil.copytree(keys, home / ".ssh", dirs_exist_ok=True)
    for path in (home, *(home / ".ssh").rglob("*"), home / ".ssh"):
        if path.exists():
            os.chown(path, int(there[2]), int(there[3]))


def plant(root: Path, slot: str, artifact: str, grace: str, within: str) -> None:
    """What the slot is, and what boots the other one when nobody confirms it."""
    folder, units = root / ROOT.relative_to("/"), root / UNITS.relative_to("/")
    write(root / ABOUT.relative_to("/"), json.dumps({"artifact": artifact}))
    if int(within):
        write(folder / GUARD, WATCH)
        write(units / f"{GUARD}.service", GUARD_UNIT.format(slot=slot, grace=grace, within=within))
        enable(units, f"{GUARD}.service", "sysinit.target")


def put_kernel(root: Path, folder: Path) -> None:
    """The newest one that it has, and its RAM disk."""
    kernels = sorted((root / "boot").glob("vmlinuz-*"), key=lambda path: _numbers(path.name))
    if not kernels:
        sys.exit("the root file system has no kernel: it is not one for machines")
    version = kernels[-1].name.removeprefix("vmlinuz-")
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for source, name in ((kernels[-1], "vmlinuz"), (root / "boot" / f"initrd.img-{version}", "initrd")):
        shutil.copyfile(source, folder / name)
    act("sync", "-f", str(folder))


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def entry_of(entry: str, slot: str, idle: str, partition: str) -> str:
    """The loader's entry of the idle slot, from that of the running one (Boot Loader Specification, type 1). Pure."""
    moved = entry.replace(f"/slot-{slot}/", f"/slot-{idle}/").replace(f"title Slot {slot}", f"title Slot {idle}")
    return re.sub(r"root=PARTUUID=\S+", f"root=PARTUUID={partition}", moved) + "\n"


def main(argv: Sequence[str]) -> None:
    """See the beginning."""
    _, *words = argv
    write_slot(*words)
