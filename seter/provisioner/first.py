"""A command beside a role's container that may go before everything else on its machine: what measures.

Real-time priorities (sched(7)) are handed out to groups of processes where a kernel has CONFIG_RT_GROUP_SCHED, and an
engine's containers have none unless they are made with some: docker-run(1), --cpu-rt-runtime. So what takes such a
priority gets a container of its own. Elsewhere a capability is enough, which the role's container has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from docker.errors import APIError

RUNTIME = 750_000  # microseconds of each second, on each processor; what is more has to wait for the next


class Engine(Protocol):
    """What of the SDK's client is needed."""

    def inspect_container(self, container: str) -> Mapping[str, Any]:
        """All that is known of one."""
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

    def attach(self, container: str, *, stdout: bool, stderr: bool, stream: bool, logs: bool) -> Iterable[bytes]:
        """What it prints, until its end."""
        ...

    def stop(self, container: str, *, timeout: int) -> None:
        """It is told to end, and killed after so many seconds."""
        ...

    def remove_container(self, container: str, *, force: bool) -> None:
        """It is gone."""
        ...


STOP_WITHIN = 20  # seconds: it takes back what it stored


def first(
    engine: Engine, role: str, node: str, argv: Sequence[str], marks: Mapping[str, str]
) -> Iterator[bytes] | None:
    """What the command prints in a container that has all that this role's has, and the right to go first; None where
    the engine gives no such right. `role` and `node` are containers. Raises APIError."""
    seen = engine.inspect_container(role)
    own = seen["HostConfig"]
    try:
        made = engine.create_container(
            seen["Image"],
            entrypoint=list(argv),
            command=[],
            user="root",
            environment=seen["Config"]["Env"],
            labels=dict(marks),
            host_config=engine.create_host_config(
                network_mode=f"container:{node}",
                volumes_from=[node],
                read_only=True,
                tmpfs={"/tmp": "rw,nosuid,nodev,size=64m,mode=1777"},
                cap_drop=["ALL"],
                cap_add=own["CapAdd"],
                security_opt=["no-new-privileges"],
                cpu_shares=own["CpuShares"],
                cpu_rt_runtime=RUNTIME,
                auto_remove=True,  # also after whoever made it was killed
            ),
        )["Id"]
    except APIError:  # "Your kernel does not support CPU real-time runtime"
        return None
    printed = engine.attach(made, stdout=True, stderr=False, stream=True, logs=True)
    try:
        engine.start(made)
    except APIError:  # the engine has none to give, or no more: dockerd(8), --cpu-rt-runtime
        with suppress(APIError):  # it may be gone by itself
            engine.remove_container(made, force=True)
        return None
    return _until_its_end(engine, made, printed)


def _until_its_end(engine: Engine, container: str, printed: Iterable[bytes]) -> Iterator[bytes]:
    ended = False
    try:
        yield from printed
        ended = True
    finally:
        if not ended:
            with suppress(APIError):
                engine.stop(container, timeout=STOP_WITHIN)
