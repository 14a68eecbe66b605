"""Disks for physical nodes, written from a root file system by the tools of Debian 13, and what boots from them: an
emulated machine with UEFI firmware and no kernel of this machine. traefik is made for machines once, in a store of the
test's own and without having been booted, which the tests do; they look at its disk.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from common.catalog import Catalog
from common.files import file_digest
from common.machine.emulated import Hardware, Nic, booted
from common.model import Kind
from naust.store import open_store
from smie.builder.disk import MIB, Layout
from smie.builder.interface import BELOW, Work
from smie.builder.vm import write_raw
from smie.packer import Log
from smie.recipe import Recipe
from smie.stored import copied, found, tools_tree
from smie.wanted import recipes_of
from smie.workspace import Workspace
from tests.conftest import ROOT, Tools
from tests.lab.programs import program

SIZE = 3 << 30
LOGIN = "login:"  # agetty(8) on the serial console: what a person sees where no network reaches


class Writer:
    """Writes disks of traefik's root file system, each in a folder of its own."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder, self.store = folder, open_store(store)
        self.workspace = Workspace(ROOT / ".smie")
        recipes = recipes_of(("traefik",), Catalog.open(None), self.store, self.workspace, kinds=(Kind.VM,))
        self.recipe: Recipe = next(recipe for recipe in recipes if recipe.kind == Kind.VM)
        self.layout = Layout.of(SIZE, self.recipe.fingerprint)

    def written(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        rootfs, tools = self.recipe.needs
        copied(self.store, found(self.store, rootfs), folder / BELOW)
        tree = tools_tree(self.store, self.workspace, tools, folder)
        work = Work(folder, "", (0, 0), Log(folder / "log", print), threading.Event(), tools=tree)
        return write_raw(self.layout, int(rootfs.index.date.timestamp()), work)


@pytest.fixture(scope="module")
def writer(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Writer:
    folder = tmp_path_factory.mktemp("disks")
    store = f"file://{folder / 'store'}"
    tools("smie", "build", "debian-13-host", "disk-tools", timeout=900)
    for base in ("rootfs/debian-13-host", "rootfs/disk-tools"):
        tools("naust", "copy", base, "--to", store)
    tools("smie", "build", "traefik", "--kind", "vm", "--skip-boot", "--store", store, timeout=1200)
    return Writer(folder, store)


@pytest.fixture(scope="module")
def disk(writer: Writer) -> Path:
    return writer.written("first")


def seen(*argv: str) -> str:
    ended = subprocess.run([program(argv[0]), *argv[1:]], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, f"{argv}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def test_the_same_root_file_system_makes_the_same_disk_and_takes_the_room_of_its_files_only(
    writer: Writer, disk: Path
) -> None:
    again = writer.written("second")
    assert file_digest(again) == file_digest(disk)
    assert disk.stat().st_size == writer.layout.size * MIB
    assert disk.stat().st_blocks * 512 < disk.stat().st_size / 4
    again.unlink()


def test_table_boot_partition_and_root_have_no_fault(writer: Writer, disk: Path, tmp_path: Path) -> None:
    assert "No errors detected" in seen("sfdisk", "--verify", str(disk))
    start, _ = writer.layout.starts
    root = tmp_path / "root.ext4"
    seen("dd", f"if={disk}", f"of={root}", "bs=1M", f"skip={start}", f"count={writer.layout.slot}", "conv=sparse")
    assert "in use" not in seen("e2fsck", "-f", "-n", str(root))
    boot = tmp_path / "boot.vfat"
    seen("dd", f"if={disk}", f"of={boot}", "bs=1M", "skip=1", "count=128", "conv=sparse")
    seen("fsck.vfat", "-n", str(boot))


@pytest.mark.long
def test_a_physical_nodes_disk_boots_by_uefi_and_has_what_others_do_not_share(disk: Path, tmp_path: Path) -> None:
    """SATA, an Intel card in another slot, a second card; the name comes from who starts it."""
    hardware = Hardware(disk="ahci", nics=(Nic("e1000e", slot=7), Nic(wired=False)))
    with booted(disk, tmp_path / "machine", hardware, credentials={"system.hostname": "gw7"}) as machine:
        assert machine.run("systemctl is-system-running --wait || systemctl --failed").stdout == "running\n"
        assert machine.run("hostname; findmnt -no SOURCE /").stdout.split() == ["gw7", "/dev/sda2"]
        assert "10.0.2.15/24" in machine.run("ip -brief -4 address").stdout
        assert machine.run("cat /etc/machine-id; ls /etc/ssh").stdout.split()[0] != "uninitialized"
        assert machine.run("ls /efi").stdout.split() == ["EFI", "loader", "slot-a", "slot-b"]
        assert machine.run("sshd -T | grep -iE '^(passwordauthentication|kbdinteractiveauthentication)'").stdout == (
            "passwordauthentication no\nkbdinteractiveauthentication no\n"
        )


BOOTS = """\
import sys
from pathlib import Path
from common.machine.emulated import booted
with booted(Path(sys.argv[1]), Path(sys.argv[2])):
    pass
"""


def running(folder: Path) -> list[str]:
    ended = subprocess.run([program("pgrep"), "-f", f"qemu-system.*{folder}"], capture_output=True, text=True)
    return ended.stdout.split()


def waited_for(folder: Path, *, there: bool) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if bool(running(folder)) == there:
            return True
        time.sleep(0.1)
    return False


def test_a_machine_is_gone_when_who_started_it_is_killed(tmp_path: Path) -> None:
    empty = tmp_path / "empty.img"
    empty.touch()
    os.truncate(empty, MIB)
    starter = subprocess.Popen([sys.executable, "-c", BOOTS, str(empty), str(tmp_path / "machine")], cwd=ROOT)
    try:
        assert waited_for(tmp_path, there=True)
        starter.send_signal(signal.SIGKILL)
        assert waited_for(tmp_path, there=False)
    finally:
        starter.kill()
        starter.wait()


def others() -> Iterator[tuple[str, Hardware]]:
    for kind in ("virtio", "scsi", "nvme", "ahci"):
        yield f"disk {kind}", Hardware(disk=kind)
    for model in ("e1000e", "e1000", "rtl8139", "vmxnet3"):  # what QEMU 7.2, Debian 12's, can be
        yield f"card {model}", Hardware(nics=(Nic(model),))
    yield "other slot", Hardware(nics=(Nic(slot=20),))
    yield "two cards, the first wired", Hardware(nics=(Nic(), Nic("e1000e", wired=False)))
    yield "two cards, the second wired", Hardware(nics=(Nic("e1000e", wired=False), Nic()))
    yield "two cards, both wired", Hardware(nics=(Nic(), Nic("e1000e")))
    yield "one core", Hardware(cores=1)


@pytest.mark.long
@pytest.mark.parametrize("hardware", [pytest.param(one, id=name) for name, one in others()])
def test_a_disk_runs_on_any_of_this_hardware(disk: Path, tmp_path: Path, hardware: Hardware) -> None:
    with booted(disk, tmp_path / "machine", hardware) as machine:
        assert machine.run("systemctl is-system-running --wait || systemctl --failed").stdout == "running\n"


@pytest.mark.long
@pytest.mark.parametrize("nics", [(), (Nic(wired=False),)], ids=["no card", "nobody answers"])
def test_a_machine_that_no_network_reaches_comes_up_as_fast(disk: Path, tmp_path: Path, nics: tuple[Nic, ...]) -> None:
    hardware, within = Hardware(nics=nics), timedelta(minutes=4)
    with booted(disk, tmp_path / "machine", hardware, until=LOGIN, within=within) as machine:
        assert machine.has_written(LOGIN)


@pytest.mark.long
def test_what_the_store_has_for_machines_is_tested_again(writer: Writer, tools: Tools) -> None:
    """The disk as it is, the root file system on a disk that is written for it."""
    words = ("--kind", "rootfs,vm", "--store", writer.store.url, "--json")
    said = tools("smie", "test", "traefik", *words, timeout=1200).json()
    assert [one["artifact"] for one in said] == ["rootfs/traefik", "vm/traefik"]
    for one in said:
        assert one["ok"] and {check["about"] for check in one["checks"]} >= {"every artefact", "traefik"}
