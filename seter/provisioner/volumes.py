"""A node's volumes: what it keeps, and its /run, which is in memory.

An engine that was lost (its machine had no power, it was killed) starts what has a restart policy when it is back. A
process of ours cannot be started then, because its node does not run; and dockerd 20.10 takes such a try off its count
of who uses the memory, though it never was on it. The count, which has no sign, is then beyond all measure: the volume
cannot be removed until the engine has been restarted, and it is unmounted beneath whoever uses it when the count comes
to nothing. So a node that is made anew gets memory of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import docker.errors

from common.system import Deployment
from seter.provisioner import labels
from seter.provisioner.interface import NodeShape
from seter.tree import ROOT, STATE

PATHS = {"run": "/run", "etc": ROOT, "state": STATE}
MEMORY = {"type": "tmpfs", "device": "tmpfs", "o": "mode=0755"}
MISCOUNTED = "has active mounts"  # dockerd's words, for a volume that no container has
IN_USE = 409


class Engine(Protocol):
    """What of the SDK's client is needed."""

    def volumes(self, *, filters: dict[str, Any]) -> Mapping[str, Any]:
        """Volumes, as a list tells of them."""
        ...

    def create_volume(self, name: str, *, driver_opts: dict[str, Any], labels: dict[str, Any]) -> Mapping[str, Any]:
        """It is there."""
        ...

    def remove_volume(self, name: str) -> None:
        """It is gone."""
        ...


class Volumes(labels.Named):
    """Those of one deployment on one engine; errors are the SDK's."""

    def __init__(self, engine: Engine, deployment: Deployment) -> None:
        self.engine, self.deployment = engine, deployment
        self._mark = f"{labels.DEPLOYMENT}={deployment}"

    def names(self, node: str) -> frozenset[str]:
        """What a node's volumes are called at first."""
        return frozenset(self.volume_name(node, volume) for volume in PATHS)

    def listed(self, *marks: str) -> Sequence[labels.Listed]:
        """All of them that carry these marks too."""
        return list(self.engine.volumes(filters={"label": [self._mark, *marks]})["Volumes"] or [])

    def make(self, shape: NodeShape) -> Mapping[str, str]:
        """See that they are there for a node whose containers are gone, or set aside. Name → where in the node."""
        found = {}
        for volume, path in PATHS.items():
            name = self._memory(shape.name) if volume == "run" else self.volume_name(shape.name, volume)
            marks = labels.of_node(self.deployment, shape, "volume")
            made = self.engine.create_volume(name, driver_opts=MEMORY if volume == "run" else {}, labels=marks)
            # Making a volume that is there returns that one, whoever made it.
            labels.refuse_foreign(self.deployment, "volume", {made["Name"]}, [made])
            found[name] = path
        return found

    def _memory(self, node: str) -> str:
        """A name under which there is nothing, or what a node that was set aside is going to need again."""
        there = {each["Name"] for each in self.listed(f"{labels.NODE}={node}")}
        return next(name for name in self._numbered(node) if name not in there or self._is_free(name))

    def _numbered(self, node: str) -> Iterator[str]:
        first = self.volume_name(node, "run")
        yield first
        yield from (f"{first}{number}" for number in count(2))

    def _is_free(self, name: str) -> bool:
        try:
            return self._removed(name)
        except docker.errors.APIError as error:
            if error.status_code != IN_USE:
                raise
            return True

    def remove(self, *marks: str) -> Mapping[str, bool]:
        """Remove those with these marks. Name → whether it went: the engine may not let go of memory, in which is
        nothing."""
        return {name: self._removed(name) for name in [volume["Name"] for volume in self.listed(*marks)]}

    def _removed(self, name: str) -> bool:
        """Whether it is gone now."""
        try:
            self.engine.remove_volume(name)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if MISCOUNTED not in str(error.explanation):
                raise
            return False
        return True
