"""A virtual machine that boots the disk of its group, emulated, from nothing to its roles running; what it keeps when
its power is cut and when it is made anew; and that nothing of it is left."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from common.run import run
from common.system import Deployment, Machine
from naust.listing import resolve
from naust.pull import get_file
from naust.store import open_store
from seter.provisioner import emulate, seeds
from seter.provisioner.machines import make_pair
from seter.provisioner.modules import Wish
from seter.provisioner.openstack import Openstack, user_data
from seter.provisioner.qemu import Qemu
from seter.state import Subnets
from tests.conftest import ROOT, Ended, Tools
from tests.lab import small_on_machines
from tests.lab.programs import program, with_tools

pytestmark = pytest.mark.long
SLOW = 900.0  # seconds that a deploy may take where processors are emulated


@dataclass(frozen=True)
class Place:
    """A deployment of one group, of one machine."""

    tools: Tools
    folder: Path
    instance: str

    @property
    def systems(self) -> Path:
        return self.folder / "definitions"

    @property
    def target(self) -> Path:
        return self.systems / "small" / "targets" / "virtual.hcl"

    def seter(self, verb: str, *words: str, code: int | None = 0) -> Ended:
        where = ("small", "--target", "virtual", "--instance", self.instance)
        return self.tools("seter", verb, *where, *words, code=code, timeout=SLOW)

    def steps(self) -> dict[tuple[str, str, str], list[str]]:
        found = self.seter("plan", "--json").json()["steps"]
        return {(step["act"], step["node"], step["role"]): step["machine"] for step in found}

    def states(self) -> dict[str, str]:
        found = {each["role"]: each["state"] for each in self.seter("status", "--json").json()["roles"]}
        assert found
        return found

    def processes(self) -> list[int]:
        name = f"guest=seter:small/virtual/{self.instance}:"
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and name.encode() in _command(entry):
                found.append(int(entry.name))
        return found

    def ssh(self, command: str) -> str:
        """Past seter's sandbox for roles."""
        config = self.folder / "state" / "small" / "virtual" / self.instance / "ssh" / "config"
        return run(("ssh", "-F", str(config), "w1", "--", command)).stdout.strip()

    def run(self, *argv: str) -> str:
        return self.seter("exec", "w1", "web", "--root", "--", *argv).out.strip()


def _command(process: Path) -> bytes:
    try:
        words = (process / "cmdline").read_bytes()
    except OSError:
        return b""
    return words if words.startswith(b"qemu") else b""


def interfaces() -> set[str]:
    """Taps and bridges whose alias says that they are ours."""
    links = json.loads(run(("ip", "-json", "-details", "link", "show")).stdout)
    return {each["ifname"] for each in links if str(each.get("ifalias", "")).startswith("seter:small/virtual/t")}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("machines")
    systems = small_on_machines.definitions(folder)
    system = systems / "small" / "system.hcl"
    text = system.read_text().replace("at_least = 2", "at_least = 1")
    system.write_text(text[: text.index('  group "extra"')] + text[text.index("  rollout {") :])
    made = Place(
        Tools(
            ROOT,
            {
                "SETER_SYSTEMS": str(systems),
                "SETER_STATE": str(folder / "state"),
                "SETER_IDENTITY": str(folder / "identity"),
                "PATH": with_tools(),
            },
        ),
        folder,
        f"t{os.getpid()}",
    )
    made.target.write_text(small_on_machines.target({"servers": ["w1"]}))
    made.tools("smie", "build", "small.servers", "--kind", "vm", "--skip-boot", "--systems", str(systems))
    try:
        yield made
    finally:
        made.seter("destroy", "--yes", "--forget", code=None)


def test_it_boots_to_its_role_running(place: Place) -> None:
    began = time.monotonic()
    place.seter("deploy", "--yes")
    print(f"deployed in {time.monotonic() - began:.0f} s")
    assert place.states() == {"setup": "done", "web": "running"}
    assert "no change" in place.seter("deploy", "--yes").out
    assert place.run("hostname") == "w1"
    mounted = place.run("findmnt", "--noheadings", "--output", "SOURCE,FSTYPE", "/var/lib/seter")
    assert mounted.split() == ["/dev/vdb", "ext4"]
    assert all("good" in line for line in place.seter("verify").out.splitlines())


def test_no_key_of_a_machine_lies_in_clear_in_the_deployment_s_folder(place: Place) -> None:
    for path in (place.folder / "state").rglob("*"):
        if path.is_file() and path.suffix != ".qcow2":
            data = path.read_bytes()
            assert b"PRIVATE KEY" not in data and b'"lineage"' not in data, path


