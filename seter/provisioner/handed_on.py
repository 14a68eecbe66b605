"""Calls about one node that go on to the provisioner that the node is of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import BinaryIO

from common.console import Report
from common.role import Process, Role
from seter.provisioner.interface import Answer, Joined, Provisioner
from seter.state import InstalledPackage, RoleState, Written
from seter.tree import NodeTree


class HandedOn(Provisioner):
    """What is about one node alone."""

    @abstractmethod
    def _at(self, node: str) -> Provisioner:
        """The node's own. Raises what is wrong with it."""

    # processes

    def join(self, node: str, role: str) -> Joined:
        """See the interface."""
        return self._at(node).join(node, role)

    def means(self, node: str) -> Mapping[str, object]:
        """See the interface."""
        return self._at(node).means(node)

    def inside(self, node: str, role: str) -> Mapping[str, object]:
        """See the interface."""
        return self._at(node).inside(node, role)

    def started(self, node: str, role: str, process: Process, state: RoleState, image: str) -> Mapping[str, object]:
        """See the interface."""
        return self._at(node).started(node, role, process, state, image)

    def install(self, node: str, wanted: Sequence[tuple[Role, str]], report: Report) -> None:
        """See the interface."""
        self._at(node).install(node, wanted, report)

    def remove_role(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        self._at(node).remove_role(node, role, within)

    def execute(self, node: str, role: str, argv: Sequence[str], *, user: str = "") -> Answer:
        """See the interface."""
        return self._at(node).execute(node, role, argv, user=user)

    def try_out(self, node: str, image: str, argv: Sequence[str], *, user: str) -> Answer:
        """See the interface."""
        return self._at(node).try_out(node, image, argv, user=user)

    def restart(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        self._at(node).restart(node, role, within)

    def fetch(self, node: str, path: str, sink: BinaryIO) -> int:
        """See the interface."""
        return self._at(node).fetch(node, path, sink)

    def put(self, node: str, path: str, source: BinaryIO, size: int, uid: int) -> None:
        """See the interface."""
        self._at(node).put(node, path, source, size, uid)

    def loaded(self, node: str, role: str, process: str) -> None:
        """See the interface."""
        self._at(node).loaded(node, role, process)

    def cluster_done(self, node: str, role: str, mark: str) -> None:
        """See the interface."""
        self._at(node).cluster_done(node, role, mark)

    def reboot(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        self._at(node).reboot(node, tree)

    def logs(self, node: str, role: str, *, since: timedelta | None, follow: bool) -> Iterator[bytes]:
        """See the interface."""
        return self._at(node).logs(node, role, since=since, follow=follow)

    # breaking

    def first(self, node: str, role: str, argv: Sequence[str]) -> Iterator[bytes]:
        """See the interface."""
        return self._at(node).first(node, role, argv)

    def freeze(self, node: str, role: str = "") -> None:
        """See the interface."""
        self._at(node).freeze(node, role)

    def thaw(self, node: str, role: str = "") -> None:
        """See the interface."""
        self._at(node).thaw(node, role)

    def end(self, node: str, role: str, now: Callable[[], None] = lambda: None) -> None:
        """See the interface."""
        self._at(node).end(node, role, now)

    def limit(self, node: str, role: str, *, cores: float, memory: int) -> None:
        """See the interface."""
        self._at(node).limit(node, role, cores=cores, memory=memory)

    def set_clock(self, node: str, when: float) -> None:
        """See the interface."""
        self._at(node).set_clock(node, when)

    def fill(self, node: str, folder: str, *, full: bool) -> None:
        """See the interface."""
        self._at(node).fill(node, folder, full=full)

    # slots

    def packages(self, node: str) -> tuple[InstalledPackage, ...] | None:
        """See the interface."""
        return self._at(node).packages(node)

    def ready_slot(self, node: str) -> None:
        """See the interface."""
        self._at(node).ready_slot(node)

    def write_slot(self, node: str, system: Written, data: Iterable[bytes], within: timedelta) -> None:
        """See the interface."""
        self._at(node).write_slot(node, system, data, within)

    def boot_slot(self, node: str, system: Written, order: Sequence[tuple[str, int]], *, keep: bool) -> None:
        """See the interface."""
        self._at(node).boot_slot(node, system, order, keep=keep)

    def confirm_slot(self, node: str) -> None:
        """See the interface."""
        self._at(node).confirm_slot(node)

    # going back

    def sets_aside(self, node: str) -> bool:
        """See the interface."""
        return self._at(node).sets_aside(node)

    def keep(self, node: str) -> bool:
        """See the interface."""
        return self._at(node).keep(node)

    def set_aside(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        self._at(node).set_aside(node, role, within)

    def go_back(self, node: str, order: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """See the interface."""
        return self._at(node).go_back(node, order)

    def arm(self, node: str, roles: Collection[str], within: int) -> bool:
        """See the interface."""
        return self._at(node).arm(node, roles, within)

    def heard(self, node: str) -> bool:
        """See the interface."""
        return self._at(node).heard(node)

    def disarm(self, node: str) -> bool:
        """See the interface."""
        return self._at(node).disarm(node)

    def forget(self, node: str, *, gone_back: bool = False) -> bool:
        """See the interface."""
        return self._at(node).forget(node, gone_back=gone_back)
