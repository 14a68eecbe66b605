"""Virtual machines on this machine, by QEMU. Terraform needs no provider for it: a `terraform_data` for each thing, and
`seter.provisioner.emulate` as what makes and removes it."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

from common.files import write_atomically
from common.machine.emulated import CONSOLE
from common.system import Machine
from seter.provisioner import emulate
from seter.provisioner.modules import Document, Found, Given, Life, Module, Wish, literal
from seter.provisioner.seeds import machine_id, smbios
from seter.provisioner.subnets import GATEWAY, address
from seter.state import Subnets

STARTS_WITHIN = 180.0  # seconds that a machine is thought to be starting, if it does not answer
TAIL = 25  # lines of a console that an error shows
RUN = (sys.executable, "-m", "seter.provisioner.emulate")


class Qemu(Module):
    """See the interface. Each machine has a folder: its disks, its console, what it is told."""

    restarts = ("terraform_data.machine",)

    def network(self, name: str, subnets: Subnets, machine: Machine) -> Given:
        addresses = [
            f"{address(prefix, GATEWAY)}/{ip_network(prefix).prefixlen}" for prefix in (subnets.v4, subnets.v6)
        ]
        whole = f"{self.deployment}/{name}"
        return {
            "kind": "network",
            "bridge": f"sb{_short(whole)}",
            "alias": f"seter:{whole}",
            "addresses": addresses,
            "subnets": [subnets.v4, subnets.v6],
        }

    def node(self, wish: Wish) -> Given:
        folder = self.folder / "machines" / wish.node
        cards = [
            {
                "network": each.network,
                "mac": each.mac,
                "gateway": each.gateway,
                "tap": f"st{_short(f'{self.deployment}/{wish.node}/{each.network}')}",
            }
            for each in wish.cards
        ]
        return {
            "kind": "machine",
            "node": wish.node,
            "name": f"seter:{self.deployment}:{wish.node}",
            "uuid": str(machine_id(self.deployment, wish.node)),
            "folder": str(folder),
            "image": wish.image,
            "base": str(wish.disk),
            "disk": str(folder / "root.qcow2"),
            "state": str(folder / "state.qcow2"),
            "size": wish.machine.disk,
            "memory": wish.machine.memory >> 20,
            "cores": wish.machine.cores,
            "accelerator": wish.machine.accelerator,
            "cards": cards,
            "seed": [str(folder / f"{name}.told") for name in sorted(wish.told)],
            "told": hashlib.sha256(repr(sorted(wish.told.items())).encode()).hexdigest(),
        }

    def config(self, given: Given) -> Document:
        if given["kind"] == "network":
            return _resources({"network": _resource(given, "network", {"addresses": given["addresses"]})})
        state = {"file": given["state"], "size": given["size"]}
        disk = {"file": given["disk"], "base": given["base"]}
        machine = {
            name: given[name] for name in ("image", "size", "memory", "cores", "accelerator", "cards", "seed", "told")
        }
        return _resources(
            {
                # Only a new node has a new disk for its state.
                "state": _resource(state, "disk", {"file": given["state"]}),
                "disk": _resource(disk, "disk", {"image": given["image"]}),
                "machine": _resource(given, "machine", machine, ["terraform_data.state", "terraform_data.disk"]),
            }
        )

    def prepare(self, wish: Wish) -> None:
        folder = self.folder / "machines" / wish.node
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in smbios(wish.told).items():
            write_atomically(folder / f"{name}.told", text, mode=0o600)

    def conceal(self, given: Given) -> None:
        for file in given["seed"]:
            Path(str(file)).unlink(missing_ok=True)

    def has_network(self, given: Given, found: Found) -> bool:
        return bool(emulate.interface_of(str(given["addresses"][0])))

    def life(self, given: Given, found: Found) -> Life:
        folder = Path(str(given["folder"]))
        if pid := emulate.process(folder, str(given["name"])):
            return Life.STARTING if emulate.age(pid) < STARTS_WITHIN else Life.ON
        return Life.OFF if Path(str(given["disk"])).exists() else Life.ABSENT

    def cut(self, given: Given) -> None:
        emulate.end(Path(str(given["folder"])), str(given["name"]), 0.0)

    def console(self, given: Given) -> str:
        with suppress(OSError):
            text = (Path(str(given["folder"])) / CONSOLE).read_bytes().decode(errors="replace")
            lines = ["".join(c for c in line if c.isprintable()).rstrip() for line in text.splitlines()]
            return "\n".join([line for line in lines if line][-TAIL:])
        return ""

    def clear(self, given: Given) -> None:
        if given["kind"] == "machine":
            shutil.rmtree(str(given["folder"]), ignore_errors=True)


def _resource(given: Given, what: str, triggers: Given, after: list[str] | None = None) -> Document:
    """Destroyed by what it was made with: all that its provisioner may know then is its own input."""

    def run(verb: str, **more: str) -> Document:
        return {"local-exec": {"interpreter": [*RUN, f"{what}-{verb}"], "command": "${jsonencode(self.input)}", **more}}

    made = {"input": literal(given), "triggers_replace": literal(triggers)}
    made["provisioner"] = [run("up"), run("down", when="destroy")]
    return {**made, "depends_on": after} if after else made


def _resources(named: Mapping[str, Document]) -> Document:
    return {"resource": {"terraform_data": dict(named)}}


def _short(text: str) -> str:
    """For names of interfaces: at most 15 characters in all (IFNAMSIZ, netdevice(7))."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
