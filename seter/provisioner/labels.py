"""The marks that every container, network and volume of ours carries, and what they say when read back. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from common.errors import Conflict
from common.role import Process
from common.system import Deployment
from seter.provisioner.interface import NodeShape
from seter.state import NodeState, Place, RoleState, Subnets
from seter.tree import Lying, files_digest, tree_digest

DEPLOYMENT = "seter.deployment"
PART = "seter.part"  # node, role, guard, network or volume
NODE = "seter.node"
GROUP = "seter.group"
INDEX = "seter.index"
NUMBER = "seter.number"
SHAPE = "seter.shape"
ROLE = "seter.role"
NETWORK = "seter.network"
TYPE = "seter.type"  # of the process: simple, notify, oneshot
USER = "seter.user"  # who the process runs as, and commands beside it
IMAGE = "seter.image"
ARTIFACT = "seter.artifact"
START = "seter.start"
PROCESS = "seter.process"
JOINED = "seter.joined"  # the life of the node that the process was started for

ASIDE = "_before"  # end of the name of a container that was set aside; no name of a role has such a letter

Listed = Mapping[str, Any]  # one entry of a list of Docker's: of containers, networks or volumes


class Named:
    """What things of a deployment are called."""

    deployment: Deployment

    def node_name(self, node: str) -> str:
        """Name of a node's container."""
        return f"{self.deployment.prefix}.{node}"

    def role_name(self, node: str, role: str) -> str:
        """Name of the container of a role's process."""
        return f"{self.deployment.prefix}.{node}.{role}"

    def network_name(self, network: str) -> str:
        """Name of a network."""
        return f"{self.deployment.prefix}.{network}"

    def volume_name(self, node: str, volume: str) -> str:
        """Name of one of a node's volumes."""
        return f"{self.deployment.prefix}.{node}.{volume}"


def of_part(deployment: Deployment, part: str) -> dict[str, str]:
    """What everything of a deployment carries."""
    return {DEPLOYMENT: str(deployment), PART: part}


def of_node(deployment: Deployment, shape: NodeShape, part: str = "node") -> dict[str, str]:
    """Labels of a node's container and of its volumes, which remember its place when the container is gone."""
    return of_part(deployment, part) | {
        NODE: shape.name,
        GROUP: shape.group,
        INDEX: str(shape.index),
        NUMBER: str(shape.number),
        SHAPE: shape.digest,
    }


def of_role(
    deployment: Deployment, node: str, role: str, state: RoleState, *, process: Process, image: str, joined: str
) -> dict[str, str]:
    """Labels of the container that a role's process runs in."""
    return of_part(deployment, "role") | {
        NODE: node,
        ROLE: role,
        TYPE: process.type,
        USER: process.user,
        IMAGE: image,
        ARTIFACT: state.artifact,
        START: state.start,
        PROCESS: state.process,
        JOINED: joined,
    }


def refuse_foreign(deployment: Deployment, what: str, names: Collection[str], found: Iterable[Listed]) -> None:
    """Raise Conflict for a thing with one of these names and without the deployment's mark."""
    for thing in found:
        own = (thing.get("Labels") or {}).get(DEPLOYMENT) == str(deployment)
        mine = {name.lstrip("/") for name in thing.get("Names", [thing.get("Name", "")])}.intersection(names)
        if mine and not own:
            raise Conflict(
                f"there is a {what} {mine.pop()} that this deployment did not make",
                resolution=f"It was not touched. Rename or remove the {what}, or deploy under another name with "
                "--instance.",
            )


def taken(networks: Iterable[Listed]) -> tuple[IPv4Network, ...]:
    """The IPv4 subnets of these networks."""
    pools = (pool for network in networks for pool in (network["IPAM"]["Config"] or []))
    return tuple(IPv4Network(pool["Subnet"], strict=False) for pool in pools if ":" not in pool.get("Subnet", ":"))


