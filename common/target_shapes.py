"""The shapes of `targets/*.hcl`: what may stand in them and what it means."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from common.engine_shapes import as_interface, engine_faults, engine_shape
from common.hcl import Literal
from common.machine_shapes import MACHINE, as_cores, as_memory
from common.names import as_command, as_network_length, as_user
from common.role import NOWHERE, Place, Places
from common.schema import Inner, Setting, Shape
from common.source_shapes import SOURCE
from common.system import OUTAGE, Engine, Machine, Network, Node, Power, Service, Source
from common.system_shapes import NO_PARAMETERS, PARAMETERS, SERVICE, ParametersDraft
from common.values import (
    Wrong,
    as_address,
    as_duration,
    as_flag,
    as_label,
    as_port,
    as_prefix,
    as_text,
    many,
    one_of,
    shown,
)

TARGET_KINDS = ("baremetal", "virtual", "container")
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|[0-9a-fA-F:.]{2,45}")
JUMP = re.compile(
    r"(?:(?P<user>[a-z_][a-z0-9_-]{0,30})@)?"
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9a-fA-F:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]{1,60}")
_KEY = re.compile(r"[A-Za-z0-9+/]{32,4096}={0,2}")


def as_pool(literal: Literal) -> str:
    """An IPv4 prefix."""
    pool = as_prefix(literal)
    if ":" in pool:
        raise Wrong(f"{shown(literal)} is no IPv4 prefix", 'write one such as "10.213.0.0/16"; IPv6 comes beside it')
    return pool


def _network_faults(network: Network) -> Iterator[Wrong]:
    longest = ipaddress.ip_network(network.pool).prefixlen
    if network.length < longest:
        yield Wrong(f"a /{network.length} does not fit into {network.pool}", f"write {longest} or more", "length")


def as_prefix_of(version: int) -> Callable[[Literal], str]:
    """A function that takes a prefix of one family."""

    def take(literal: Literal) -> str:
        prefix = as_prefix(literal)
        if ipaddress.ip_network(prefix).version != version:
            raise Wrong(
                f"{shown(literal)} is no IPv{version} prefix", f"write it as prefix{'' if version == 4 else '6'}"
            )
        return prefix

    return take


NETWORK = Shape(
    name="network",
    summary="A network; its subnets are picked free, but in a `baremetal` target, where it is there already",
    make=Network,
    label="name",
    label_summary="name of the network",
    settings=(
        Setting("pool", "prefix", as_pool, "The IPv4 subnet is picked free from here; IPv6 is a unique local one"),
        Setting("length", "number", as_network_length, "Length of the IPv4 subnet"),
        Setting("prefix", "prefix", as_prefix_of(4), "What it is, where it is there already; `baremetal` must have it"),
        Setting("prefix6", "prefix", as_prefix_of(6), "What it is in IPv6, where it is there already"),
        Setting("parent", "name", as_interface, "Interface of the engines' machines on whose wire containers are"),
        Setting("gateway", "address", as_address, "Where containers on that wire send what is for elsewhere"),
    ),
    faults=_network_faults,
)


def as_family(version: int) -> Callable[[Literal], str]:
    """A function that takes an address of one family."""

    def take(literal: Literal) -> str:
        address = as_address(literal)
        if ipaddress.ip_address(address).version != version:
            other = "address6" if version == 4 else "address"
            raise Wrong(f"{shown(literal)} is no IPv{version} address", f"write it as {other}")
        return address

    return take


def _node(
    name: str,
    place: Place,
    parameters: ParametersDraft = NO_PARAMETERS,
    address: str = "",
    address6: str = "",
    addresses: tuple[str, ...] = (),
    networks: tuple[str, ...] = (),
    interface: str = "",
    manage: str = "",
    port: int = 0,
    host_key: str = "",
    kind: str = "",
    engine: str = "",
    memory: int = 0,
    cores: int = 0,
) -> Node:
    """The group is the outer block's to say; a port of 0 and an empty kind are the target's."""
    return Node(
        name,
        "",
        address,
        address6,
        addresses,
        networks,
        interface,
        manage,
        port,
        host_key,
        kind=kind,
        engine=engine,
        memory=memory,
        cores=cores,
        parameters=parameters.values,
        place=place,
        places=parameters.places,
    )


def as_place(literal: Literal) -> str:
    """A host's name or address, as ssh(1) takes one."""
    text = as_text(literal)
    if not _PLACE.fullmatch(text):
        raise Wrong(f"{shown(literal)} is no name and no address of a host", "write one without a user or a port")
    return text


