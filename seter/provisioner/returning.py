"""Nodes that are containers and can go back: by a word, or by themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from common.console import Report
from seter import artifacts
from seter.finding import Question
from seter.provisioner.breaking import Breakable
from seter.provisioner.docker_errors import translated
from seter.provisioner.engine import Way, examine
from seter.provisioner.guard import HEARD, Guard
from seter.provisioner.kept import Kept

if TYPE_CHECKING:
    from naust.store.interface import Store
    from seter.artifacts import Image


class Returning(Breakable):
    """Nodes that can go back."""

    sets_nodes_aside = True
    kept: Kept
    guard: Guard
    engine: Any  # the SDK's client

    way: Way

    def examinations(self) -> Mapping[str, Question]:
        """See the interface."""
        return {self.way.name: lambda: tuple(examine(self.engine, self.way.name))}

    def load(self, store: Store, images: Mapping[str, Collection[Image]], report: Report) -> None:
        """See the interface."""
        wanted = {image.id: image for each in images.values() for image in each}
        with translated(f"connecting to {self.way.name}"):
            client = self.way.client()
        with closing(client):
            artifacts.load_all(store, wanted.values(), report, client)

    def keep(self, node: str) -> bool:
        """See the interface."""
        return self.kept.keep(self.node_name(node), node)

    def set_aside(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        self.kept.set_aside(self.node_name(node), node, role, within)

    def go_back(self, node: str, order: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """See the interface."""
        self.disarm(node)
        return self.kept.go_back(self.node_name(node), node, order)

    def forget(self, node: str, *, gone_back: bool = False) -> bool:
        """See the interface."""
        return self.kept.forget(self.node_name(node), node, gone_back=gone_back)

    def arm(self, node: str, roles: Collection[str], within: int) -> bool:
        """See the interface."""
        name = self.node_name(node)
        self.as_root(name, ["touch", HEARD])
        self.guard.arm(name, node, roles, within)
        return True

    def heard(self, node: str) -> bool:
        """See the interface. Not touched anew when it is gone: then nothing waits."""
        return self.as_root(self.node_name(node), ["touch", "--no-create", HEARD]).code == 0

    def disarm(self, node: str) -> bool:
        """See the interface."""
        name = self.node_name(node)
        told = self.as_root(name, ["rm", HEARD]).code == 0
        self.guard.disarm(name, node)
        return told

    def halt(self) -> None:
        """See the interface. Calls to an engine are short."""
