"""Nodes that are containers, broken on purpose: what experiments need and a deploy does not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol

from common.errors import Error, NotFound
from seter.provisioner import labels
from seter.provisioner.docker_errors import translated
from seter.provisioner.first import first
from seter.provisioner.interface import Answer, Provisioner
from seter.provisioner.labels import Listed

NO_LIMIT = 1 << 50  # bytes: an engine takes a limit back only for a greater one
LITTLE = 1 << 20  # bytes
PERIOD = 100_000  # microseconds, of the kernel's scheduler: the engine's own value (docker-update(1), --cpu-period)
WAITS = "60"  # seconds of somebody who is about to kill; longer than an engine takes to tell it to
TOGETHER = 8  # containers of a node: it stands still as a whole, not one process after the other


class Engine(Protocol):
    """What of the SDK's client is needed."""

    def containers(self, *, all: bool, filters: object) -> Sequence[Listed]:
        """Containers, as a list tells of them."""
        ...

    def inspect_container(self, container: str) -> Mapping[str, Any]:
        """All that is known of one."""
        ...

    def exec_create(self, container: str, cmd: list[str], *, user: str) -> Mapping[str, str]:
        """A command that can be run in it, which has an `Id`."""
        ...

    def exec_start(self, exec_id: str, *, stream: bool, demux: bool) -> Iterable[tuple[bytes | None, bytes | None]]:
        """Run it: what it prints, and what it complains about."""
        ...

    def pause(self, container: str) -> None:
        """Its processes stand still."""
        ...

    def unpause(self, container: str) -> None:
        """They go on."""
        ...

    def update_container(self, container: str, **settings: object) -> object:
        """It is limited to this."""
        ...

    def stats(self, container: str, *, stream: bool, one_shot: bool) -> Mapping[str, Any]:
        """What it uses now."""
        ...

    def create_host_config(self, **settings: object) -> object:
        """Settings of a container that are the host's business."""
        ...

    def create_container(self, image: str, **settings: object) -> Mapping[str, str]:
        """A container, which has an `Id`."""
        ...

    def start(self, container: str) -> None:
        """It runs."""
        ...

    def remove_container(self, container: str, *, force: bool) -> None:
        """It is gone."""
        ...


class Breakable(labels.Named, Provisioner):
    """Nodes that can be broken. `engine` is the SDK's client."""

    engine: Any

    @abstractmethod
    def as_root(self, container: str, argv: Sequence[str]) -> Answer:
        """Run a command in a container as root."""

    def first(self, node: str, role: str, argv: Sequence[str]) -> Iterator[bytes]:
        """See the interface."""
        engine: Engine = self.engine
        container = self.role_name(node, role)
        with translated(f"running {argv[0]} in {container}"):
            marks = labels.of_part(self.deployment, "trial") | {labels.NODE: node}
            printed = first(self.engine, container, self.node_name(node), argv, marks)
            if printed is None:
                made = engine.exec_create(container, list(argv), user="root")
                printed = (out or b"" for out, _ in engine.exec_start(made["Id"], stream=True, demux=True))
            yield from printed

    def freeze(self, node: str, role: str = "") -> None:
        """See the interface. By the engine's freezer; the kernel under them goes on and takes packets."""
        engine: Engine = self.engine
        with translated(f"freezing {role or node}"):
            _side_by_side(engine.pause, self._running(node, role, "running"))

    def thaw(self, node: str, role: str = "") -> None:
        """See the interface."""
        engine: Engine = self.engine
        with translated(f"thawing {role or node}"):
            _side_by_side(engine.unpause, self._running(node, role, "paused"))

    def end(self, node: str, role: str, now: Callable[[], None] = lambda: None) -> None:
        """See the interface. The engine does not start anew what it was told to kill, so a process beside the others
        of its host does it, which may do nothing else. To start it takes as long as a balancer to notice, so it is
        started first, and told then."""
        engine: Engine = self.engine
        with translated(f"killing {role} on {node}"):
            found = self._running(node, role, "running")
            if not found:
                raise NotFound(f"{role} does not run on {node}", resolution="Run: seter deploy")
            listed = found[0]
            process = int(engine.inspect_container(listed["Id"])["State"]["Pid"])
            host = engine.create_host_config(
                pid_mode="host", network_mode="none", cap_drop=["ALL"], cap_add=["KILL"],
                security_opt=["no-new-privileges"], read_only=True, init=False,
            )  # fmt: skip
            made = engine.create_container(
                listed["ImageID"],
                entrypoint=["sleep", WAITS],
                command=[],
                user="root",
                host_config=host,
                labels=labels.of_part(self.deployment, "trial") | {labels.NODE: node},
            )["Id"]
            try:
                engine.start(made)
                now()
                said = self.as_root(made, ("sh", "-c", 'kill -KILL "$1"', "sh", str(process)))
            finally:
                engine.remove_container(made, force=True)
        if said.code != 0:
            raise Error(
                f"{role} on {node} was not killed: status {said.code}",
                details=said.stderr.strip(),
                resolution="See what the engine says.",
            )

    def limit(self, node: str, role: str, *, cores: float, memory: int) -> None:
        """See the interface. The kernel of cgroup v1 takes away no memory that is in use: then there is none beside it,
        and somebody asks for more."""
        engine: Engine = self.engine
        with translated(f"limiting {role} on {node}"):
            found = self._running(node, role, "running", "paused", "restarting")
            if not found:
                raise NotFound(f"{role} does not run on {node}", resolution="Run: seter deploy")
            for listed in found:
                used = self._used(listed["Id"]) if memory else 0
                engine.update_container(
                    listed["Id"],
                    cpu_period=PERIOD,
                    cpu_quota=int(cores * PERIOD) or -1,
                    mem_limit=max(memory, used) or NO_LIMIT,
                    memswap_limit=-1,
                )
                if used > memory:
                    with suppress(Error), translated(f"asking for memory in {role} on {node}"):  # it may be gone by now
                        self._ask_for(listed["Id"], used // 4)

    def _ask_for(self, container: str, size: int) -> None:
        """The kernel ends whoever has most of the group's memory (Linux, admin-guide/cgroup-v1/memory.rst)."""
        engine: Engine = self.engine
        argv = ["sh", "-c", 'head -c "$1" /dev/zero | tail -c "$1" >/dev/null', "sh", str(size)]
        made = engine.exec_create(container, argv, user="root")
        for _ in engine.exec_start(made["Id"], stream=True, demux=True):
            pass

    def _used(self, container: str) -> int:
        """Bytes of memory that its processes have, but for what the kernel can drop (docker-stats(1))."""
        engine: Engine = self.engine
        found = engine.stats(container, stream=False, one_shot=True).get("memory_stats", {})
        more = found.get("stats", {})
        return int(found.get("usage", 0)) - int(more.get("total_inactive_file", more.get("inactive_file", 0))) + LITTLE

    def _running(self, node: str, role: str, *states: str) -> list[Listed]:
        """Containers of the node's roles, or of one, that are in one of these states."""
        engine: Engine = self.engine
        marks = [f"{labels.DEPLOYMENT}={self.deployment}", f"{labels.NODE}={node}", f"{labels.PART}=role"]
        marks += [f"{labels.ROLE}={role}"] if role else []
        listed = engine.containers(all=True, filters={"label": marks})
        return [each for each in listed if each["State"] in states and not labels.is_aside(each)]


def _side_by_side(act: Callable[[str], None], found: Sequence[Listed]) -> None:
    with ThreadPoolExecutor(TOGETHER) as threads:
        list(threads.map(lambda listed: act(listed["Id"]), found))