def as_jump(literal: Literal) -> str:
    """`USER@HOST:PORT`; user and port may be left out (ssh_config(5), ProxyJump)."""
    text = as_text(literal)
    if not JUMP.fullmatch(text):
        raise Wrong(f"{shown(literal)} is no host to jump over", "write USER@HOST:PORT, or HOST alone")
    return text


def as_host_key(literal: Literal) -> str:
    """Type and key, as in a file of public keys (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""
    words = as_text(literal).split()
    if len(words) < 2 or not _KEY_TYPE.fullmatch(words[0]) or not _KEY.fullmatch(words[1]):
        fix = 'write "TYPE KEY", as /etc/ssh/ssh_host_ed25519_key.pub of the host has them'
        raise Wrong("this is no public key of a host", fix)
    return " ".join(words[:2])


HOST_KEY = Setting("host_key", "text", as_host_key, "Public key of its SSH server; else `seter trust` learns it")
KIND = Setting("kind", "choice", one_of(*TARGET_KINDS), "What it is, if not what the target says")
ENGINE_NAME = Setting(
    "engine", "name", as_label, "Engine that it is made on, else the one of DOCKER_HOST; of `container`"
)
ENGINE = engine_shape(HOST_KEY)

POWER = Shape(
    name="power",
    summary="Commands on the operator's machine that switch a node; `{node}` in them is its name",
    make=Power,
    settings=(
        Setting("off", "list of text", as_command, "Cuts its power", True),
        Setting("on", "list of text", as_command, "Gives it again", True),
    ),
)


NODE = Shape(
    name="node",
    summary="A machine, a virtual machine or a container",
    make=_node,
    label="name",
    label_summary="host name, once in a target",
    settings=(
        Setting("address", "address", as_family(4), "IPv4 address that it is reached at; `baremetal` must have one"),
        Setting("address6", "address", as_family(6), "IPv6 address"),
        Setting("addresses", "list of addresses", many(as_address), "Further ones, on other networks; of `baremetal`"),
        Setting("networks", "list of networks", many(as_label), "Networks that it is on, the first one first"),
        Setting("interface", "name", as_text, "Interface to the routers"),
        Setting("manage", "name", as_place, "Name or address for SSH, if it is another than `address`"),
        Setting("port", "port", as_port, "Port of its SSH server, if it is not the target's"),
        HOST_KEY,
        KIND,
        ENGINE_NAME,
        Setting("memory", "size", as_memory, "Of this one; of `virtual`"),
        Setting("cores", "number", as_cores, "Of this one; of `virtual`"),
    ),
    inner=(Inner(PARAMETERS, "parameters", one=True),),
)


@dataclass(frozen=True, slots=True)
class NodesDraft:
    """The nodes of one group."""

    group: str
    kind: str = ""
    engine: str = ""
    nodes: tuple[Node, ...] = ()
    written: bool = False
    place: Place = NOWHERE


NODES = Shape(
    name="nodes",
    summary="The nodes of one group",
    make=NodesDraft,
    label="group",
    label_summary="name of a group of the system",
    settings=(
        KIND,
        ENGINE_NAME,
        Setting(
            "written",
            "flag",
            as_flag,
            "The group's root file system is written to the idle slot of each disk, not installed; of `baremetal`",
        ),
    ),
    inner=(Inner(NODE, "nodes", required=True),),
)


EXISTING = Shape(
    name="existing",
    summary="The nodes of one group that others run: looked at by name and address, never touched; beside hosts",
    make=NodesDraft,
    label="group",
    label_summary="name of a group of the system",
    inner=(Inner(NODE, "nodes", required=True),),
)


@dataclass(frozen=True, slots=True)
class TargetDraft:
    """A target with its nodes still by group. Defaults are those of `common.system.Target`."""

    name: str
    kind: str
    user: str = ""
    image: str = ""
    port: int = 22
    jump: str = ""
    identity_file: str = ""
    snapshot: str = ""
    experiments: bool = False
    outage: timedelta = OUTAGE
    power: Power | None = None
    machine: Machine | None = None
    networks: tuple[Network, ...] = ()
    engines: tuple[Engine, ...] = ()
    nodes: tuple[NodesDraft, ...] = ()
    existing: tuple[NodesDraft, ...] = ()
    sources: tuple[Source, ...] = ()
    parameters: ParametersDraft = NO_PARAMETERS
    services: tuple[Service, ...] = ()
    place: Place = NOWHERE
    places: Places = ()

    @property
    def blocks(self) -> tuple[NodesDraft, ...]:
        """Groups of nodes, whoever runs them."""
        return *self.nodes, *self.existing

    @property
    def members(self) -> tuple[Node, ...]:
        """All nodes, each with its group and its port."""
        return tuple(
            replace(
                node,
                group=each.group,
                existing=each in self.existing,
                port=node.port or self.port,
                kind=node.kind or each.kind or self.kind,
                engine=node.engine or each.engine,
                written=each.written,
            )
            for each in self.blocks
            for node in each.nodes
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of all nodes that are ours, each once."""
        return tuple(dict.fromkeys(node.kind for node in self.members if not node.existing)) or (self.kind,)


