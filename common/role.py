"""The nouns of `role.hcl`: what a role is made of. `common.catalog` reads them from files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias


class RoleType(StrEnum):
    """What a role is for: a service has a process, clients talk to an endpoint, a component has no process."""

    SERVICE = "service"
    ENDPOINT = "endpoint"
    COMPONENT = "component"


class ParameterType(StrEnum):
    """Types of values that a parameter can have; `list(T)` is a list of T."""

    NAME = "name"  # DNS name
    ADDRESS = "address"  # IPv4 or IPv6 address
    PREFIX = "prefix"  # address/length
    PORT = "port"  # 1 to 65535
    ASN = "asn"  # 1 to 4294967294
    DURATION = "duration"  # "500ms", "10s", "15m", "12h"
    SIZE = "size"  # "64KiB", "4GiB"
    COUNT = "count"  # integer, 0 or more
    FLAG = "flag"  # true or false
    CHOICE = "choice"  # one of `choices`
    NODES = "nodes"  # the name of a group; the role gets its nodes
    TEXT = "text"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something was written. Nouns carry it for messages; it is no part of what they are, so never compared."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


NOWHERE = Place()
Places: TypeAlias = "tuple[tuple[str, Place], ...]"  # of attributes, by name

Value: TypeAlias = "str | int | bool | timedelta | tuple[Value, ...]"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a system can tell a role. Without a default it must be given."""

    name: str
    type: ParameterType
    summary: str
    many: bool = False
    choices: tuple[str, ...] = ()
    default: Value | None = None
    required: bool = True
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Image:
    """How one kind of image of the role is made. `base` names a base image (systems/bases) or another role."""

    kind: str
    base: str
    disk: int | None = None  # bytes; vm only
    # Or "booted": the root file system of machines is installed in one that runs. Recipes of these say it themselves.
    build: str = field(default="unpacked", compare=False)
    # Bytes. A budget is held by a check: it is no part of what is made, so another one builds nothing anew.
    size_at_most: int | None = field(default=None, compare=False)
    environment: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    # None keeps what the base says, () empties it.
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    place: Place = field(default=NOWHERE, compare=False, repr=False)


class OnChange(StrEnum):
    """What a process needs when its configuration changed."""

    RESTART = "restart"
    RELOAD = "reload"
    NOTHING = "nothing"


CPU_WEIGHT = 100  # what a process has that says nothing: systemd.resource-control(5)


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a role: a systemd unit on a host, a container on a container node."""

    command: tuple[str, ...]
    type: str = "simple"  # or "notify", "oneshot"
    user: str = "root"
    uid: int = 0
    groups: tuple[str, ...] = ()  # supplementary, by name; they exist in the image
    capabilities: tuple[str, ...] = ()  # without CAP_
    cpu_weight: int = CPU_WEIGHT
    listens: tuple[int, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    validate: tuple[str, ...] = ()
    reload: tuple[str, ...] = ()
    on_change: OnChange = OnChange.RESTART
    cuts_off: bool = False  # a change of it may cut its node off from whoever made it
    restart: str = "on-failure"  # or "always", "no"
    stop_signal: str = "SIGTERM"
    stop_within: timedelta = timedelta(seconds=10)
    place: Place = field(default=NOWHERE, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Check:
    """A live probe. Exactly one of `http`, `command`, `s3`, `routes` is set."""

    name: str
    http: str = ""
    command: tuple[str, ...] = ()
    s3: str = ""  # name of the parameter that holds the service name
    routes: str = ""  # name of the parameter that holds the prefixes
    on: str = ""  # group that the check runs on; systems only
    expect: str = ""  # status code, or group whose size is the number of next hops
    service: str = ""  # whose name or addresses; empty for those of the system itself
    through: str = ""  # group whose nodes are used one at a time, each by its own address; systems only
    throughout: bool = False  # one long use, through a whole roll-out; systems only
    sizes: tuple[int, ...] = ()  # bytes of the objects of an `s3` check; empty for one small one
    within: timedelta = timedelta(seconds=30)
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SecretNeed:
    """A secret file that a role reads at /etc/seter/secrets/<role>/<name>.

    `make` is how it is generated: `certificate` gives NAME.crt, NAME.key and ca.crt signed by the deployment's CA,
    `password` a random text, `cephx` a Ceph key. With scope `deployment` every role that names it gets the same value,
    with `node` each node has its own.
    """

    name: str
    make: str
    scope: str = "deployment"
    names: tuple[str, ...] = ()  # of a certificate: "node", or names of parameters that hold names or addresses
    # What the process needs when NAME.crt and NAME.key are drawn anew; "nothing" if it reads them for each connection.
    on_change: OnChange = OnChange.RESTART
    given: str = ""  # of a certificate or password: name of the parameter that may say where the operator's own is
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Opening:
    """Ports of the role that others reach, and who they are; what no opening names, nobody else has to reach."""

    name: str
    ports: tuple[str, ...]  # "443", or "6800-7300"
    sources: tuple[str, ...]  # "anyone", or names of parameters that hold a group's nodes or addresses
    protocol: str = "tcp"  # or "udp"
    place: Place = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Restore:
    """How a role takes back a copy of its state: every node prepares, and only when all have, every node commits."""

    prepare: tuple[str, ...]  # `{file}` is the copy on the node
    commit: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Role:
    """An Ansible role with its `role.hcl`."""

    name: str
    type: RoleType
    summary: str
    folder: Path
    software: str = ""  # "pypi:NAME==VERSION"
    software_sha256: str = ""
    packages: tuple[str, ...] = ()  # Debian package names; the first one's version is the image's without `software`
    needs: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()  # what the node's kernel must be set to
    images: tuple[Image, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    process: Process | None = None
    secrets: tuple[SecretNeed, ...] = ()
    checks: tuple[Check, ...] = ()
    openings: tuple[Opening, ...] = ()
    status: tuple[str, ...] = ()
    answers_as: bool = False  # its status tells what its answers to clients call it, by this key
    backup: tuple[str, ...] = ()  # command that puts a copy of the role's state into a file
    restore: Restore | None = None
    maintain: tuple[str, ...] = ()  # command that keeps the role's state in order
    setuid: tuple[str, ...] = ()  # files that may be setuid or setgid
    metrics: int = 0  # port where Prometheus finds this role's metrics; 0 for none
    per_service: tuple[str, ...] = ()  # parameters that it takes for each service of the system by itself
    place: Place = field(default=NOWHERE, compare=False, repr=False)
    places: Places = field(default=(), compare=False, repr=False)

    @property
    def variable_prefix(self) -> str:
        """Ansible variables of the role start with this: `bird_gateway_`."""
        return self.name.replace("-", "_") + "_"


@dataclass(frozen=True, slots=True)
class Base:
    """A base image that smie makes from Debian packages (`systems/bases/<name>.hcl`)."""

    name: str
    summary: str
    suite: str
    packages: tuple[str, ...]
    components: tuple[str, ...] = ("main",)
    kind: str = "container"  # or "rootfs"
    host: str = ""  # the base of machines that run the same roles as this one of containers
    setuid: tuple[str, ...] = ()  # files that stay setuid or setgid; all others lose it
    size_at_most: int | None = None  # bytes
    file: Path = Path()
    place: Place = field(default=NOWHERE, compare=False, repr=False)
