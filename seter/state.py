"""What a node is meant to be and what it is: both have the same shape, so a plan is a comparison.

All digests are hexadecimal SHA-256; those that cover secrets are keyed (HMAC) and say nothing about a secret's value.
An empty digest stands for "there is none".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.role import OnChange

CHANGED = "changed: "  # begins what stands for the digest of an artefact that is not as it was left


def digest_of(*parts: object) -> str:
    """SHA-256 over the JSON of these parts; mappings are sorted, so equal content gives equal digests."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RoleState:
    """One role on one node.

    `artifact` is the manifest digest of what its process runs from, `files` covers its files on the node, `process`
    what the running process last read, `start` the part of that which only a new start can change.
    """

    artifact: str
    files: str
    process: str
    start: str
    running: bool = True

    @property
    def has_process(self) -> bool:
        """False for a role that only brings files."""
        return bool(self.process)


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node: `shape` covers what it is made of, `files` and `secrets` what lies on it, `identity` is this one life.

    `identity` (container id and time of start) changes when the node is made anew or restarted; it is empty in what is
    wanted. `cluster` holds what the last successful cluster step of a role left behind.
    """

    shape: str
    files: str
    secrets: str
    roles: tuple[tuple[str, RoleState], ...]
    running: bool = True
    identity: str = ""
    cluster: tuple[tuple[str, str], ...] = ()
    kept: bool = False  # a roll-out that has not ended yet can put it back to what ran before
    alone: bool = False  # it has begun to go back by itself, since it heard nothing
    system: str = ""  # digest of the root file system that is booted; '' where none is written
    slot: str = ""  # a or b: the one that is booted; '' where there are none
    on_trial: bool = False  # that one is booted this once: without a word the next boot is of the other

    def role(self, name: str) -> RoleState | None:
        """The role of this name, or None."""
        return dict(self.roles).get(name)

    @property
    def serves(self) -> bool:
        """The node runs and so does every process on it."""
        processes = [state for _, state in self.roles if state.has_process]
        return self.running and bool(processes) and all(state.running for state in processes)


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A Debian package on a host, and the source package that it was built from."""

    name: str
    version: str
    source: str
    source_version: str


@dataclass(frozen=True, slots=True)
class Written:
    """A root file system: the artefact's digest, and SHA-256 in hexadecimal of the packed tar that it consists of."""

    artifact: str
    blob: str


@dataclass(frozen=True, slots=True)
class WantedRole:
    """What the plan has to know about a role of a group."""

    name: str
    on_change: OnChange = OnChange.RESTART
    reloads: bool = False
    has_process: bool = True
    has_cluster_step: bool = False


@dataclass(frozen=True, slots=True)
class WantedGroup:
    """A group: roles in the order in which they start, nodes in the order of the target's file."""

    name: str
    roles: tuple[WantedRole, ...]
    nodes: tuple[str, ...]
    first: str = ""  # the node that cluster steps run on: the one with the lowest number, whatever the file's order
    withdraws: bool = False
    at_least: int = 1  # so many nodes it needs to serve


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that a deployment is meant to be."""

    deployment: str
    networks: tuple[str, ...]
    groups: tuple[WantedGroup, ...]
    nodes: Mapping[str, NodeState]


@dataclass(frozen=True, slots=True)
class Subnets:
    """The addresses of one network: prefixes in CIDR notation, of both families."""

    v4: str
    v6: str


@dataclass(frozen=True, slots=True)
class Place:
    """A node's place in its deployment; it keeps it for life, whatever is added or removed around it."""

    group: str
    index: int  # from 1, within the group
    number: int  # from 1, within the deployment; the host part of its addresses


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that is there of a deployment. `unreachable` has nodes that did not answer, and why; `ahead` the
    seconds that the clocks of machines are ahead of ours, where it is another one's."""

    networks: Mapping[str, Subnets]
    nodes: Mapping[str, NodeState]
    places: Mapping[str, Place]
    unreachable: Mapping[str, str] = field(default_factory=dict)
    ahead: Mapping[str, float] = field(default_factory=dict)


OWED = "owed"  # mark of a cluster step that was done once and has to be done again; '' if it never was


def cluster_mark(role: str, first: RoleState, lives: Iterable[tuple[str, str]]) -> str:
    """What a successful cluster step of `role` leaves behind.

    It covers what the step reads (the role's files and secrets on the first node) and every member's present life: one
    that came back with an empty memory needs the step again.
    """
    return digest_of("cluster 1", role, first.files, first.start, sorted(lives))
