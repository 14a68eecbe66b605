"""Root file systems and disks on the real things: Packer, Ansible in a chroot, tools of Debian 13, UEFI firmware, an
emulated machine. One small role is made as every kind of artefact, once; the tests look at what came out.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from common.machine.emulated import Hardware, Nic, booted
from naust import manifest as oci
from naust.listing import resolve
from naust.store import open_store
from tests.conftest import ROOT, Tools
from tests.lab.images import listed
from tests.lab.programs import program

ROLE = "smie-test-machine"
BASES = ("debian-13", "debian-13-host", "disk-tools")
HCL = """\
role "smie-test-machine" {
  type     = "component"
  summary  = "A role of the test"
  packages = ["iputils-ping"]
  image "container" {
    base = "debian-13"
  }
  image "vm" {
    base = "debian-13-host"
    disk = "3GiB"
  }
}
"""
# A capability, an owner, a hard link, a mode: what a way through tars and file systems loses first.
INSTALL = """\
- name: Install packages and make the user
  ansible.builtin.include_role:
    name: process
    tasks_from: install

- name: Write a file of somebody's
  ansible.builtin.copy: {content: "ours\\n", dest: /srv/ours, owner: "951", group: "952", mode: "0640"}

- name: Give it a second name
  ansible.builtin.file: {src: /srv/ours, dest: /srv/second, state: hard}

- name: Give a program a capability
  ansible.builtin.command: {cmd: setcap cap_net_raw+ep /usr/bin/ping}
