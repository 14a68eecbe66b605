"""Nodes as containers of a Docker engine.

A node is a tiny container that owns the network namespace, the kernel settings and the volumes; the containers of its
roles join it, as processes share a host. It needs no capability at all and has no restart policy: whoever starts it
again has to run the set-up and the roles after it. Every flag here was tried by hand (dockerd 20.10).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import docker.errors

from common.console import Report
from common.errors import Error, Partial
from common.role import Process, Role
from common.system import Deployment, Target
from seter.provisioner import labels
from seter.provisioner.docker_errors import running, translated
from seter.provisioner.engine import Way, way_to
from seter.provisioner.guard import Guard
from seter.provisioner.interface import Answer, Joined, NodeShape
from seter.provisioner.kept import Kept, life_of
from seter.provisioner.networks import Networked, wires
from seter.provisioner.trial import trial
from seter.provisioner.volumes import Volumes
from seter.software import Software
from seter.state import Observed, RoleState
from seter.tree import KEPT, ROOT, STATE, SWITCH, Lying, NodeTree, add_stream, mark_archive, read_archive, read_stream

THREADS = 16  # calls to the engine at once; they wait for it, not for our cores
REBOOT_WITHIN = 10  # seconds
T = TypeVar("T")


class ContainerProvisioner(Networked):
    """The nodes of one deployment on one engine."""

    def __init__(self, deployment: Deployment, way: Way | None = None, target: Target | None = None) -> None:
        """On the engine that is reached so; else on the one that DOCKER_HOST names, or the local one."""
        self.deployment, self.way = deployment, way or way_to(None, Path(), None)
        self.wires = wires(target) if target is not None else {}
        self._mark = f"{labels.DEPLOYMENT}={deployment}"
        self.engine: Any = self.way.api(THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self.kept = Kept(self.engine, self._mark, self.as_root)
        self.guard = Guard(self.engine, deployment)
        self.volumes = Volumes(self.engine, deployment)

    @classmethod
    def of(
        cls, deployment: Deployment, folder: Path, target: Target | None, software: Software | None
    ) -> ContainerProvisioner:
        """See the interface."""
        engine = target.engines[0] if target is not None and target.engines else None
        return cls(deployment, way_to(engine, folder, target), target)

    # looking

    def observe(self, key: bytes) -> Observed:
        """See the interface. One list call each for containers, networks and volumes, two calls for each node."""
        with translated("looking at the deployment"):
            listed, networks, volumes = self._listings()
            nodes = {c["Labels"][labels.NODE]: c for c in listed if labels.is_node(c)}
            looked = dict(zip(nodes, self._threads.map(self._look, nodes.values()), strict=True))
        states = {}
        for name, (identity, lying) in looked.items():
            roles = [c for c in listed if labels.is_role_of(c, name)]
            states[name] = labels.node_state(nodes[name], identity, roles, lying, key)
        return Observed(labels.subnets(networks), states, labels.places([*volumes, *nodes.values()]))

    def _listings(self) -> tuple[list[Any], list[Any], list[Any]]:
        mine = {"label": [self._mark]}
        containers = self._threads.submit(self.engine.containers, all=True, filters=mine)
        networks = self._threads.submit(self.engine.networks, filters=mine)
        volumes = self._threads.submit(self.engine.volumes, filters=mine)
        return containers.result(), networks.result(), volumes.result()["Volumes"] or []

    def _look(self, node: Mapping[str, Any]) -> tuple[str, Lying]:
        """A node's life and what lies on it."""
        identity = self._identity(node["Id"])
        try:
            stream, _ = self.engine.get_archive(node["Id"], ROOT)
            return identity, read_archive(b"".join(stream))
        except docker.errors.NotFound:
            return identity, Lying({}, {}, {}, {})

    def _identity(self, container: str) -> str:
        return life_of(self.engine.inspect_container(container))

    def refuse_foreign(self, nodes: Sequence[str], networks: Sequence[str], roles: Mapping[str, Sequence[str]]) -> None:
        """See the interface."""
        containers = {self.node_name(node) for node in nodes}
        containers |= {self.role_name(node, role) for node, names in roles.items() for role in names}
        volumes = frozenset[str]().union(*map(self.volumes.names, nodes))
        wanted_networks = {self.network_name(network) for network in networks}
        with translated("looking for names that are taken"):
            lists = (
                ("container", containers, self._threads.submit(self.engine.containers, all=True)),
                ("volume", volumes, self._threads.submit(self.engine.volumes)),
                ("network", wanted_networks, self._threads.submit(self.engine.networks)),
            )
            for what, names, listing in lists:
                found = listing.result()
                there = found["Volumes"] or [] if what == "volume" else found
                labels.refuse_foreign(self.deployment, what, names, there)

    # nodes

    def ensure(self, shape: NodeShape, tree: NodeTree) -> None:
        """See the interface. Files are laid before the node starts, so nothing ever runs on half of them."""
        with translated(f"making node {shape.name}"):
            existing = self._of_node(shape.name)
            if self._is(shape, existing):
                self.lay(shape.name, tree)
                return self.switch(shape.name, tree)
            kept = self.kept.set_node_aside(self.node_name(shape.name), shape.name)
            self._remove_containers(one for one in existing if one["Id"] not in kept)
            container = self._create(shape)
            self.engine.put_archive(container, ROOT, tree.archive())
            for network, v4, v6 in shape.networks[1:]:
                self.engine.connect_container_to_network(
                    container, self.network_name(network), ipv4_address=v4, ipv6_address=v6 or None
                )
            self.engine.start(container)
            # Some are in memory, which is there only now. A kill before this leaves a node that runs and lacks them.
            self.folders(shape.name, tree)
            if not kept:
                self.forget(shape.name)  # none of that could run on a new node

    def _of_node(self, node: str) -> list[Any]:
        filters = {"label": [self._mark, f"{labels.NODE}={node}"]}
        return list(self.engine.containers(all=True, filters=filters))

    @staticmethod
    def _is(shape: NodeShape, existing: Iterable[Mapping[str, Any]]) -> bool:
        return any(
            listed["Labels"].get(labels.PART) == "node"
            and listed["Labels"].get(labels.SHAPE) == shape.digest
            and listed["State"] == "running"
            for listed in existing
        )

    def _create(self, shape: NodeShape) -> str:
        volumes = self.volumes.make(shape)
        network, v4, v6 = shape.networks[0]
        host = self.engine.create_host_config(
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            network_mode=self.network_name(network),
            binds=[f"{volume}:{path}" for volume, path in volumes.items()],
            sysctls=dict(shape.sysctls),
        )
        plug = {
            self.network_name(network): self.engine.create_endpoint_config(ipv4_address=v4, ipv6_address=v6 or None)
        }
        made = self.engine.create_container(
            shape.image,
            command=["--", "sleep", "infinity"],
            entrypoint=["tini"],
            hostname=shape.name,
            name=self.node_name(shape.name),
            labels=labels.of_node(self.deployment, shape),
            host_config=host,
            networking_config=self.engine.create_networking_config(plug),
        )
        return str(made["Id"])

    def lay(self, node: str, tree: NodeTree) -> str:
        """See the interface."""
        self.folders(node, tree)
        with translated(f"writing files of {node}"):
            self.engine.put_archive(self.node_name(node), ROOT, tree.archive(suffix=".next"))
        return f"{ROOT}/{tree.trees_name()}"

    def switch(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        argv = ["sh", "-c", SWITCH, "switch", tree.trees_name(), tree.vault_name(), str(KEPT)]
        answer = self._execute(self.node_name(node), argv, user="root")
        if answer.code != 0:
            raise Error(f"files of {node} could not be switched", details=answer.stderr, resolution="Deploy again.")

    def folders(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        with translated(f"writing files of {node}"):
            self.engine.put_archive(self.node_name(node), STATE, tree.state_archive())
            self.engine.put_archive(self.node_name(node), "/run", tree.run_archive())

    def join(self, node: str, role: str) -> Joined:
        """See the interface."""
        with translated(f"looking at {node}"):
            identity = self._identity(self.node_name(node))
        return Joined(identity.partition("@")[0], self.role_name(node, role), identity)

    def means(self, node: str) -> Mapping[str, object]:
        """See the interface. Processes are started from here."""
        return {"access": "container", **self.way.variables()}

    def inside(self, node: str, role: str) -> Mapping[str, object]:
        """See the interface."""
        return {
            "ansible_connection": "community.docker.docker",
            "ansible_host": self.role_name(node, role),
            "ansible_docker_extra_args": self.way.words(),
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def started(self, node: str, role: str, process: Process, state: RoleState, image: str) -> Mapping[str, object]:
        """See the interface."""
        joined = self.join(node, role)
        marks = labels.of_role(self.deployment, node, role, state, process=process, image=image, joined=joined.identity)
        own = {"container": joined.container, "node_container": joined.node, "digest": state.process}
        return own | {"image": image, "labels": marks}

    def install(self, node: str, wanted: Sequence[tuple[Role, str]], report: Report) -> None:
        """See the interface. The software is in the images, which the engine has already."""

    def remove_role(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        with translated(f"stopping {role} on {node}"):
            found = self.engine.containers(all=True, filters={"label": [self._mark, f"{labels.ROLE}={role}"]})
            mine = [listed for listed in found if f"/{self.role_name(node, role)}" in listed["Names"]]
            for listed in mine:
                if listed["State"] in ("running", "restarting", "paused"):
                    self.engine.stop(listed["Id"], timeout=within)
            self._remove_containers(mine)

    def remove(self, node: str) -> None:
        """See the interface."""
        with translated(f"removing node {node}"):
            self._remove_containers(self._of_node(node))
            self.volumes.remove(f"{labels.NODE}={node}")

    def _remove_containers(self, listed: Iterable[Mapping[str, Any]]) -> None:
        """Roles first: they live in the node's namespace."""
        mine = list(listed)
        for part in ("guard", "role", "node"):
            ids = [container["Id"] for container in mine if container["Labels"].get(labels.PART) == part]
            self._each(self._remove_container, ids)

    def _remove_container(self, container: str) -> None:
        try:
            self.engine.remove_container(container, force=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if error.status_code != 409 or "already in progress" not in str(error.explanation):
                raise

    def _each(self, act: Callable[[str], object], things: Iterable[str]) -> None:
        list(self._threads.map(act, list(things)))

    # processes

    def execute(self, node: str, role: str, argv: Sequence[str], *, user: str = "") -> Answer:
        """See the interface."""
        name = self.role_name(node, role)
        with translated(f"looking for {role} on {node}"):
            marks = self.engine.inspect_container(name)["Config"]["Labels"]
        return self._execute(name, argv, user=user or marks.get(labels.USER, ""))

    def _execute(self, container: str, argv: Sequence[str], *, user: str) -> Answer:
        with translated(f"running {argv[0]} in {container}"):
            with running(container):
                made = self.engine.exec_create(container, list(argv), user=user)
                out, err = self.engine.exec_start(made["Id"], demux=True)
            code = self.engine.exec_inspect(made["Id"])["ExitCode"]
        return Answer(code, *((part or b"").decode(errors="replace") for part in (out, err)))

    def as_root(self, container: str, argv: Sequence[str]) -> Answer:
        """See `Breakable`."""
        return self._execute(container, argv, user="root")

    def try_out(self, node: str, image: str, argv: Sequence[str], *, user: str) -> Answer:
        """See the interface."""
        with translated(f"trying {argv[0]} on {node}"), trial(self.engine, image, self.node_name(node)) as container:
            return self._execute(container, argv, user=user)

    def restart(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        with translated(f"restarting {role} on {node}"):
            self.engine.restart(self.role_name(node, role), timeout=within)

    def reboot(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        with translated(f"rebooting {node}"):
            self.engine.restart(self.node_name(node), timeout=REBOOT_WITHIN)
        self.folders(node, tree)

    def logs(self, node: str, role: str, *, since: timedelta | None, follow: bool) -> Iterator[bytes]:
        """See the interface."""
        begin = (datetime.now(UTC) - since).timestamp() if since else None  # the SDK cuts a datetime to its second
        with translated(f"reading logs of {role} on {node}"):
            yield from self.engine.logs(self.role_name(node, role), stream=True, follow=follow, since=begin)

    def fetch(self, node: str, path: str, sink: BinaryIO) -> int:
        """See the interface. Read from the node's container, which has the volumes of all its roles."""
        with translated(f"reading {path} on {node}"):
            stream, _ = self.engine.get_archive(self.node_name(node), path)
            return read_stream(stream, sink)

    def put(self, node: str, path: str, source: BinaryIO, size: int, uid: int) -> None:
        """See the interface."""
        folder, _, name = path.rpartition("/")
        with translated(f"writing {path} on {node}"), tempfile.TemporaryFile() as archive:
            add_stream(archive, name, source, size, uid=uid)
            archive.seek(0)
            self.engine.put_archive(self.node_name(node), folder, archive)

    def loaded(self, node: str, role: str, process: str) -> None:
        """See the interface."""
        with translated(f"marking {role} on {node}"):
            container = self.engine.inspect_container(self.role_name(node, role))["Id"]
            mark = mark_archive("loaded", role, labels.loaded_mark(container, process))
            self.engine.put_archive(self.node_name(node), ROOT, mark)

    def cluster_done(self, node: str, role: str, mark: str) -> None:
        """See the interface."""
        with translated(f"marking {role} on {node}"):
            self.engine.put_archive(self.node_name(node), ROOT, mark_archive("cluster", role, mark))

    # the end

    def kill(self, node: str) -> None:
        """See the interface."""
        with translated(f"killing {node}"):
            running = [each["Id"] for each in self._of_node(node) if each["State"] in ("running", "restarting")]
            self._each(lambda container: self.engine.kill(container, "SIGKILL"), running)

    def destroy(self) -> tuple[str, ...]:
        """See the interface. Definitions are not asked, so it works when they have changed or are gone."""
        with translated("destroying"):
            containers, networks, _ = self._listings()
            self._remove_containers(containers)
            volumes = self.volumes.remove()
            self._each(self.engine.remove_network, [network["Id"] for network in networks])
        names = [container["Names"][0].lstrip("/") for container in containers]
        if held := [name for name, went in volumes.items() if not went]:
            raise Partial(
                f"all was removed but {', '.join(held)}, which the engine does not let go until it is restarted",
                details="It was lost once while processes ran, and has miscounted since. Nothing is in there.",
                resolution="Restart the engine, then destroy again.",
            )
        return (*names, *volumes, *(network["Name"] for network in networks))
