"""A hundred hosts, each with an SSH server and addresses of its own: looking at all of them is soon done."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Tools
from tests.lab.hosts import hosts
from tests.lab.small_on_hosts import target

HOSTS = 100
WITHIN = 30.0  # seconds, on two cores
ROLE = """\
role "words" {
  type    = "component"
  summary = "Lays a file"
  image "container" {
    base = "debian-13"
  }
}
"""
TASKS = """\
---
- name: Write the file
  ansible.builtin.copy:
    content: "{{ node.name }}\\n"
    dest: "{{ root }}/words/name"
    mode: "0644"
"""
SYSTEM = """\
system "many" {
  summary = "Many hosts with a file each"
  group "all" {
    role "words" {}
  }
}
"""


def definitions(folder: Path) -> Path:
    systems = folder / "definitions"
    shutil.copytree(ROOT / "systems" / "bases", systems / "bases", symlinks=True)
    for path, text in (("roles/words/role.hcl", ROLE), ("roles/words/tasks/configure.yml", TASKS),
                       ("many/system.hcl", SYSTEM)):  # fmt: skip
        file = systems / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (systems / "many" / "targets").mkdir()
    return systems


@pytest.mark.long
def test_a_deploy_without_changes_of_a_hundred_hosts_is_soon_done(tmp_path: Path) -> None:
    systems, names = definitions(tmp_path), [f"n{number}" for number in range(HOSTS)]
    env = {
        "SETER_SYSTEMS": str(systems),
        "SETER_STATE": str(tmp_path / "state"),
        "SETER_IDENTITY": str(tmp_path / "identity"),
    }
    tools, words = Tools(ROOT, env), ("many", "--target", "metal")
    with hosts(tmp_path, dict.fromkeys(names, ("rack",)), only_ssh=True) as lab:
        (systems / "many" / "targets" / "metal.hcl").write_text(target(lab, {"all": names}))
        tools("seter", "deploy", *words, "--yes")
        assert lab["n7"].run("cat", "/etc/seter/now/words/name") == "n7"
        took = []
        for _ in range(2):
            started = time.monotonic()
            assert "no change" in tools("seter", "deploy", *words, "--yes").out
            took.append(time.monotonic() - started)
        print(f"{HOSTS} hosts: no change found in {took[0]:.1f} s, and again in {took[1]:.1f} s")
        assert min(took) < WITHIN
        lab["n50"].power("kill")
        ended = tools("seter", "deploy", *words, "--yes", code=5)
        assert "n50 cannot be reached" in ended.err
        assert len(tools("seter", "destroy", *words, "--yes", code=4).err.splitlines()) < 20
