"""Acts of a roll-out that ask first whether this run still has its lease."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from seter.acts import Acts, Batch, Failures
from seter.lease import Lease
from seter.plan import Step


class Fenced(Acts):
    """See `acts.Acts`; what changes something raises Lost instead if another run has the lease."""

    def __init__(self, acts: Acts, lease: Lease) -> None:
        self._acts = acts
        self._lease = lease

    def begin(self, nodes: Sequence[str]) -> None:
        self._acts.begin(nodes)

    def done(self, nodes: Sequence[str]) -> None:
        self._acts.done(nodes)

    def make_network(self, network: str) -> None:
        self._lease.check()
        self._acts.make_network(network)

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step], *, keep: bool) -> Failures:
        self._lease.check()
        return self._acts.prepare(nodes, steps, keep=keep)

    def start(self, batches: Sequence[Batch]) -> Failures:
        self._lease.check()
        return self._acts.start(batches)

    def owe_cluster(self, group: str, role: str) -> None:
        self._lease.check()
        self._acts.owe_cluster(group, role)

    def reload(self, steps: Sequence[Step]) -> Failures:
        self._lease.check()
        return self._acts.reload(steps)

    def withdraw(self, nodes: Sequence[str]) -> Failures:
        self._lease.check()
        return self._acts.withdraw(nodes)

    def admit(self, nodes: Sequence[str]) -> Failures:
        self._lease.check()
        return self._acts.admit(nodes)

    def can_go_back(self, node: str) -> bool:
        return self._acts.can_go_back(node)

    def go_back(self, nodes: Sequence[str]) -> Failures:
        self._lease.check()
        return self._acts.go_back(nodes)

    def cluster_back(self, group: str, role: str, *, again: bool) -> None:
        self._lease.check()
        self._acts.cluster_back(group, role, again=again)

    def forget(self, nodes: Sequence[str]) -> None:
        self._lease.check()
        self._acts.forget(nodes)

    def remove_node(self, node: str) -> None:
        self._lease.check()
        self._acts.remove_node(node)

    def remove_network(self, network: str) -> None:
        self._lease.check()
        self._acts.remove_network(network)

    def check(self, nodes: Sequence[str]) -> Failures:
        return self._acts.check(nodes)

    def watch(self, nodes: Sequence[str], length: timedelta, without: Collection[str]) -> Failures:
        return self._acts.watch(nodes, length, without)

    def look_before(self) -> None:
        self._acts.look_before()

    def check_system(self, *, all_of_them: bool, without: Collection[str] = ()) -> None:
        self._acts.check_system(all_of_them=all_of_them, without=without)

    def let_go(self) -> None:
        self._acts.let_go()
