"""A machine with UEFI firmware, two slots and a disk that lasts, as the only node of a small system; and artefacts of
that system that differ, or that are broken. What an artefact cannot do is in its install tasks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from common.machine.emulated import NAME, Hardware, Machine, booted
from tests.conftest import ROOT, Ended, Tools
from tests.lab.programs import program
from tests.lab.small_on_hosts import INSTALL, definitions

SYSTEM = "slots"
BASES = ("debian-13-host", "disk-tools")
SPARE = 768 << 20  # bytes behind the slots: the partition that both share
STATE_AT = "name=state\n"  # sfdisk(8): behind all others, and as large as there is room
CONFIRM = 40  # seconds
# What an artefact of each kind does beside the rest.
KINDS = {
    "good": "- ansible.builtin.copy: {{content: '{number}', dest: /usr/share/number, mode: '0644'}}\n",
    # The kernel finds no process 1, and panics.
    "dead": "- ansible.builtin.copy: {{content: '#!/bin/false', dest: /sbin/init, mode: '0755', follow: false}}\n",
    # It boots, and nobody can reach it.
    "deaf": "- ansible.builtin.file: {{src: /dev/null, dest: /etc/systemd/system/ssh.service, state: link}}\n",
}


@dataclass
class Slotted:
    """The machine, and the deployment on it."""

    tools: Tools
    folder: Path
    port: int
    disk: Path
    power: ExitStack = field(default_factory=ExitStack)
    machine: Machine | None = None

    @property
    def system(self) -> Path:
        return self.folder / "definitions"

    def on(self) -> Machine:
        """Its power comes, and SSH answers."""
        opened = booted(
            self.disk, self.folder / "machine", Hardware(memory=768), lasting=True, port=self.port,
            within=timedelta(minutes=6),
        )  # fmt: skip
        self.machine = self.power.enter_context(opened)
        return self.machine

    def off(self) -> None:
        """Its power is cut."""
        self.power.close()

    def run(self, command: str) -> str:
        """A command there, past seter."""
        assert self.machine is not None
        # A connection of its own: one that is shared may be of an earlier boot.
        own = ["ssh", "-F", str(self.machine.configuration), "-o", "ControlPath=none", "-o", "ServerAliveInterval=5"]
        ended = subprocess.run([*own, NAME, "--", command], capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, f"{command}: {ended.stderr}"
        return ended.stdout.strip()

    def build(self, kind: str, number: int) -> None:
        """The newest root file system of the group is this one."""
        tasks = self.system / "roles" / "web" / "tasks" / "install.yml"
        tasks.write_text(
            INSTALL + KINDS["good"].format(number=number) + (KINDS[kind].format() if kind != "good" else "")
        )
        self.tools("smie", "build", f"{SYSTEM}.servers", "--kind", "rootfs", timeout=600)

    def argv(self, verb: str, *words: str) -> list[str]:
        return ["seter", verb, SYSTEM, "--target", "metal", *words]

    def seter(self, verb: str, *words: str, code: int | None = 0) -> Ended:
        return self.tools(*self.argv(verb, *words), code=code, timeout=1500)

    @contextmanager
    def deploying(self) -> Iterator[subprocess.Popen[str]]:
        """A deploy that goes on; what is left of it ends with the block."""
        argv = self.argv("deploy", "--yes")
        argv[0] = str(ROOT / ".venv" / "bin" / "seter")
        env = os.environ | self.tools.env
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def slot(self) -> tuple[str, str]:
        """What runs, past seter: which slot, and what is in it."""
        name, number = self.run("lsblk -no PARTLABEL $(findmnt -no SOURCE /); cat /usr/share/number").split()
        return name.removeprefix("root-"), number


SYSTEM_HCL = """\
system "{name}" {{
  summary = "One web server, whose root file system is written"
  group "servers" {{
    image "vm" {{
      base = "debian-13-host"
      disk = "3GiB"
    }}
    role "setup" {{}}
    role "web" {{ peers = "servers" }}
  }}
  rollout {{
    watch   = "0s"
    confirm = "{confirm}s"
  }}
}}
"""
TARGET_HCL = """\
target "metal" {{
  kind          = "baremetal"
  identity_file = "{key}"
  network "front" {{ prefix = "10.0.2.0/24" }}
  nodes "servers" {{
    written = true
    node "m1" {{
      address = "10.0.2.15"
      manage  = "127.0.0.1"
      port    = {port}
    }}
  }}
}}
"""


@contextmanager
def slotted(folder: Path, port: int) -> Iterator[Slotted]:
    """The machine is on, from an image that was written by hand; it, its disk and its artefacts go with the block."""
    systems = definitions(folder)
    shutil.move(systems / "small", systems / SYSTEM)
    shutil.copyfile(ROOT / "systems" / "bases" / "disk-tools.hcl", systems / "bases" / "disk-tools.hcl")
    role = systems / "roles" / "web" / "role.hcl"
    role.write_text(role.read_text().replace('["test", "-r"', '["/usr/bin/test", "-r"'))
    (systems / SYSTEM / "system.hcl").write_text(SYSTEM_HCL.format(name=SYSTEM, confirm=CONFIRM))
    target = TARGET_HCL.format(key=folder / "machine" / "key", port=port)
    shutil.rmtree(systems / SYSTEM / "targets")
    (systems / SYSTEM / "targets").mkdir()
    (systems / SYSTEM / "targets" / "metal.hcl").write_text(target)
    env = {
        "SETER_SYSTEMS": str(systems),
        "SETER_STATE": str(folder / "state"),
        "SETER_IDENTITY": str(folder / "identity"),
        "NAUST_STORE": f"file://{folder / 'store'}",
    }
    made = Slotted(Tools(ROOT, env), folder, port, folder / "disk.raw")
    Tools(ROOT)("smie", "build", *BASES, timeout=900)
    for base in BASES:
        Tools(ROOT)("naust", "copy", f"rootfs/{base}", "--to", env["NAUST_STORE"])
    made.build("good", 1)
    made.tools("smie", "build", f"{SYSTEM}.servers", "--kind", "vm", "--skip-boot", timeout=900)
    written_by_hand(made)
    try:
        with made.power:
            made.on()
            yield made
    finally:
        made.disk.unlink(missing_ok=True)
        shutil.rmtree(folder / "store", ignore_errors=True)


def written_by_hand(made: Slotted) -> None:
    """As seter's README says it for the first slot of a machine."""
    image = made.folder / "disk.qcow2"
    made.tools("naust", "pull", f"vm/{SYSTEM}.servers", str(image))
    for argv in (
        ("qemu-img", "convert", "-O", "raw", str(image), str(made.disk)),
        ("truncate", f"--size=+{SPARE}", str(made.disk)),
        ("sfdisk", "--quiet", "--relocate", "gpt-bak-std", str(made.disk)),
        ("sfdisk", "--quiet", "--append", str(made.disk)),
    ):
        subprocess.run([program(argv[0]), *argv[1:]], input=STATE_AT, text=True, check=True, capture_output=True)
    said = subprocess.run([program("sfdisk"), "--json", str(made.disk)], capture_output=True, text=True, check=True)
    part = next(one for one in json.loads(said.stdout)["partitiontable"]["partitions"] if one.get("name") == "state")
    offset, size = part["start"] * 512, part["size"] // 2
    argv = ["mkfs.ext4", "-q", "-F", "-L", "state", "-E", f"offset={offset}", str(made.disk), f"{size}k"]
    subprocess.run([program(argv[0]), *argv[1:]], check=True, capture_output=True)
    image.unlink()
