"""One virtual machine with nothing on its disk, made as a node's is: `python -m tests.lab.machine up|down FOLDER`.

It never answers, so only what makes it is tried: Terraform, its states, QEMU, interfaces. A program of its own, so that
it can be killed."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.console import Report
from common.errors import Error
from common.interruption import once
from common.model import Event
from common.run import run
from common.system import Deployment, Machine
from seter.keep import Keep
from seter.provisioner import seeds
from seter.provisioner.machines import Pair
from seter.provisioner.modules import Life, Wish
from seter.provisioner.qemu import Qemu
from seter.provisioner.units import Units
from seter.record import leased
from seter.state import Subnets
from seter.terraform import Change

NETS = Subnets("10.216.99.0/24", "fd00:216:99::/64")
NETWORK, NODE = "network-front", "node-w1"


@dataclass
class Lab:
    """Of a deployment whose instance is this process's parent, so that tests do not meet."""

    folder: Path
    memory: int = 64
    events: list[Event] = field(default_factory=list)
    halt: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        number = (self.folder / "number").read_text() if (self.folder / "number").exists() else str(os.getpid())
        (self.folder / "number").write_text(number)
        self.deployment = Deployment("small", "virtual", f"t{number}")
        self.keep = Keep(self.deployment, str(self.folder / "state"))
        self.qemu = Qemu(self.deployment, self.keep.folder)
        self.units = Units(self.keep, self.reporter, self.halt)

    def reporter(self) -> Report:
        return self.events.append

    @property
    def network(self) -> dict[str, Any]:
        return {"module": "qemu", **self.qemu.network("front", NETS, Machine("qemu"))}

    @property
    def wish(self) -> Wish:
        cards = [seeds.card(self.deployment, "w1", ("front", "10.216.99.1", "fd00:216:99::1"), NETS)]
        told = seeds.credentials(
            "w1", "ssh-ed25519 AAAA", Pair("canary of the machine's own key", "ssh-ed25519 B"), cards
        )
        machine = Machine("qemu", memory=self.memory << 20, disk=16 << 20)
        return Wish("w1", "servers", machine, "vm/empty@sha256:0", self.folder / "base.qcow2", cards, told)

    @property
    def node(self) -> dict[str, Any]:
        return {"module": "qemu", **self.qemu.node(self.wish)}

    @property
    def life(self) -> Life:
        return self.qemu.life(self.node, {})

    def up(self) -> tuple[Change, ...]:
        base = self.folder / "base.qcow2"
        if not base.exists():
            run(("qemu-img", "create", "-q", "-f", "qcow2", str(base), "16M"))
        self.units.bring(NETWORK, self.network, self.qemu.config(self.network))
        self.qemu.prepare(self.wish)
        again = () if self.life in (Life.ON, Life.STARTING) else self.qemu.restarts
        try:
            return self.units.bring(NODE, self.node, self.qemu.config(self.node), replace=again)
        finally:
            self.qemu.conceal(self.node)

    def down(self) -> None:
        known = self.units.machines.read().units
        for unit in (NODE, NETWORK):
            if unit in known:
                given = known[unit].given
                self.units.destroy(unit, given, self.qemu.config(given))
                self.qemu.clear(given)
        self.units.clear()

    @contextmanager
    def leased(self) -> Iterator[None]:
        with leased(self.keep, "test", report=self.reporter()):
            yield


def main(verb: str, folder: str) -> int:
    """As a verb of seter would: one error, one exit code."""
    lab = Lab(Path(folder))
    try:
        with once(), lab.leased():
            {"up": lab.up, "down": lab.down}[verb]()
    except KeyboardInterrupt:
        return 130
    except Error as error:
        sys.stderr.write(f"{error.message}\n{error.details}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
