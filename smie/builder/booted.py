"""Root file systems whose install tasks need a machine that runs: services, kernel modules, an init system.

Packer's qemu builder boots a disk that was just written from the base, in an emulated machine; Ansible installs over
SSH. What comes out is not that disk, which remembers its boot, but the tree on it, as a tar like that of any other root
file system: so the disks that are stored are written alike. Nothing of it has a network: SSH goes through a port of a
namespace that has nothing but a loopback; packages and programs come on a second disk, the tar goes onto a third.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import Missing
from common.files import write_atomically
from common.machine.emulated import CONSOLE, FIRMWARE, NAME, VARIABLES, Machine
from common.run import CommandFailed, run
from smie.brought import SOFTWARE, bring
from smie.builder import disk
from smie.builder.chroot import ENTER, SCRIPT, script
from smie.builder.interface import BELOW, Work
from smie.builder.rootfs import ENVIRONMENT, RootfsBuilder
from smie.builder.vm import INSIDE, UNPACK
from smie.failed import BuildFailed
from smie.isolation import private
from smie.packer import LAYER, PLUGINS_SINCE, Template, local, manifested, plain_environment, play, variables
from smie.recipe import Recipe

QEMU_PLUGIN = {"source": "github.com/hashicorp/qemu", "version": ">= 1.1.0"}
MEMORY = 1024  # MiB
PORT = 2222  # of the loopback of the build alone
ROOM = 16 << 30  # bytes of the disk, which has holes; half of it is the root file system
BROUGHT = "brought"  # the folder, and the file system made of it, that has what the tasks need
SPARE = 64 << 20  # bytes of that file system beside its files
LOOPBACK = 'ip link set lo up && exec "$@"'
ANSIBLE = f"ansible-playbook --inventory {NAME}, --connection ansible.builtin.ssh play.json"
# What a boot writes that no two machines may share, or that only tells of it; `smie.normal` leaves out more.
FORGOTTEN = (
    "./lost+found", "./root/.ssh/*", "./smie", "./var/lib/systemd/credential.secret", "./var/lib/systemd/timers/*",
    "./var/lib/systemd/timesync/*", "./var/log/btmp*", "./var/log/journal/*", "./var/log/lastlog", "./var/log/wtmp*",
)  # fmt: skip
BEGIN = (
    "mkdir -p /smie && mount -o ro /dev/disk/by-id/virtio-brought /smie",
    "mount -t tmpfs -o mode=1777 tmp /smie/tmp",
)
# The root alone, without what is mounted on it. Status 1 is that a file changed meanwhile, as logs do.
END = (
    "mkdir /run/smie-root && mount --bind / /run/smie-root",
    "tar --create --file=/dev/disk/by-id/virtio-tree --directory=/run/smie-root --sort=name --numeric-owner"
    " --format=posix --xattrs '--xattrs-include=*' "
    + " ".join(f"'--exclude={path}'" for path in FORGOTTEN)
    + " . || test $? = 1",
    "sync",
)


class BootedBuilder(RootfsBuilder):
    """One tree, made from a base's with the install tasks of one role or of several, in a machine that runs."""

    def programs(self, recipes: Sequence[Recipe]) -> tuple[str, ...]:
        return (*super().programs(recipes), "qemu-system-x86_64", "qemu-img", "ip", "ssh", "ssh-keygen")

    def enclosed(self, recipe: Recipe, work: Work, *argv: str) -> tuple[str, ...]:
        return private("sh", "-c", LOOPBACK, "sh", *argv)

    def environment(self, work: Work, scratch: Path, roles: Path) -> dict[str, str]:
        # The path of a socket is short (unix(7)); the folder of a build may be deep.
        own = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(scratch)}
        return plain_environment(work.folder, scratch, roles) | own

    def prepare(self, recipe: Recipe, work: Work) -> None:
        if not FIRMWARE.exists() or not VARIABLES.exists():
            raise Missing("there is no UEFI firmware for QEMU", resolution="Install it: apt-get install ovmf")
        for name in ("home", "tmp"):
            (work.folder / name).mkdir(exist_ok=True)
        write_atomically(work.folder / "ansible.cfg", "")
        write_atomically(work.folder / "play.json", json.dumps(plays(recipe, work), indent=2))
        write_atomically(work.folder / "ssh.config", ssh_configuration(work.folder))
        shutil.copyfile(VARIABLES, work.folder / "variables.fd")
        (work.folder / LAYER).touch()
        os.truncate(work.folder / LAYER, ROOM)
        run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(work.folder / "key")))
        size = bring(recipe, work.software, work.folder / BROUGHT)
        write_disks(recipe, work, size)

    def template(self, recipe: Recipe, work: Work) -> Template:
        return qemu_template((work.folder / "key.pub").read_text(), work.packer)

    def witness(self, work: Work) -> str:
        return Machine(work.folder).console()

    def entry(self, recipe: Recipe, work: Work) -> str:
        return ""  # the machine is off