def test_one_whose_power_was_cut_is_started_again_with_what_it_held(place: Place) -> None:
    (process,) = place.processes()
    place.ssh("echo kept >/var/lib/seter/mark && sync")
    key = host_key(place)
    os.kill(process, 9)
    deadline = time.monotonic() + 10
    while place.processes():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert place.steps()["replace node", "w1", ""] == ["replace terraform_data.machine, since the machine is off"]
    place.seter("deploy", "--yes")
    assert place.states() == {"setup": "done", "web": "running"} and place.processes() != [process]
    assert host_key(place) == key and place.ssh("cat /var/lib/seter/mark") == "kept"


def test_more_memory_is_a_machine_made_anew_that_keeps_its_disks(place: Place) -> None:
    place.target.write_text(small_on_machines.target({"servers": ["w1"]}, memory="640MiB"))
    (changes,) = [machine for (act, _, _), machine in place.steps().items() if act == "replace node"]
    assert changes == ["replace terraform_data.machine, since memory differ"]
    place.seter("deploy", "--yes")
    assert b"\x00640M\x00" in _command(Path(f"/proc/{place.processes()[0]}"))
    assert place.steps() == {} and place.ssh("cat /var/lib/seter/mark") == "kept"


def test_it_is_rebooted_and_stays_the_same_process_here(place: Place) -> None:
    before = place.processes()
    place.seter("reboot", "w1", "--yes")
    assert place.processes() == before and place.states() == {"setup": "done", "web": "running"}


def test_what_is_destroyed_is_gone_also_without_definitions(place: Place) -> None:
    place.target.unlink()
    assert interfaces()
    assert "2 removed" in place.seter("destroy", "--yes", "--forget").out
    assert place.processes() == [] and interfaces() == set()
    folder = place.folder / "state" / "small" / "virtual" / place.instance
    assert not folder.exists()


def host_key(place: Place) -> str:
    return place.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub")


def test_a_machine_is_told_the_same_on_a_config_drive(place: Place, tmp_path: Path) -> None:
    """As a cloud tells it, with no string of ours in SMBIOS: name, addresses, keys, the disk that keeps its state."""
    deployment, nets = Deployment("small", "virtual", f"t{os.getpid()}d"), Subnets("10.216.98.0/24", "fd00:216:98::/64")
    qemu, login, host = Qemu(deployment, tmp_path), make_pair(), make_pair()
    cards = [seeds.card(deployment, "w1", ("front", "10.216.98.1", "fd00:216:98::1"), nets)]
    told = seeds.credentials("w1", login.public, host, cards, Openstack.state_device)
    store = open_store(str(ROOT / ".naust"))
    disk = get_file(store, resolve(store, "vm/small.servers"), tmp_path / "base.qcow2").place
    machine = Machine("qemu", disk=64 << 20)
    given = {**qemu.node(Wish("w1", "servers", machine, "", Path(disk), cards, told)), "seed": []}
    network = qemu.network("front", nets, machine)
    qemu.prepare(Wish("w1", "servers", machine, "", Path(disk), cards, {}))
    try:
        emulate.network_up(network)
        for file, more in (("disk", {"base": disk}), ("state", {"size": 64 << 20})):
            emulate.disk_up({"file": given[file], **more})
        emulate.machine_up({**given, "drives": [str(config_drive(tmp_path, user_data(told)))]})
        (tmp_path / "login").write_text(login.private)
        (tmp_path / "login").chmod(0o600)
        (tmp_path / "known").write_text(f"w1 {host.public}\n")
        options = ("StrictHostKeyChecking=yes", f"UserKnownHostsFile={tmp_path / 'known'}", "HostKeyAlias=w1")
        argv = ("ssh", "-i", str(tmp_path / "login"), *(word for each in options for word in ("-o", each)))
        asked = (*argv, "root@10.216.98.1", "hostname; findmnt -no SOURCE,FSTYPE /var/lib/seter")
        deadline = time.monotonic() + 480
        while (said := run(asked, timeout=timedelta(seconds=60), check=False)).code:
            assert time.monotonic() < deadline, qemu.console(given)
            time.sleep(2)
        assert said.stdout.split() == ["w1", "/dev/vdb", "ext4"]
    finally:
        emulate.machine_down(given)
        emulate.network_down(network)


def config_drive(folder: Path, data: str) -> Path:
    """As Nova makes it (nova, "Config drives"): ISO 9660, labelled config-2."""
    tree = folder / "drive" / "openstack" / "latest"
    tree.mkdir(parents=True)
    (tree / "user_data").write_text(data)
    made = folder / "drive.iso"
    run((program("genisoimage"), "-quiet", "-J", "-r", "-V", "config-2", "-o", str(made), str(folder / "drive")))
    return made
