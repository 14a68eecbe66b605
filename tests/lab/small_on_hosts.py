"""The small system of the integration tests, on hosts: its definitions with a target of the lab's machines."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.hosts import USER, Host, Hosts
from tests.lab.programs import ROOT, program

SMALL = ROOT / "tests" / "integration" / "small"
INSTALL = """\
---
- name: Install packages and make the user
  ansible.builtin.include_role:
    name: process
    tasks_from: install
"""


def definitions(folder: Path) -> Path:
    """Roles that can be installed, and a base for machines; the folder with all that."""
    systems = folder / "definitions"
    shutil.copytree(SMALL, systems)
    for role in systems.glob("roles/*/role.hcl"):
        (role.parent / "tasks").mkdir(exist_ok=True)
        (role.parent / "tasks" / "install.yml").write_text(INSTALL)
    for name in ("debian-13-host.hcl", "debian-13-host"):
        source = ROOT / "systems" / "bases" / name
        if source.is_dir():
            shutil.copytree(source, systems / "bases" / name, symlinks=True)
        else:
            shutil.copyfile(source, systems / "bases" / name)
    base = systems / "bases" / "debian-13.hcl"
    base.write_text(base.read_text().replace("{\n", '{\n  host = "debian-13-host"\n', 1))
    system = systems / "small" / "system.hcl"
    lines = system.read_text().splitlines(keepends=True)
    system.write_text("".join(line for line in lines if "artifact =" not in line))
    return systems


def target(lab: Hosts, groups: Mapping[str, Sequence[str]], *more: str, pinned: bool = True, user: str = USER) -> str:
    """The text of targets/metal.hcl; `more` are lines of the target's own."""
    lines = ['target "metal" {', '  kind = "baremetal"', f'  user = "{user}"', f'  identity_file = "{lab.key}"']
    lines += ["  experiments = true", *(f"  {line}" for line in more)]
    for name, subnets in lab.networks.items():
        lines += [f'  network "{name}" {{', f'    prefix = "{subnets.v4}"', f'    prefix6 = "{subnets.v6}"', "  }"]
    for group, names in groups.items():
        lines.append(f'  nodes "{group}" {{')
        for name in names:
            lines += [f"    {line}" for line in node(lab[name], pinned=pinned)]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def node(host: Host, *, pinned: bool) -> list[str]:
    """A node's block."""
    (v4, v6), *further = host.addresses.values()
    others = ", ".join(f'"{address}"' for pair in further for address in pair)
    key = " ".join(host.key.split()[:2])
    return [
        f'node "{host.name}" {{',
        f'  address = "{v4}"',
        f'  address6 = "{v6}"',
        *([f"  addresses = [{others}]"] if others else []),
        *([f'  host_key = "{key}"'] if pinned else []),
        "}",
    ]


def power(prefix: str) -> list[str]:
    """How the lab switches a machine's power."""
    lines = ["power {"]
    for word, state in (("off", "kill"), ("on", "start")):
        lines.append(f'  {word} = ["{program("docker")}", "{state}", "{prefix}.{{node}}"]')
    return [*lines, "}"]