def qemu_template(public: str, packer: tuple[int, int]) -> Template:
    """Boot the disk in the build's folder, let Ansible install in the machine, and have its tree put onto another.
    `public` is the key that the machine lets in."""
    key = base64.b64encode(public.encode()).decode()
    drives = {"root": f"file=output/{disk.DISK},format=qcow2", "brought": f"file={BROUGHT}.ext4,format=raw,readonly=on",
              "tree": f"file={LAYER},format=raw,cache=unsafe"}  # fmt: skip
    source: Template = {
        "accelerator": "tcg", "machine_type": "q35", "memory": MEMORY, "cpus": 2, "headless": True,
        "disk_image": True, "iso_url": disk.DISK, "iso_checksum": "none", "format": "qcow2",
        "output_directory": "output", "vm_name": disk.DISK, "skip_resize_disk": True, "skip_compaction": True,
        "boot_wait": "-1s", "host_port_min": PORT, "host_port_max": PORT,
        "communicator": "ssh", "ssh_username": "root", "ssh_private_key_file": "key", "ssh_timeout": "15m",
        "shutdown_command": "systemctl poweroff", "shutdown_timeout": "5m",
        # A switch that is named here is given only as often as it is named: Packer's own drives and card go.
        "qemuargs": [
            ["-cpu", "max"], ["-vga", "none"], ["-serial", f"file:{CONSOLE}"],
            ["-smbios", f"type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root={key}"],
            ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}"],
            ["-drive", "if=pflash,unit=1,format=raw,file=variables.fd"],
            *(["-drive", f"if=none,id={name},{what}"] for name, what in drives.items()),
            *(["-device", f"virtio-blk-pci,drive={name},serial={name}{_first(name)}"] for name in drives),
            ["-device", "virtio-net-pci,netdev=user.0,romfile="], ["-device", "virtio-rng-pci"],
        ],
    }  # fmt: skip
    build: Template = {
        "sources": ["source.qemu.machine"],
        "provisioner": [{"shell": {"inline": list(BEGIN)}}, local(ANSIBLE), {"shell": {"inline": list(END)}}],
        "post-processors": [manifested(LAYER)],
    }
    whole: Template = {"source": {"qemu": {"machine": source}}, "build": [build]}
    if packer >= PLUGINS_SINCE:
        return {"packer": {"required_plugins": {"qemu": QEMU_PLUGIN}}, **whole}
    return whole


def _first(name: str) -> str:
    return ",bootindex=1" if name == "root" else ""


def plays(recipe: Recipe, work: Work) -> list[dict[str, object]]:
    """One play a role, in order, in the machine."""
    where = {"ansible_ssh_common_args": f"-F {work.folder / 'ssh.config'}"}
    software = {role: f"{SOFTWARE}/{role}" for role in work.software}
    made = [play(role.name, {**where, **variables(role, software.get(role.name, ""))}) for role in recipe.roles]
    return [{**one, "environment": ENVIRONMENT} for some in made for one in some]


def ssh_configuration(folder: Path) -> str:
    """The way to the machine: the first key that it shows counts, for it is ours and was made a moment ago."""
    lines = {
        "Host": NAME, "HostName": "127.0.0.1", "Port": PORT, "User": "root", "IdentityFile": folder / "key",
        "IdentitiesOnly": "yes", "StrictHostKeyChecking": "accept-new", "UserKnownHostsFile": folder / "known_hosts",
        "BatchMode": "yes", "ConnectTimeout": 60, "LogLevel": "ERROR",
        # Others take seconds under emulation, and nobody listens on this network.
        "KexAlgorithms": "curve25519-sha256", "Ciphers": "aes128-gcm@openssh.com",
    }  # fmt: skip
    return "".join(f'{name} "{value}"\n' for name, value in lines.items())


def write_disks(recipe: Recipe, work: Work, brought: int) -> None:
    """Write the disk of the base, and the file system with what the tasks need. Raises BuildFailed, Missing."""
    assert work.tools is not None, "a disk is written with tools"
    layout = disk.Layout.of(ROOM, recipe.fingerprint)
    write_atomically(work.folder / disk.TABLE, layout.table())
    write_atomically(work.folder / disk.SCRIPT, disk.script(layout, int(recipe.index.date.timestamp())))
    size = (brought * 5 // 4 + SPARE) >> 20
    made = f"mkfs.ext4 -q -F -d {INSIDE}/{BROUGHT} {INSIDE}/{BROUGHT}.ext4 {size}M"
    commands = (f'chroot "$tree" /bin/sh -eu {INSIDE}/{disk.SCRIPT}', f'chroot "$tree" {made}')
    write_atomically(work.folder / SCRIPT, script(str(work.tools), {work.folder: INSIDE}, commands, writable=(INSIDE,)))
    command = private("sh", "-eu", "-c", f"{UNPACK}\n{ENTER}")
    env: Mapping[str, str] = plain_environment(work.folder, work.folder / "tmp", work.folder)
    try:
        run(command, cwd=work.folder, env=env, on_line=work.log.take_plain, timeout=work.limit, halt=work.halt)
    except CommandFailed as error:
        raise BuildFailed(recipe.title, work.log, error) from error
    (work.folder / BELOW).unlink()
