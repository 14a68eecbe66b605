"""A role whose install tasks need a machine that runs, on the real things: Packer's qemu builder boots the disk of the
base, Ansible installs over SSH, and the disk that is made of the outcome boots."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from common.machine.emulated import booted
from tests.conftest import ROOT, Tools
from tests.lab import traces

ROLE = "smie-test-needy"
HCL = """\
role "smie-test-needy" {
  type     = "component"
  summary  = "Its tasks need a machine that runs"
  packages = ["ed"]
  image "vm" {
    base  = "debian-13-host"
    build = "booted"
    disk  = "3GiB"
  }
}
"""
INSTALL = """\
- name: Install packages and make the user
  ansible.builtin.include_role:
    name: process
    tasks_from: install

- name: Load a module of the kernel
  ansible.builtin.command: {cmd: modprobe dummy}
  changed_when: true

- name: Keep what a running system says
  ansible.builtin.shell: {cmd: "(systemctl is-active dbus.socket; ls -d /sys/module/dummy) >/usr/local/said"}
  changed_when: true

- name: Write a unit
  ansible.builtin.copy:
    dest: /etc/systemd/system/needy.service
    mode: "0644"
    content: |
      [Service]
      Type=oneshot
      RemainAfterExit=yes
      ExecStart=/bin/sh -c 'echo started >/usr/local/started'

- name: Start it
  ansible.builtin.systemd_service: {name: needy.service, state: started, daemon_reload: true}
"""


@pytest.fixture(scope="module")
def needy(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Tools:
    """The role beside our bases, and a store that has these."""
    folder = tmp_path_factory.mktemp("needy")
    systems, store = folder / "systems", f"file://{folder / 'store'}"
    shutil.copytree(ROOT / "systems" / "bases", systems / "bases", symlinks=True)
    shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
    (systems / "roles" / ROLE / "tasks").mkdir(parents=True)
    (systems / "roles" / ROLE / "role.hcl").write_text(HCL)
    (systems / "roles" / ROLE / "tasks" / "install.yml").write_text(INSTALL)
    tools("smie", "build", "debian-13-host", "disk-tools", timeout=900)
    for base in ("debian-13-host", "disk-tools"):
        tools("naust", "copy", f"rootfs/{base}", "--to", store)
    return Tools(folder, {"SETER_SYSTEMS": str(systems), "NAUST_STORE": store, "SMIE_CACHE": str(ROOT / ".smie")})


@pytest.mark.long
@pytest.mark.timeout(1800)  # three boots without KVM, on a machine that does other things too
def test_tasks_that_need_a_running_machine_get_one_and_two_builds_are_the_same(needy: Tools, tmp_path: Path) -> None:
    made = {each["artifact"]: each for each in needy("smie", "build", ROLE, "--json", timeout=850).json()}
    assert made[f"vm/{ROLE}"]["act"] == "built"
    log = needy("smie", "show", ROLE, "--kind", "rootfs", "--log").out
    assert re.search(r"Load a module of the kernel.*\n+changed: \[machine\]", log) and "PRIVATE KEY" not in log
    needy("naust", "pull", f"vm/{ROLE}", str(tmp_path / "disk.qcow2"))
    with booted(tmp_path / "disk.qcow2", tmp_path / "machine") as machine:
        said = machine.run("cat /usr/local/said /usr/local/started").stdout.split()
        assert said == ["active", "/sys/module/dummy", "started"]
        # What only the build needed is gone, and nothing that was started stays so by itself.
        left = machine.run("test -e /smie || echo none; systemctl is-active needy || true")
        assert left.stdout.split()[:2] == ["none", "inactive"]
    assert not traces.processes(ROLE) and not traces.mounts(ROLE)
    again = needy(
        "smie", "build", ROLE, "--kind", "rootfs", "--json", timeout=850,
        NAUST_STORE=bases_alone(needy, tmp_path / "other"),
    ).json()  # fmt: skip
    (digest,) = {each["digest"] for each in again if each["artifact"] == f"rootfs/{ROLE}"}
    assert digest == made[f"rootfs/{ROLE}"]["digest"]


def bases_alone(needy: Tools, folder: Path) -> str:
    """A store that has nothing but what the role stands on."""
    for base in ("debian-13-host", "disk-tools"):
        needy("naust", "copy", f"rootfs/{base}", "--to", f"file://{folder}")
    return f"file://{folder}"
