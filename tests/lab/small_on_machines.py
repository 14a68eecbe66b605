"""The small system of the integration tests, on virtual machines of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab import small_on_hosts
from tests.lab.programs import ROOT


def definitions(folder: Path) -> Path:
    """What hosts need, and what disks are written with; the folder with all that."""
    systems = small_on_hosts.definitions(folder)
    shutil.copyfile(ROOT / "systems" / "bases" / "disk-tools.hcl", systems / "bases" / "disk-tools.hcl")
    role = systems / "roles" / "web" / "role.hcl"
    # A shell has a `test` of its own, by which smie's check does not find the program.
    role.write_text(role.read_text().replace('["test", ', '["/usr/bin/test", '))
    return systems


def target(groups: Mapping[str, Sequence[str]], *, memory: str = "512MiB", more: Sequence[str] = ()) -> str:
    """The text of targets/virtual.hcl; `more` are lines of the target's own."""
    lines = ['target "virtual" {', '  kind = "virtual"', "  experiments = true", '  network "front" {}']
    lines += ['  machine "qemu" {', f'    memory = "{memory}"', '    disk = "256MiB"', "  }", *more]
    for group, names in groups.items():
        lines.append(f'  nodes "{group}" {{')
        lines += [f'    node "{name}" {{ networks = ["front"] }}' for name in names]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"