def _homeless(target: TargetDraft) -> Iterator[Wrong]:
    """Addresses of nodes that lie in none of the networks, or in one that the node has an address in already."""
    prefixes = [
        ipaddress.ip_network(prefix)
        for network in target.networks
        for prefix in (network.prefix, network.prefix6)
        if prefix
    ]
    for node in (node for each in target.blocks for node in each.nodes):
        taken: set[object] = set()
        for text in filter(None, (node.address, node.address6, *node.addresses)):
            home = next((prefix for prefix in prefixes if ipaddress.ip_address(text) in prefix), None)
            if home is None:
                yield Wrong(f'node "{node.name}": {text} is in none of the networks', "add a network that it is in")
            elif home in taken:
                yield Wrong(f'node "{node.name}" has two addresses in {home}', "leave one of them out")
            taken.add(home)


def _target_faults(target: TargetDraft) -> Iterator[Wrong]:
    """Those of a target whose nodes are all known."""
    if not target.sources:
        yield from target_faults(target)


def target_faults(target: TargetDraft) -> Iterator[Wrong]:
    """What cannot be together; for a target that has all its nodes."""
    if not target.nodes:
        yield Wrong("holds no nodes", 'add nodes "…" { … }')
    kinds, members = target.kinds, target.members
    if "container" in kinds and not target.image:
        yield Wrong("a container target needs an image", 'add image = "BASE", what its nodes are made of')
    if "virtual" in kinds and target.machine is None:
        yield Wrong("nobody makes the nodes of a virtual target", 'add machine "qemu" {}')
    if "virtual" not in kinds and target.machine is not None:
        yield Wrong(f"a machine block in a {target.kind} target", "leave it out")
    for node in members:
        if (node.memory or node.cores) and (node.kind or target.kind) != "virtual":
            yield Wrong(f'node "{node.name}" has memory or cores, and is no virtual machine', "leave them out")
    is_metal = "baremetal" in kinds
    for network in target.networks:
        where = f'network "{network.name}" of a {" and ".join(kinds)} target'
        if kinds == ("baremetal",) and not network.prefix:
            yield Wrong(f"{where} has no prefix", 'add prefix = "10.20.0.0/24": it is there already')
        if not is_metal and (network.prefix or network.prefix6) and not network.parent:
            yield Wrong(f"{where} has a prefix", "leave it out: one is picked free from its pool")
    yield from engine_faults(target.members, target.networks, target.engines)
    yield from _homeless(target) if is_metal and target.networks else ()
    if not is_metal and target.existing:
        yield Wrong(f"nodes that others run in a {target.kind} target", "leave `existing` out")
    for each in (each for each in target.nodes if each.written and (each.kind or target.kind) != "baremetal"):
        yield Wrong(f'nodes "{each.group}" are written, which only `baremetal` can be', "leave `written` out")


TARGET = Shape(
    name="target",
    summary="Where the nodes of a system come from",
    make=TargetDraft,
    label="name",
    label_summary="name of its file",
    settings=(
        Setting("kind", "choice", one_of(*TARGET_KINDS), "`baremetal`, `virtual` or `container`", True),
        Setting("user", "name", as_user, "User to log in as, else root; others need sudo without a password"),
        Setting("port", "port", as_port, "Port of SSH servers, else 22"),
        Setting("jump", "host", as_jump, "`USER@HOST:PORT` to go over; of `baremetal`"),
        Setting("identity_file", "path", as_text, "Private key to log in with, else what ssh finds; of `baremetal`"),
        Setting("snapshot", "text", as_text, "Snapshot of packages in the store that hosts are installed from"),
        Setting("image", "base", as_label, "Base image that nodes are made of; `container` must have one"),
        Setting("experiments", "flag", as_flag, "Nodes may be broken on purpose"),
        Setting("outage", "duration", as_duration, "So long after a cut of power new requests may fail; else 1s"),
    ),
    inner=(
        Inner(NETWORK, "networks"),
        Inner(ENGINE, "engines"),
        Inner(PARAMETERS, "parameters", one=True),
        Inner(SERVICE, "services"),
        Inner(NODES, "nodes"),
        Inner(SOURCE, "sources"),
        Inner(EXISTING, "existing"),
        Inner(POWER, "power", one=True),
        Inner(MACHINE, "machine", one=True),
    ),
    faults=_target_faults,
)
