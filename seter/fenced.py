"""Acts of a roll-out that ask first whether this run still has its lease."""

from __future__ import annotations

from collections.abc import Sequence

from seter.lease import Lease
from seter.plan import Step
from seter.rollout import Acts, Batch


class Fenced(Acts):
    """See `rollout.Acts`; what changes something raises Lost instead if another run has the lease."""

    def __init__(self, acts: Acts, lease: Lease) -> None:
        self._acts = acts
        self._lease = lease

    def make_network(self, network: str) -> None:
        self._lease.check()
        self._acts.make_network(network)

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step]) -> None:
        self._lease.check()
        self._acts.prepare(nodes, steps)

    def start(self, batches: Sequence[Batch]) -> None:
        self._lease.check()
        self._acts.start(batches)

    def owe_cluster(self, group: str, role: str) -> None:
        self._lease.check()
        self._acts.owe_cluster(group, role)

    def reload(self, node: str, role: str) -> None:
        self._lease.check()
        self._acts.reload(node, role)

    def withdraw(self, node: str) -> None:
        self._lease.check()
        self._acts.withdraw(node)

    def admit(self, node: str) -> None:
        self._lease.check()
        self._acts.admit(node)

    def check(self, nodes: Sequence[str]) -> None:
        self._acts.check(nodes)

    def look_before(self) -> None:
        self._acts.look_before()

    def check_system(self, *, all_of_them: bool) -> None:
        self._acts.check_system(all_of_them=all_of_them)

    def remove_node(self, node: str) -> None:
        self._lease.check()
        self._acts.remove_node(node)

    def remove_network(self, network: str) -> None:
        self._lease.check()
        self._acts.remove_network(network)