def place(labels: Mapping[str, str]) -> Place:
    """A node's place, as its container or a volume remembers it."""
    return Place(labels[GROUP], int(labels[INDEX]), int(labels[NUMBER]))


def is_aside(listed: Listed) -> bool:
    """It ran before a roll-out, and would again if that goes back."""
    return any(name.endswith(ASIDE) for name in listed["Names"])


def is_node(listed: Listed) -> bool:
    """A node as it is now."""
    return listed["Labels"].get(PART) == "node" and not is_aside(listed)


def is_role_of(listed: Listed, node: str) -> bool:
    """A process of the node as it is now."""
    labels = listed["Labels"]
    return bool(labels.get(ROLE)) and labels.get(NODE) == node and not is_aside(listed)


def runs(listed: Listed, lives: Collection[str]) -> bool:
    """Its process runs in the node's present life, or in an earlier one that this goes on with; a oneshot that ended
    well counts."""
    labels = listed["Labels"]
    if labels.get(JOINED) not in lives:
        return False
    if labels.get(TYPE) == "oneshot":
        return str(listed["State"]) == "exited" and str(listed["Status"]).startswith("Exited (0)")
    return str(listed["State"]) == "running"


def node_state(node: Listed, identity: str, roles: Iterable[Listed], lying: Lying, key: bytes) -> NodeState:
    """One node, from its container, those of its roles and what lies on it."""
    containers = {listed["Labels"][ROLE]: listed for listed in roles}
    names = sorted(set(containers) | set(lying.files) | set(lying.secrets))
    this, _, earlier = lying.life.partition(" ")
    lives = {identity, earlier} if this == identity else {identity}
    return NodeState(
        shape=node["Labels"].get(SHAPE, ""),
        files=tree_digest(lying.files),
        secrets=tree_digest(lying.secrets, key),
        roles=tuple((name, _role_state(name, containers.get(name), lives, lying)) for name in names),
        running=str(node["State"]) == "running",
        identity=identity,
        cluster=tuple(sorted(lying.cluster.items())),
        kept=lying.kept,
        alone=lying.alone,
    )


def _role_state(name: str, listed: Listed | None, lives: Collection[str], lying: Lying) -> RoleState:
    files = files_digest(lying.files.get(name, ()))
    if listed is None:
        return RoleState("", files, "", "", running=False)
    labels = listed["Labels"]
    # Somebody who gave the container's name to another image is found out by the image's id.
    artifact = labels.get(ARTIFACT, "") if listed["ImageID"] == labels.get(IMAGE) else f"image {listed['ImageID']}"
    start = labels.get(START, "") if listed["ImageID"] == labels.get(IMAGE) else "another image"
    process = _reloaded(lying.loaded.get(name, ""), listed["Id"]) or labels.get(PROCESS, "unknown")
    return RoleState(artifact, files, process, start, runs(listed, lives))


def _reloaded(mark: str, container: str) -> str:
    """What this very container read at its last reload; the mark of an earlier one says nothing."""
    owner, _, digest = mark.partition(" ")
    return digest if owner == container else ""


def loaded_mark(container: str, process: str) -> str:
    """The mark that `_reloaded` understands."""
    return f"{container} {process}"


def subnets(networks: Iterable[Listed]) -> dict[str, Subnets]:
    """Addresses of our networks, by the name that the target's file gives them."""
    found = {}
    for network in networks:
        prefixes = [pool["Subnet"] for pool in network["IPAM"]["Config"]]
        v4, v6 = (next((prefix for prefix in prefixes if (":" in prefix) is six), "") for six in (False, True))
        found[network["Labels"][NETWORK]] = Subnets(v4, v6)
    return found


def places(things: Iterable[Listed]) -> dict[str, Place]:
    """Where nodes are. Containers come after volumes, so what runs wins over what is left of an earlier life."""
    return {thing["Labels"][NODE]: place(thing["Labels"]) for thing in things}
