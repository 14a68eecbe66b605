"""Where nodes come from: the contract of all kinds of targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.console import Report
from common.errors import BadInput, Error
from common.role import Process, Role
from common.system import Deployment, Machine, Target
from seter import artifacts
from seter.finding import Question
from seter.state import InstalledPackage, Observed, RoleState, Subnets, Written
from seter.tree import NodeTree

if TYPE_CHECKING:
    from naust.store.interface import Store
    from seter.artifacts import Image
    from seter.keep import Keep
    from seter.software import Software


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What a node is made of. A node whose shape has another digest is made anew."""

    name: str
    group: str
    index: int
    number: int
    image: str  # image id
    networks: tuple[tuple[str, str, str], ...]  # (network, IPv4 address, IPv6 address); the first is the main one
    sysctls: tuple[tuple[str, str], ...]
    digest: str
    machine: Machine | None = None  # of a virtual machine


@dataclass(frozen=True, slots=True)
class Joined:
    """How a role's process finds its node: what it joins, its own name there, and the life of the node it is for."""

    node: str
    container: str
    identity: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command on a node ended."""

    code: int
    stdout: str
    stderr: str


def _unbreakable(node: str) -> Error:
    return Error(
        f"{node} cannot be broken like that: nodes of its kind cannot", resolution="Leave this experiment out here."
    )


class Provisioner(ABC):
    """The nodes of one deployment.

    Every method may be called twice and then changes nothing more, and every one may be cut at any point: the next
    `observe` tells the truth. What carries our name but not our mark is never touched: Conflict. An engine or host
    that does not answer: Unavailable.
    """

    @classmethod
    @abstractmethod
    def of(cls, deployment: Deployment, folder: Path, target: Target | None, software: Software | None) -> Provisioner:
        """The deployment's nodes on the target; without one, those that are there, to look at and take down.

        `folder` is the deployment's on this machine. `software` is what hosts are installed by; only `install` asks for
        it."""

    told: Report | None = None

    def entrust(self, keep: Keep) -> None:
        """Where the deployment's things are, for a kind of target that keeps something there between runs; what writes
        there needs the lease. The others need no place."""
        self.entrusted = keep

    def tell(self, report: Report) -> None:
        """Whom to tell of what takes long."""
        self.told = report

    @abstractmethod
    def observe(self, key: bytes) -> Observed:
        """Everything of the deployment that is there; digests of secrets are keyed with `key`. Changes nothing.

        A node that cannot be looked at is named with the reason, and hides no other."""

    @abstractmethod
    def refuse_foreign(self, nodes: Sequence[str], networks: Sequence[str], roles: Mapping[str, Sequence[str]]) -> None:
        """Raise Conflict when a thing that is not ours has a name that we are about to use. Changes nothing."""

    @abstractmethod
    def free_subnets(self, network: str, pool: str, length: int) -> Subnets:
        """Addresses that are free now for a network that is not there yet. Reserves nothing."""

    def taken(self) -> tuple[IPv4Network, ...]:
        """What no new network may have, where nodes of this kind are made. Changes nothing."""
        return ()

    @abstractmethod
    def ensure_network(self, network: str, subnets: Subnets) -> bool:
        """Make the network. False when its addresses were taken meanwhile: ask for free ones again."""

    def load(self, store: Store, images: Mapping[str, Collection[Image]], report: Report) -> None:
        """The images that are going to be used are where these nodes are. Raises Corrupt, Conflict, Unavailable."""
        artifacts.load_all(store, {image.id: image for each in images.values() for image in each}.values(), report)

    @abstractmethod
    def ensure(self, shape: NodeShape, tree: NodeTree) -> None:
        """The node exists in this shape, runs, and holds these files. An older one is removed with its processes."""

    @abstractmethod
    def lay(self, node: str, tree: NodeTree) -> str:
        """Lay files and secrets on a running node beside those in use; the folder on the node that holds the files."""

    @abstractmethod
    def switch(self, node: str, tree: NodeTree) -> None:
        """Make what was laid there the files in use, at once; the last trees stay to go back to."""

    @abstractmethod
    def folders(self, node: str, tree: NodeTree) -> None:
        """The folders for state, sockets and the like are there on a running node; whoever was killed may have left it
        without them."""

    @abstractmethod
    def join(self, node: str, role: str) -> Joined:
        """What the `process` role needs to start a role's process on the node as it lives now."""

    @abstractmethod
    def means(self, node: str) -> Mapping[str, object]:
        """Ansible's variables by which the role `process` reaches the node: what it is, and over which connection."""

    @abstractmethod
    def inside(self, node: str, role: str) -> Mapping[str, object]:
        """Ansible's variables by which tasks run where the role's process runs."""

    @abstractmethod
    def started(self, node: str, role: str, process: Process, state: RoleState, image: str) -> Mapping[str, object]:
        """What the role `process` has to know beside the process block to start this state of it on the node as it
        lives now; `image` is the engine's, '' for what is installed."""

    @abstractmethod
    def install(self, node: str, wanted: Sequence[tuple[Role, str]], report: Report) -> None:
        """The software of these roles is on the node, each of this artefact. Running processes go on."""

    @abstractmethod
    def remove_role(self, node: str, role: str, within: int) -> None:
        """Stop the role's process, giving it `within` seconds, and remove what it ran in. Nothing there is no error."""

    @abstractmethod
    def execute(self, node: str, role: str, argv: Sequence[str], *, user: str = "") -> Answer:
        """Run a command where the role's process runs, as its user if none is named. NotFound when it does not run."""

    @abstractmethod
    def try_out(self, node: str, image: str, argv: Sequence[str], *, user: str) -> Answer:
        """Run a command in a process of its own that is made of the engine's `image` and sees the node's files, and
        has neither network nor rights. Nothing of it stays."""

    @abstractmethod
    def restart(self, node: str, role: str, within: int) -> None:
        """Stop the role's process, giving it `within` seconds, and start it again as it was. NotFound if there is none.
        Twice is twice."""

    @abstractmethod
    def fetch(self, node: str, path: str, sink: BinaryIO) -> int:
        """Copy a file of the node into `sink`; how many bytes it has. NotFound. Cut off, `sink` has a part of it."""

    @abstractmethod
    def put(self, node: str, path: str, source: BinaryIO, size: int, uid: int) -> None:
        """Write a file of `size` bytes into a folder that is there, readable by its owner `uid` alone."""

    @abstractmethod
    def loaded(self, node: str, role: str, process: str) -> None:
        """Remember on the node that the running process has now read what `process` covers."""

    @abstractmethod
    def cluster_done(self, node: str, role: str, mark: str) -> None:
        """Remember on the node that its group's cluster step succeeded."""

    @abstractmethod
    def remove(self, node: str) -> None:
        """Remove the node, its processes and its state."""

    @abstractmethod
    def remove_network(self, network: str) -> None:
        """Remove the network; it has no nodes any more."""

    # What a kind of target may have.

    def foresee(self, node: str, shape: NodeShape | None) -> tuple[str, ...]:
        """What making the node in this shape, or removing it, will do to the machine that it is, as who makes it says.
        Changes nothing."""
        return ()

    def reboot(self, node: str, tree: NodeTree) -> None:
        """The node, whose processes have stopped, is started anew and answers again; what it held it holds. Raises
        Error where nodes cannot be rebooted."""
        raise Error(f"{node} cannot be rebooted from here", resolution="Reboot it, then run seter deploy.")

    def logs(self, node: str, role: str, *, since: timedelta | None, follow: bool) -> Iterator[bytes]:
        """What the role's process has printed, as it comes, in pieces; with `follow` until it is gone. NotFound if
        there is no such process. Raises Error where logs cannot be read."""
        raise Error(f"logs of {node} cannot be read from here", resolution="Read them on the node.")

    # Breaking on purpose, for experiments. Nothing of it is remembered by a node that is made anew.

    def first(self, node: str, role: str, argv: Sequence[str]) -> Iterator[bytes]:
        """What a command prints where the role's process runs, in pieces as it comes; all at its end where it cannot
        be had sooner. It is run as root, and may go before all else there, by a real-time priority (sched(7)), if the
        role has SYS_NICE. NotFound when the process does not run."""
        yield self.execute(node, role, argv, user="root").stdout.encode()

    def freeze(self, node: str, role: str = "") -> None:
        """The role's processes, or without a name all of the node's, stand still where they are; connections stay
        open. What does not run is left alone. Raises Error where that cannot be done."""
        raise _unbreakable(node)

    def thaw(self, node: str, role: str = "") -> None:
        """They go on; who does not stand still is left alone."""
        raise _unbreakable(node)

    def end(self, node: str, role: str, now: Callable[[], None] = lambda: None) -> None:
        """The role's processes are killed, as by the kernel: whoever starts them anew after a crash does so now; `now`
        is called right before. NotFound if none runs."""
        raise _unbreakable(node)

    def limit(self, node: str, role: str, *, cores: float, memory: int) -> None:
        """The role's processes get this share of a core, and so many bytes of memory; 0 for as much as there is.
        NotFound if none runs."""
        raise _unbreakable(node)

    def set_clock(self, node: str, when: float) -> None:
        """The node's clock says this Unix time from now on; what keeps it right is not told. Only where a node has a
        clock of its own."""
        raise _unbreakable(node)

    def fill(self, node: str, folder: str, *, full: bool) -> None:
        """Nothing is left for others than root on the folder's file system, or what took it is gone. Only where a node
        has a disk of its own."""
        raise _unbreakable(node)

    def examinations(self) -> Mapping[str, Question]:
        """What `seter doctor` asks, by the name of the engine or host that it is asked about. Each may be called in a
        thread of its own, changes nothing, and raises an Error at most for what it could not foresee."""
        return {}

    def owners(self) -> Mapping[str, str]:
        """Node → the deployment whose mark was on it at the last observation; none where nodes can have no other's."""
        return {}

    def claim(self, node: str, owner: str) -> None:
        """A node with the mark of the deployment `owner` is this one's from now on; nothing else changes. Raises
        Conflict for a node of a third, Error where marks are for life."""
        raise Error(
            f"{node} cannot change its deployment", resolution="Make it anew: destroy it there, deploy it here."
        )

    def packages(self, node: str) -> tuple[InstalledPackage, ...] | None:
        """What is installed on a running node, where its processes run from that; None where they run from
        artefacts. Changes nothing."""
        return None

    # Nodes with two slots for a root file system. What is not there cannot be written.

    def ready_slot(self, node: str) -> None:
        """The idle slot may be written: the one that runs is the one that boots without a word. Raises BadInput for a
        node that cannot be written."""
        raise BadInput(f"{node} cannot be written: nodes of its kind cannot", resolution="Take `written` out.")

    def write_slot(self, node: str, system: Written, data: Iterable[bytes], within: timedelta) -> None:
        """The idle slot holds this root file system, a packed tar. Once it is booted the node leaves it by itself when
        nobody is `heard` for `within`; 0 for never. Cut off, nothing boots it."""
        self.ready_slot(node)

    def boot_slot(self, node: str, system: Written, order: Sequence[tuple[str, int]], *, keep: bool) -> None:
        """Processes stop, in the reverse of this order, and the node has booted the slot that was written, once. With
        `keep` it can `go_back` from then on. Raises Error for one that came back in the slot of before, Unavailable."""
        self.ready_slot(node)

    def confirm_slot(self, node: str) -> None:
        """The slot that runs boots without a word from now on. Twice is once."""
        self.ready_slot(node)

    # Whether a node that is made anew can be gone back to whole: `ensure` leaves the one that is kept.
    sets_nodes_aside = False

    def sets_aside(self, node: str) -> bool:
        """Whether that is so for this node."""
        return self.sets_nodes_aside

    # Going back. A kind of target whose nodes cannot go back inherits these.

    def keep(self, node: str) -> bool:
        """What lies and runs on a running node now can be gone back to until `forget`; whether it can. What is kept
        stays as it is when this is called again: it is what ran before a roll-out that may have been cut off."""
        return False

    def set_aside(self, node: str, role: str, within: int) -> None:
        """Stop the role's process as `remove_role` does; what it ran in stays as far as it is kept."""
        self.remove_role(node, role, within)

    def go_back(self, node: str, order: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """Files and processes are again those that were kept; the roles that went on running, and have to read their
        files again. `order` has the roles as they start, and the seconds that each has to stop. Where nothing is kept
        nothing was changed. Raises Error where nodes cannot go back."""
        raise Error(f"{node} cannot go back: nodes of its kind cannot", resolution="Mend the definitions and deploy.")

    def arm(self, node: str, roles: Collection[str], within: int) -> bool:
        """From now on the node goes back by itself when it has not been told for `within` seconds that it is `heard`;
        these roles are about to be changed. Whether nodes of this kind can."""
        return False

    def heard(self, node: str) -> bool:
        """Tell the node that who changes it can still reach it; whether it is waiting for that."""
        return False

    def disarm(self, node: str) -> bool:
        """The node stays as it is, whatever it hears; whether it would have gone back by itself."""
        return False

    def forget(self, node: str, *, gone_back: bool = False) -> bool:
        """What was kept is not needed any more, since all went well or, with `gone_back`, since it is in use again;
        whether there was anything."""
        return False

    @abstractmethod
    def halt(self) -> None:
        """The run is to end: calls of other threads that would wait long raise KeyboardInterrupt soon."""

    @abstractmethod
    def kill(self, node: str) -> None:
        """Cut the power: the node and all its processes end at once, without a word. Its state stays."""

    @abstractmethod
    def destroy(self) -> tuple[str, ...]:
        """Remove all that carries the deployment's mark, and nothing else; the names of what was removed."""
