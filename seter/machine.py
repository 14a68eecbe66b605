"""What a virtual node's machine is to be. Pure."""

from __future__ import annotations

from dataclasses import asdict, replace

from common.system import Machine, Node, Target


def machine_of(target: Target, node: Node) -> Machine | None:
    """As large as the node says, else as the target does."""
    if target.machine is None or target.kind_of(node) != "virtual":
        return None
    return replace(
        target.machine, memory=node.memory or target.machine.memory, cores=node.cores or target.machine.cores
    )


def made_of(machine: Machine) -> dict[str, object]:
    """What of it a machine is made anew for. Where Terraform gets its providers is nothing of the machine's."""
    return {name: value for name, value in asdict(machine).items() if value and name not in ("providers", "cloud")}