"""
DEAD = '- ansible.builtin.copy: {content: "#!/bin/false\\n", dest: /sbin/init, mode: "0755", follow: false}\n'
STATIC = "[Match]\nMACAddress=52:54:00:12:34:57\n\n[Network]\nAddress=10.1.2.15/24\nDHCP=no\n"


@dataclass(frozen=True)
class Made:
    """What was built, in a folder of the test."""

    folder: Path
    tools: Tools
    results: dict[str, dict[str, str]]  # by artefact

    def pulled(self, artifact: str, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            self.tools("naust", "pull", artifact, str(path))
        return path

    @property
    def disk(self) -> Path:
        return self.pulled(f"vm/{ROLE}", "disk.qcow2")

    @property
    def log(self) -> str:
        return (self.folder / "cache" / "logs" / "vm" / f"{ROLE}.log").read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("machines")
    systems, role = folder / "systems", folder / "systems" / "roles" / ROLE
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    (systems / "bases").mkdir()
    for base in BASES:
        shutil.copy(ROOT / "systems" / "bases" / f"{base}.hcl", systems / "bases")
    shutil.copytree(ROOT / "systems" / "bases" / "debian-13-host", systems / "bases" / "debian-13-host", symlinks=True)
    (role / "tasks").mkdir(parents=True)
    (role / "role.hcl").write_text(HCL)
    (role / "tasks" / "install.yml").write_text(INSTALL)
    env = {
        "SETER_SYSTEMS": str(systems),
        "SMIE_CACHE": str(folder / "cache"),
        "NAUST_STORE": f"file://{folder / 'store'}",
    }
    tools, ours = Tools(folder, env), Tools(ROOT)
    ours("smie", "build", *BASES, timeout=900)
    for base in ("container/debian-13", "rootfs/debian-13-host", "rootfs/disk-tools"):
        ours("naust", "copy", base, "--to", env["NAUST_STORE"])
    try:
        results = tools("smie", "build", ROLE, "--kind", "container,rootfs,vm", "--json").json()
        yield Made(folder, tools, {each["artifact"]: each for each in results})
    finally:
        client = docker.from_env()
        for image in listed(client):
            if any(tag.startswith(f"naust/{ROLE}") for tag in image.tags):
                client.images.remove(str(image.id), force=True)


def test_every_kind_is_stored_with_a_result_of_its_own(made: Made) -> None:
    for kind in ("container", "rootfs", "vm"):
        result = made.results[f"{kind}/{ROLE}"]
        assert result["act"] == "built" and result["error"] is None
        assert str(resolve(open_store(made.tools.env["NAUST_STORE"]), f"{kind}/{ROLE}").digest) == result["digest"]
    again = made.tools("smie", "build", ROLE, "--kind", "container,rootfs,vm", "--json").json()
    assert {each["act"] for each in again} == {"present"}


def test_nothing_of_a_build_is_left(made: Made) -> None:
    assert str(made.folder) not in Path("/proc/mounts").read_text()
    assert not list((made.folder / "cache" / "work").iterdir())
    found = subprocess.run([program("pgrep"), "-f", str(made.folder)], capture_output=True, text=True)
    assert not found.stdout


def test_a_role_installs_the_same_files_in_an_image_and_on_a_machine(made: Made) -> None:
    image, machine = of_image(made), of_rootfs(made)
    ours = {name for name in image if name.startswith("srv/") and name != "srv/"}
    assert {"srv/ours", "srv/second"} <= ours
    for name in (*ours, "usr/bin/ping"):
        assert image[name] == machine[name], name
    assert "capability" in image["usr/bin/ping"][-1]


def entries(archive: tarfile.TarFile) -> dict[str, tuple[str, ...]]:
    """Mode, owner, content or target, and extended attributes of each, by path."""
    found = {}
    for entry in archive:
        data = archive.extractfile(entry) if entry.isreg() or entry.islnk() else None
        content = hashlib.sha256(data.read()).hexdigest() if data else entry.linkname
        attributes = " ".join(f"{k}={v}" for k, v in sorted(entry.pax_headers.items()) if k.startswith("SCHILY.xattr"))
        found[entry.name] = (f"{entry.mode:o}", f"{entry.uid}:{entry.gid}", content, attributes)
    return found


def of_image(made: Made) -> dict[str, tuple[str, ...]]:
    store = open_store(made.tools.env["NAUST_STORE"])
    there = resolve(store, f"container/{ROLE}")
    layers = oci.parse(store.manifest(f"container/{ROLE}", there.reference.tag), ROLE).layers
    with store.read(f"container/{ROLE}", layers[-1].digest) as source:
        (made.folder / "layer.tar").write_bytes(source.read())
    with tarfile.open(made.folder / "layer.tar") as archive:
        return entries(archive)


def of_rootfs(made: Made) -> dict[str, tuple[str, ...]]:
    tar = made.folder / "root.tar"
    if not tar.exists():
        packed = made.pulled(f"rootfs/{ROLE}", "root.tar.zst")
        subprocess.run([program("zstd"), "-dq", str(packed), "-o", str(tar)], check=True)
    with tarfile.open(tar) as archive:
        return entries(archive)


def test_a_root_file_system_has_nothing_that_two_machines_may_not_share(made: Made) -> None:
    machine = of_rootfs(made)
    assert machine["etc/machine-id"][2] == hashlib.sha256(b"uninitialized\n").hexdigest()
    assert machine["etc/resolv.conf"][2] == "../run/systemd/resolve/stub-resolv.conf"
    forbidden = r"etc/(ssh/ssh_host_.*|hostname)|smie(/.*)?|usr/sbin/policy-rc\.d|root/\.(?!bashrc|profile|ssh$).*"
    forbidden += "|.*authorized_keys"
    assert not [name for name in machine if re.fullmatch(forbidden, name)]


def test_the_same_recipe_makes_the_same_root_file_system_and_disk(made: Made) -> None:
    """In another workspace, into another store, with another name of the user."""
    other = made.folder / "other"
    env = {
        "NAUST_STORE": f"file://{other / 'store'}",
        "SMIE_CACHE": str(other / "a longer path" / "cache"),
        "USER": "bob",
    }
    for base in ("rootfs/debian-13-host", "rootfs/disk-tools"):
        made.tools("naust", "copy", base, "--to", env["NAUST_STORE"])
    tools = Tools(made.folder, made.tools.env | env)
    again = tools("smie", "build", ROLE, "--kind", "vm", "--json", "--skip-boot").json()
    for kind in ("rootfs", "vm"):
        (digest,) = {each["digest"] for each in again if each["artifact"] == f"{kind}/{ROLE}"}
        assert digest == made.results[f"{kind}/{ROLE}"]["digest"], kind


@pytest.mark.long
def test_a_machine_with_other_hardware_runs_from_the_disk_that_was_tried(made: Made) -> None:
    """Another kind of disk, another model of interface in another slot, one that nobody answers, and an address that
    comes from who starts it instead of DHCP. The build itself tried virtio with DHCP."""
    assert "It answered SSH after" in made.log
    hardware = Hardware(disk="nvme", nics=(Nic(wired=False), Nic("e1000e", slot=9)))
    with booted(
        made.disk, made.folder / "machine", hardware, credentials={"network.network.10-lab": STATIC}
    ) as machine:
        assert machine.run("systemctl", "is-system-running", "--wait").stdout == "running\n"
        own = next(line for line in machine.run("ip -oneline -4 address").stdout.splitlines() if "10.1.2.15/24" in line)
        assert "dynamic" not in own  # which one that DHCP gave would be
        own = machine.run("cat /etc/machine-id; ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout
        first = re.search(r"Its own: (\w{32}) (\S+)", made.log)
        assert first and first[1] not in own and first[2] not in own
        files = machine.run(
            "stat -c '%a %u:%g %h' /srv/ours; getcap /usr/bin/ping; findmnt -no SOURCE /; ls /dev/disk/by-partlabel"
        ).stdout
        assert "640 951:952 2" in files and "cap_net_raw=ep" in files and "/dev/nvme0n1p2" in files
        assert "esp" in files and "root-b" in files
        assert machine.run("systemctl list-unit-files --state=enabled --no-legend ssh.service").stdout


@pytest.mark.long
def test_a_disk_that_does_not_boot_is_not_stored(made: Made) -> None:
    """Its init ends at once; the error has the console's end."""
    role = made.folder / "systems" / "roles" / "smie-test-dead"
    (role / "tasks").mkdir(parents=True)
    (role / "role.hcl").write_text(HCL.replace(ROLE, "smie-test-dead").replace('"iputils-ping"', ""))
    (role / "tasks" / "install.yml").write_text(DEAD)
    ended = made.tools("smie", "build", "smie-test-dead", "--kind", "vm", code=4)
    assert "vm/smie-test-dead: the emulated machine has died" in ended.err
    assert "Rebooting in" in ended.err and "smie build smie-test-dead --kind vm" in ended.err
    names = set(open_store(made.tools.env["NAUST_STORE"]).names())
    assert "rootfs/smie-test-dead" in names and "vm/smie-test-dead" not in names
