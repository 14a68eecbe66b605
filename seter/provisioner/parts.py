"""Nodes of one deployment in several places: on several engines, or of several kinds.

Each part is a provisioner that knows its own nodes alone; every call goes to that of its node. A part that cannot be
reached is said of its nodes, and hides no other. What there is of parts, and the places of their nodes, is remembered
in the deployment's folder, so that a node keeps its addresses while nobody can ask for them, and all is found again
when definitions are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common.console import Report
from common.errors import Conflict, Error, Partial
from common.system import Deployment, Target
from seter.finding import Finding, Question, failed, in_short
from seter.provisioner.handed_on import HandedOn
from seter.provisioner.interface import NodeShape, Provisioner
from seter.provisioner.remembered import Part, Remembered, parts_of
from seter.provisioner.subnets import free
from seter.state import NodeState, Observed, Place, Subnets
from seter.tree import NodeTree

if TYPE_CHECKING:
    from naust.store.interface import Store
    from seter.artifacts import Image
    from seter.software import Software

Opening = Callable[[str, Target | None], Provisioner]  # (kind, what of the target is of this part)
T = TypeVar("T")


class Parts(HandedOn):
    """All nodes of one deployment, in their parts."""

    def __init__(self, deployment: Deployment, memory: Remembered, parts: Mapping[str, Part], opening: Opening) -> None:
        self.deployment, self._memory = deployment, memory
        self._parts, self._opened = dict(parts), dict[str, Provisioner | Error]()
        self._home = {node: name for name, part in parts.items() for node in part.nodes}
        self._found: dict[str, str] = {}  # node → the part that it was seen in
        self._subnets: dict[str, Subnets] = {}  # of networks that some part has

        def opened(part: Part) -> Provisioner | Error:
            try:
                return opening(part.kind, part.target)
            except Error as error:
                return error

        names = list(self._parts)
        with ThreadPoolExecutor(max(1, len(names))) as threads:
            made = dict(zip(names, threads.map(opened, self._parts.values()), strict=True))
        # What only may have something of ours, and cannot be asked, is nobody's loss.
        self._parts = {name: part for name, part in self._parts.items() if not (part.only_maybe and _lost(made[name]))}
        self._opened = {name: made[name] for name in self._parts}

    @classmethod
    def of(cls, deployment: Deployment, folder: Path, target: Target | None, software: Software | None) -> Parts:
        """Not made so: `made` needs to know how parts are opened."""
        raise TypeError("who opens parts has to be said: Parts.made")

    @classmethod
    def made(cls, deployment: Deployment, folder: Path, target: Target | None, opening: Opening) -> Parts:
        """Those of the target, and those that an earlier run knew; without a target these alone."""
        memory = Remembered(folder)
        parts = parts_of(target) if target is not None else {}
        return cls(deployment, memory, memory.with_earlier(parts), opening)

    # parts

    def _at(self, node: str) -> Provisioner:
        """The node's own part. Raises what is wrong with it."""
        return _whole(self._opened[self._found.get(node) or self._home[node]])

    def _alive(self) -> dict[str, Provisioner]:
        return {name: part for name, part in self._opened.items() if isinstance(part, Provisioner)}

    def _of_network(self, network: str) -> dict[str, Provisioner]:
        """Those that answer and have nodes on it."""
        return {name: part for name, part in self._alive().items() if network in self._parts[name].networks}

    def _all(self, act: Callable[[Provisioner], T]) -> dict[str, T | Error]:
        """What each part answers, asked side by side."""

        def one(part: Provisioner | Error) -> T | Error:
            try:
                return act(_whole(part))
            except Error as error:
                return error

        with ThreadPoolExecutor(max(1, len(self._opened))) as threads:
            try:
                return dict(zip(self._opened, threads.map(one, self._opened.values()), strict=True))
            except BaseException:
                self.halt()
                raise

    # looking

    def observe(self, key: bytes) -> Observed:
        """See the interface. A network that one of its parts lacks is not there, but its addresses are known."""
        seen = self._all(lambda part: part.observe(key))
        nodes: dict[str, NodeState] = {}
        lost: dict[str, str] = {}
        places: dict[str, Place] = {}
        for name, said in seen.items():
            if isinstance(said, Error):
                mine = [*self._parts[name].nodes, *(each for each, on in self._memory.nodes().items() if on == name)]
                lost |= dict.fromkeys(mine, f"{name}: {in_short(said)}")
                continue
            nodes |= said.nodes
            lost |= said.unreachable
            places |= said.places
            self._found |= dict.fromkeys(said.places, name)
        for node, place in self._memory.places().items():
            if node in lost:
                places.setdefault(node, place)
        answered = {name: said for name, said in seen.items() if not isinstance(said, Error)}
        self._memory.keep(self._parts, answered)
        ahead = {node: by for said in answered.values() for node, by in said.ahead.items()}
        unreachable = {node: why for node, why in lost.items() if node not in nodes}
        return Observed(self._networks(answered), nodes, places, unreachable, ahead)

    def _networks(self, seen: Mapping[str, Observed]) -> dict[str, Subnets]:
        self._subnets = {network: each for said in seen.values() for network, each in said.networks.items()}
        lacks = {
            network
            for network in self._subnets
            for name in self._of_network(network)
            if name in seen and network not in seen[name].networks
        }
        return {network: each for network, each in self._subnets.items() if network not in lacks}

    def refuse_foreign(self, nodes: Sequence[str], networks: Sequence[str], roles: Mapping[str, Sequence[str]]) -> None:
        """See the interface. Raises Conflict too for a node that is in another part than its definition says."""
        for node in nodes:
            found, home = self._found.get(node), self._home[node]
            if found is not None and found != home:
                raise Conflict(
                    f"{node} is on {found}, and the target has it on {home}",
                    resolution="What it holds does not move. Take the node out and deploy; then put it in again.",
                )
        for name, part in self._alive().items():
            mine = [node for node in nodes if self._home[node] == name]
            on = [network for network in networks if network in self._parts[name].networks]
            part.refuse_foreign(mine, on, {node: roles[node] for node in mine if node in roles})

    def taken(self) -> tuple[IPv4Network, ...]:
        """See the interface. In any part that answers."""
        return tuple(prefix for part in self._alive().values() for prefix in part.taken())

    def free_subnets(self, network: str, pool: str, length: int) -> Subnets:
        """See the interface. Those that it has in another part already; else such as are free in all."""
        if network in self._subnets:
            return self._subnets[network]
        return free(str(self.deployment), network, pool, length, self.taken())

    def ensure_network(self, network: str, subnets: Subnets) -> bool:
        """See the interface. In all parts that have nodes on it, or in none that did not have it before."""
        made: list[Provisioner] = []
        # Engines make networks of their own; machines join one that is there.
        order = sorted(self._of_network(network).items(), key=lambda each: self._parts[each[0]].kind == "virtual")
        for _, part in order:
            if not part.ensure_network(network, subnets):
                for earlier in made if network not in self._subnets else ():
                    earlier.remove_network(network)
                return False
            made.append(part)
        return True

    def remove_network(self, network: str) -> None:
        """See the interface."""
        for part in self._alive().values():
            part.remove_network(network)

    def examinations(self) -> Mapping[str, Question]:
        """See the interface. A part that cannot be opened is a finding of its own."""
        asked: dict[str, Question] = {}
        for name, part in self._opened.items():
            if isinstance(part, Error):
                asked[name] = partial(tuple[Finding, ...], (failed(name, self._parts[name].kind, part),))
            else:
                asked |= part.examinations()
        return asked

    def owners(self) -> Mapping[str, str]:
        """See the interface."""
        return {node: owner for part in self._alive().values() for node, owner in part.owners().items()}

    def claim(self, node: str, owner: str) -> None:
        """See the interface."""
        self._at(node).claim(node, owner)

    # nodes

    def tell(self, report: Report) -> None:
        """See the interface."""
        for part in self._alive().values():
            part.tell(report)

    def foresee(self, node: str, shape: NodeShape | None) -> tuple[str, ...]:
        """See the interface."""
        return self._at(node).foresee(node, shape)

    def load(self, store: Store, images: Mapping[str, Collection[Image]], report: Report) -> None:
        """See the interface. Each part gets those of its own nodes."""
        for name, part in self._opened.items():
            mine = {node: each for node, each in images.items() if self._home[node] == name}
            if mine:
                _whole(part).load(store, mine, report)

    def ensure(self, shape: NodeShape, tree: NodeTree) -> None:
        """See the interface."""
        self._memory.place(shape.name, self._home[shape.name], Place(shape.group, shape.index, shape.number))
        self._at(shape.name).ensure(shape, tree)

    def lay(self, node: str, tree: NodeTree) -> str:
        """See the interface."""
        return self._at(node).lay(node, tree)

    def switch(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        self._at(node).switch(node, tree)

    def folders(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        self._at(node).folders(node, tree)

    def remove(self, node: str) -> None:
        """See the interface."""
        self._at(node).remove(node)
        self._found.pop(node, None)
        self._memory.forget(node)

    # the end

    def halt(self) -> None:
        """See the interface."""
        for part in self._alive().values():
            part.halt()

    def kill(self, node: str) -> None:
        """See the interface."""
        self._at(node).kill(node)

    def destroy(self) -> tuple[str, ...]:
        """See the interface. Raises Partial naming parts that could not be taken down, after all others."""
        done = self._all(lambda part: part.destroy())
        removed = tuple(name for names in done.values() if not isinstance(names, Error) for name in names)
        wrong = {name: error for name, error in done.items() if isinstance(error, Error)}
        self._memory.drop([name for name in done if name not in wrong])
        if wrong:
            raise Partial(
                f"{len(removed)} were taken down; what is on {', '.join(wrong)} was not",
                details="\n".join(f"{name}: {error}" for name, error in wrong.items()),
                resolution="Destroy again when they answer; what runs there still runs.",
            )
        return removed


def _whole(part: Provisioner | Error) -> Provisioner:
    if isinstance(part, Error):
        raise part
    return part


def _lost(part: Provisioner | Error) -> bool:
    return isinstance(part, Error)
