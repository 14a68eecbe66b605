"""The nouns of `system.hcl` and `targets/*.hcl`. `common.catalog` reads them from files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from common.role import NOWHERE, Check, Image, Place, Places, Role, Value

OUTAGE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class RoleUse:
    """A role in a group, with the parameters that this group gives it (defaults and the system's not merged in).

    They are as written; `common.parameters.resolve` gives them their types.
    """

    role: Role
    parameters: tuple[tuple[str, Value], ...] = ()
    artifact: str = ""  # a pinned artefact, `container/traefik:3.7.15-…`; empty for the newest
    place: Place = field(default=NOWHERE, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are alike. Roles start in this order and stop in the reverse."""

    name: str
    roles: tuple[RoleUse, ...]
    at_least: int = 1
    summary: str = ""
    images: tuple[Image, ...] = ()
    withdraw: tuple[str, ...] = ()  # command on the node that moves new traffic away
    idle_ports: tuple[int, ...] = ()
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a change goes over a group."""

    canary: int = 1
    at_once: int = 1
    watch: timedelta = timedelta(seconds=10)
    confirm: timedelta = timedelta(seconds=60)
    budget: int = 0
    on_failure: str = "roll back"  # or "stop"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that is not to be met: `than` is "<" or ">"."""

    than: str
    value: float

    def is_met(self, number: float) -> bool:
        """The number is beyond."""
        return number < self.value if self.than == "<" else number > self.value

    def __str__(self) -> str:
        return f"{self.than} {self.value:g}"


@dataclass(frozen=True, slots=True)
class WatchRow:
    """A row of the live view. The query's values are shown by their label `by`; without it the worst of them alone."""

    title: str
    query: str  # PromQL
    unit: str = ""
    by: str = ""
    warn: Threshold | None = None
    bad: Threshold | None = None


@dataclass(frozen=True, slots=True)
class WatchList:
    """What the live view asks a Prometheus on the nodes of the group `on`, at the URL `prometheus` there."""

    on: str
    prometheus: str
    rows: tuple[WatchRow, ...]


MAIN = "main"  # the service that the parameters of a system describe


@dataclass(frozen=True, slots=True)
class Service:
    """What the system serves beside the first service, which its parameters describe: what differs is said here."""

    name: str
    parameters: tuple[tuple[str, Value], ...] = ()
    place: Place = field(default=NOWHERE, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class System:
    """A set of artefacts that make one thing run."""

    name: str
    summary: str
    folder: Path
    groups: tuple[Group, ...]
    parameters: tuple[tuple[str, Value], ...] = ()
    services: tuple[Service, ...] = ()
    checks: tuple[Check, ...] = ()
    rollout: Rollout = Rollout()
    watch: WatchList | None = None
    place: Place = field(default=NOWHERE, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Network:
    """A network. A subnet of `length` is picked free from `pool`, but where the network is there already."""

    name: str
    pool: str = "10.213.0.0/16"
    length: int = 24
    prefix: str = ""  # of a network that is there already: what it is, in CIDR notation
    prefix6: str = ""
    parent: str = ""  # interface of the engines' machines that containers share the wire of (macvlan)
    gateway: str = ""  # of such a network: where containers send what is for elsewhere; else the last address but one
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine, a virtual machine or a container that carries a group's roles."""

    name: str
    group: str
    address: str = ""
    address6: str = ""
    addresses: tuple[str, ...] = ()  # further ones, of either family, on other networks
    networks: tuple[str, ...] = ()
    interface: str = ""
    manage: str = ""  # where SSH finds it, if not at `address`
    port: int = 22  # of its SSH server
    host_key: str = ""  # "TYPE KEY", if it is pinned
    existing: bool = False  # others run it: it is looked at and never touched
    kind: str = ""  # of target that it is of, if that is not the target's own
    engine: str = ""  # of a container: where it runs; empty for the one of DOCKER_HOST
    memory: int = 0  # of a virtual machine, in bytes; 0 is what the target says
    cores: int = 0
    written: bool = False  # its root file system is written to one of two slots of its disk, not installed
    parameters: tuple[tuple[str, Value], ...] = ()
    place: Place = field(default=NOWHERE, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Power:
    """Commands on the operator's machine that switch a node; `{node}` stands for its name."""

    off: tuple[str, ...]
    on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Engine:
    """A Docker engine: at `unix://PATH`, `ssh://USER@HOST:PORT/PATH`, or `tcp://HOST:PORT` with TLS."""

    name: str
    url: str
    ca: str = ""  # paths on the operator's machine: who signed the engine's certificate, ours, and its key
    cert: str = ""
    key: str = ""
    host_key: str = ""  # of an SSH server, if it is pinned
    parents: tuple[tuple[str, str], ...] = ()  # network → interface of this engine's machine, where it is another
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """Where nodes of a group come from, which the target does not name: one of command, file and Terraform's folder."""

    group: str
    command: tuple[str, ...] = ()
    file: str = ""
    terraform: str = ""
    output: str = ""
    within: timedelta = timedelta(seconds=30)
    may_be_empty: bool = False
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Machine:
    """What makes virtual machines, their size. `memory` and `disk` in bytes; `disk` is what keeps a node's state."""

    module: str
    memory: int = 512 << 20
    cores: int = 1
    disk: int = 1 << 30
    accelerator: str = "tcg"
    flavor: str = ""  # of a cloud, which then says memory and cores
    cloud: str = ""  # its name in clouds.yaml
    router: str = ""  # id of the router that networks are joined to; empty for none
    allowed: tuple[str, ...] = ()  # prefixes that nodes answer for beside their own addresses
    uri: str = ""  # of libvirt
    providers: str = ""  # where Terraform gets providers: URL of a network mirror, or a folder


@dataclass(frozen=True, slots=True)
class Target:
    """Where a system's nodes come from."""

    name: str
    kind: str  # "baremetal", "virtual", "container"; of all nodes that do not say another
    nodes: tuple[Node, ...]
    file: Path
    user: str = ""  # to log in as; empty for root
    jump: str = ""  # USER@HOST:PORT that SSH goes over
    identity_file: str = ""
    snapshot: str = ""  # of packages, that hosts are installed from; empty for the machine's mirror
    power: Power | None = None
    machine: Machine | None = None  # virtual targets: what makes the nodes
    image: str = ""  # container targets: the base image that nodes are made of
    networks: tuple[Network, ...] = ()
    engines: tuple[Engine, ...] = ()
    parameters: tuple[tuple[str, Value], ...] = ()
    services: tuple[Service, ...] = ()
    experiments: bool = False  # nodes may be broken on purpose
    outage: timedelta = OUTAGE  # so long after a node lost its power new requests may fail
    place: Place = field(default=NOWHERE, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)
    kinds: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """Of all nodes that are ours, each once. Asked for each role of each node, so it is found once."""

    def __post_init__(self) -> None:
        kinds = dict.fromkeys(self.kind_of(node) for node in self.managed)
        object.__setattr__(self, "kinds", tuple(kinds) or (self.kind,))

    def kind_of(self, node: Node) -> str:
        """What the node is."""
        return node.kind or self.kind

    @property
    def managed(self) -> tuple[Node, ...]:
        """The nodes that are ours to make and change."""
        return tuple(node for node in self.nodes if not node.existing)

    def made_networks(self) -> tuple[Network, ...]:
        """Networks that are made: hosts find theirs, so beside hosts only those that other nodes are on too."""
        if "baremetal" not in self.kinds:
            return self.networks
        made = [node for node in self.managed if self.kind_of(node) != "baremetal"]
        return tuple(each for each in self.networks if any(each.name in node.networks for node in made))


@dataclass(frozen=True, slots=True)
class Deployment:
    """One system on one target, once. Everything that it creates carries this."""

    system: str
    target: str
    instance: str = "main"

    def __str__(self) -> str:
        return f"{self.system}/{self.target}/{self.instance}"

    @property
    def prefix(self) -> str:
        """Start of the names of its containers, networks and volumes."""
        return f"{self.system}.{self.target}.{self.instance}"
