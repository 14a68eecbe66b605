"""Nodes that are virtual machines: Terraform makes them, and then they are hosts like others, reached by SSH.

A machine boots the disk of its group, with all roles in it. What it keeps (/var/lib/seter) is on a second disk, which
outlives the first: a newer artefact is a newer first disk. Its SSH key is made here and given to it, so nobody has to
compare keys. Whether it runs is asked of whoever runs it, never of Terraform's memory.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from common import console
from common.console import Report
from common.errors import Conflict, Error, NotFound, Unavailable
from common.files import write_atomically
from common.model import Event
from common.role import Role
from common.system import Deployment, Machine, Node, Target
from seter.keep import Keep
from seter.provisioner import hosts, seeds, subnets
from seter.provisioner.baremetal import BOOT_WITHIN, PAUSE, SSH, BaremetalProvisioner
from seter.provisioner.interface import NodeShape
from seter.provisioner.machines import Book, make_pair
from seter.provisioner.marks import Marks, marked
from seter.provisioner.modules import Found, Given, Life, Module, Wish, module
from seter.provisioner.ssh import Ssh, private_folder
from seter.provisioner.units import Units
from seter.software import Software
from seter.state import Observed, Subnets
from seter.tree import NodeTree

DISKS = "disks"  # of the deployment's folder: disks of artefacts, by digest
NETWORK, NODE = "network-", "node-"  # what units' names begin with


class VirtualProvisioner(BaremetalProvisioner):
    """The virtual machines of one deployment."""

    def __init__(self, keep: Keep, ssh: Ssh, target: Target | None = None, software: Software | None = None) -> None:
        super().__init__(keep.deployment, ssh, target, software)
        self._keep = keep
        self._units = Units(keep, self._reporter, ssh.halt)
        self._memory = Marks(self._units.machines)
        self._by_name: dict[str, Module] = {}
        self._sharing = threading.Lock()
        self._shared: set[str] = set()
        self._fetched: set[Path] = set()  # disks that this run needs, whoever else does not

    @classmethod
    def of(
        cls, deployment: Deployment, folder: Path, target: Target | None, software: Software | None
    ) -> VirtualProvisioner:
        """See the interface. What is kept lies in the folder; `entrust` names another place."""
        return cls(Keep(deployment, str(folder.parents[2])), Ssh(folder.absolute() / SSH, {}), target, software)

    def entrust(self, keep: Keep) -> None:
        """See the interface. What is known of machines is how they are reached: verbs call them without looking."""
        self._keep, self._by_name = keep, {}
        self._units = Units(keep, self._reporter, self._ssh.halt)
        self._memory = Marks(self._units.machines)
        self._reach(self._units.machines.read())

    def _reporter(self) -> Report:
        if self.told is None:
            self.told = console.reporter()
        return self.told

    # looking

    def observe(self, key: bytes) -> Observed:
        """See the interface. A machine that is starting is waited for."""
        book = self._units.machines.read()
        self._reach(book)
        asked = dict(zip(book.marks, self._all(lambda name: self._asked(book, name), list(book.marks)), strict=True))
        lives = {name: life for name, life in asked.items() if not isinstance(life, Error)}
        names = [name for name, life in lives.items() if life in (Life.ON, Life.STARTING)]
        seen = dict(zip(names, self._all(lambda name: self._answer(name, lives[name]), names), strict=True))
        self._seen = seen
        states = {name: hosts.stopped(book.marks[name]) for name, life in lives.items() if life is Life.OFF}
        for name, found in seen.items():
            if not isinstance(found, Error) and self._is_ours(found):
                states[name] = hosts.node_state(found, key)
        lost = {name: found.message for name, found in (asked | seen).items() if isinstance(found, Error)}
        places = {name: hosts.place(mark) for name, mark in book.marks.items()}
        networks = {
            name.removeprefix(NETWORK): Subnets(*unit.given["subnets"])
            for name, unit in book.units.items()
            if name.startswith(NETWORK) and unit.given and self._has_network(name, unit.given)
        }
        return Observed(networks, states, places, lost)

    def _answer(self, node: str, life: Life) -> dict[str, Any] | Error:
        waits = life is Life.STARTING and self._target is not None  # nobody waits for what is to be taken down
        deadline = monotonic() + (BOOT_WITHIN.total_seconds() if waits else 0)
        found = self._look(node)
        while isinstance(found, Unavailable) and monotonic() < deadline and not self._ssh.halt.is_set():
            sleep(PAUSE)
            if self._life(self._units.machines.read(), node) is not Life.STARTING:
                deadline = 0
            found = self._look(node)
        return found

    def _asked(self, book: Book, node: str) -> Life | Error:
        try:
            return self._life(book, node)
        except Error as error:
            return error

    def _life(self, book: Book, node: str) -> Life:
        unit = book.units.get(NODE + node)
        if unit is None or not unit.given:
            return Life.ABSENT
        return self._made_by(unit.given).life(unit.given, self._found(NODE + node, unit.given))

    def _has_network(self, unit: str, given: Given) -> bool:
        return self._made_by(given).has_network(given, self._found(unit, given))

    def _found(self, unit: str, given: Given) -> Found:
        """What is there of it, where only Terraform can say that."""
        made = self._made_by(given)
        return self._units.found(unit, given, made.config(given)) if made.asks_terraform else {}

    def _made_by(self, given: Mapping[str, Any]) -> Module:
        """The module that a unit was made by: the target may name another by now."""
        return self._modules(str(given["module"]))

    def _modules(self, name: str) -> Module:
        if name not in self._by_name:
            self._by_name[name] = module(name, self.deployment, self._keep.folder)
        return self._by_name[name]

    def _reach(self, book: Book) -> None:
        """Write what ssh has to know of the machines that there are."""
        if book.login is None:
            return
        folder = self._ssh.folder
        key = private_folder(folder) / "login"
        write_atomically(key, book.login.private, mode=0o600)
        nodes = [
            Node(name, str(mark["group"]), str(mark["address"]), host_key=book.hosts[name].public)
            for name, mark in book.marks.items()
        ]
        target = Target("virtual", "virtual", tuple(nodes), Path(), identity_file=str(key))
        made = Ssh.made(target, nodes, folder)
        self._ssh.users.clear()
        self._ssh.users.update(made.users)

    def refuse_foreign(self, nodes: Sequence[str], networks: Sequence[str], roles: Mapping[str, Sequence[str]]) -> None:
        """See the interface. Modules refuse what has a name of ours, when they make it."""
        for name, found in self._seen.items():
            other = found["mark"].get("deployment") if isinstance(found, dict) else None
            if other not in (None, str(self.deployment)):
                raise Conflict(
                    f"the machine {name} says that it belongs to the deployment {other}",
                    resolution="It was not touched. See what answers at its address.",
                )

    # networks

    def taken(self) -> tuple[IPv4Network, ...]:
        """See the interface."""
        return subnets.routes(Path("/proc/net/route").read_text())

    def free_subnets(self, network: str, pool: str, length: int) -> Subnets:
        """See the interface. The ones that it had, as long as they are free: nodes keep their addresses."""
        taken = self.taken()
        unit = self._units.machines.read().units.get(NETWORK + network)
        if unit is not None and unit.given:
            before = Subnets(*unit.given["subnets"])
            whole = ip_network(before.v4)
            if not any(whole.overlaps(other) for other in taken):
                return before
        return subnets.free(str(self.deployment), network, pool, length, taken)

    def ensure_network(self, network: str, subnets: Subnets) -> bool:
        """See the interface."""
        made = self._modules(self._machine.module)
        given = {"module": self._machine.module, **made.network(network, subnets, self._machine)}
        # What Terraform believes to be there may be gone: after a restart of this machine bridges are.
        again = () if made.asks_terraform or made.has_network(given, {}) else ("terraform_data.network",)
        self._units.bring(NETWORK + network, given, made.config(given), replace=again)
        return True

    def remove_network(self, network: str) -> None:
        """See the interface."""
        self._destroy(NETWORK + network)

    @property
    def _machine(self) -> Machine:
        assert self._target is not None and self._target.machine is not None
        return self._target.machine

    # nodes

    def ensure(self, shape: NodeShape, tree: NodeTree) -> None:
        """See the interface. Its state outlives what else of it is made anew; a machine that is off is started."""
        book = self._note(shape)
        self._reach(book)
        wish = self._wish(shape, book)
        self._fetch(shape.image, wish.disk)
        made = self._modules(self._machine.module)
        wish = self._with_shared(made, wish)
        given = {"module": self._machine.module, **made.node(wish)}
        unit, runs = NODE + shape.name, self._life(book, shape.name) in (Life.ON, Life.STARTING)
        if runs:
            with suppress(Error):  # what is lost then the machine has not told anybody to be written
                self._done(shape.name, "sync")
        made.prepare(wish)
        try:
            changes = self._units.bring(
                unit, given, made.config(given), secret=made.secret(wish), replace=() if runs else made.restarts
            )
        finally:
            made.conceal(given)
        if changes:
            self._ssh.forget(shape.name)
        self._wait(shape.name, given)
        super().ensure(shape, tree)
        self._sweep()

    def _with_shared(self, made: Module, wish: Wish) -> Wish:
        """What several nodes have in common is there, made by whichever of them comes first."""
        with self._sharing:
            for unit, wanted in made.shared(wish).items():
                self._shared.add(unit)
                given = {"module": self._machine.module, **wanted}
                self._units.bring(unit, given, made.config(given))
        return replace(wish, outputs=self._units.outputs())

    def _note(self, shape: NodeShape) -> Book:
        """Place, address and keys are known before there is anything that has them."""
        mark = hosts.mark(self.deployment, shape)
        where = {"address": shape.networks[0][1]}

        def noted(book: Book) -> Book:
            book = marked(book, shape.name, {**mark, **where})
            book = book if book.login else replace(book, login=make_pair())
            return book if shape.name in book.hosts else replace(book, hosts={**book.hosts, shape.name: make_pair()})

        return self._units.machines.change(noted)

    def _wish(self, shape: NodeShape, book: Book) -> Wish:
        assert book.login is not None and shape.machine is not None
        nets = {name.removeprefix(NETWORK): unit.given for name, unit in book.units.items() if unit.given}
        cards = []
        for place in shape.networks:
            if place[0] not in nets:
                raise NotFound(f"there is no network {place[0]}", resolution="Run seter deploy again: it makes it.")
            cards.append(seeds.card(self.deployment, shape.name, place, Subnets(*nets[place[0]]["subnets"])))
        device = self._modules(shape.machine.module).state_device
        told = seeds.credentials(shape.name, book.login.public, book.hosts[shape.name], cards, device)
        outputs = self._units.outputs()
        disk = self._disk(shape.image)
        return Wish(shape.name, shape.group, shape.machine, shape.image, disk, cards, told, outputs)

    def _disk(self, image: str) -> Path:
        """Where the artefact's disk is on this machine, once it was fetched."""
        return self._keep.folder.absolute() / DISKS / f"{image.rpartition(':')[2]}.qcow2"

    def _fetch(self, image: str, file: Path) -> None:
        """Out of the store. Raises NotFound, Corrupt."""
        from naust.listing import resolve
        from naust.pull import get_file
        from naust.store import open_store

        self._fetched.add(file)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            store = open_store(self._software.store if self._software is not None else None)
            get_file(store, resolve(store, image), file, report=self._reporter())

    def _sweep(self) -> None:
        """Disks of artefacts that no machine stands on, and what nodes had in common and none has any more."""
        units = self._units.machines.read().units
        needed = {need for name, unit in units.items() if name.startswith(NODE) for need in unit.given.get("needs", ())}
        with self._sharing:
            for name in units:
                if not name.startswith((NODE, NETWORK)) and name not in needed | self._shared:
                    self._destroy(name)
        used = {unit.given.get("base") for unit in self._units.machines.read().units.values()}
        for file in (self._keep.folder.absolute() / DISKS).glob("*.qcow2"):
            if str(file) not in used and file not in self._fetched:
                file.unlink(missing_ok=True)

    def _wait(self, node: str, given: Mapping[str, Any]) -> None:
        """Until it answers SSH. Raises Unavailable with what its console says."""
        began, made = monotonic(), self._made_by(given)
        while isinstance(found := self._look(node), Unavailable):
            if self._ssh.halt.is_set():
                raise KeyboardInterrupt
            gone = not made.asks_terraform and made.life(given, {}) not in (Life.ON, Life.STARTING)
            if gone or monotonic() - began > BOOT_WITHIN.total_seconds():
                raise Unavailable(
                    f"the machine of {node} {'has ended' if gone else 'does not answer SSH'}",
                    details=made.console(given),
                    resolution="What it wrote last to its console is above; deploy again once that is mended.",
                )
            sleep(PAUSE)
        if isinstance(found, Error):
            raise found
        self._reporter()(Event("node", node, f"answers after {monotonic() - began:.0f} s"))

    def install(self, node: str, wanted: Sequence[tuple[Role, str]], report: Report) -> None:
        """See the interface. It is all on its disk; that is noted there, so that what is changed by hand shows."""
        found = self._said(node).get("installed", {})
        there = {role: mark["artifact"] for role, mark in found.items() if not mark["differs"]}
        missing = [(role, artifact) for role, artifact in wanted if there.get(role.name) != artifact]
        if missing:
            self._done(node, "before")
            self._done(node, "installed", data=json.dumps(hosts.installed(missing)).encode())

    def foresee(self, node: str, shape: NodeShape | None) -> tuple[str, ...]:
        """See the interface. By `terraform plan`, with the state as it is."""
        book = self._units.machines.read()
        there = book.units.get(NODE + node)
        if shape is None:
            if there is None or not there.given:
                return ()
            config = self._made_by(there.given).config(there.given)
            return tuple(map(str, self._units.foresee(NODE + node, there.given, config, destroy=True)))
        if shape.name not in book.hosts or book.login is None:
            return ("create its disks and its machine",)
        with suppress(NotFound, KeyError):  # a network, or what nodes have in common, is not there yet
            made, wish = self._modules(self._machine.module), self._wish(shape, book)
            given = {"module": self._machine.module, **made.node(wish)}
            unit, config = NODE + node, made.config(given)
            changes = tuple(map(str, self._units.foresee(unit, given, config, secret=made.secret(wish))))
            off = not changes and self._life(book, node) is Life.OFF
            return tuple(f"replace {each}, since the machine is off" for each in made.restarts) if off else changes
        return ("create its disks and its machine, when its networks are there",)

    def remove(self, node: str) -> None:
        """See the interface."""
        self._destroy(NODE + node)
        self._memory.forget(node)
        if node in self._ssh.users:
            self._ssh.forget(node)
        self._sweep()

    def _destroy(self, unit: str) -> None:
        there = self._units.machines.read().units.get(unit)
        if there is not None and there.given:
            made = self._made_by(there.given)
            self._units.destroy(unit, there.given, made.config(there.given))
            made.clear(there.given)

    # the end

    def kill(self, node: str) -> None:
        """See the interface."""
        unit = self._units.machines.read().units.get(NODE + node)
        if unit is None or not unit.given:
            raise NotFound(f"there is no machine of {node}", resolution="See seter status.")
        self._made_by(unit.given).cut(unit.given)
        self._ssh.forget(node)

    def destroy(self) -> tuple[str, ...]:
        """See the interface. By what was noted of each: definitions may be gone."""
        book = self._units.machines.read()
        nodes = [name.removeprefix(NODE) for name in book.units if name.startswith(NODE)]
        self._reach(book)
        self._all(self.remove, nodes)
        self._all(self._destroy, [name for name in book.units if not name.startswith((NODE, NETWORK))])
        networks = [name.removeprefix(NETWORK) for name in book.units if name.startswith(NETWORK)]
        self._all(self.remove_network, networks)
        self._units.machines.remove()
        self._units.clear()
        for name in (DISKS, "machines", SSH):
            shutil.rmtree(self._keep.folder / name, ignore_errors=True)
        shutil.rmtree(private_folder(self._ssh.folder), ignore_errors=True)
        return (*nodes, *(f"network {name}" for name in networks))
