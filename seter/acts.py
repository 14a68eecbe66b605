"""What a roll-out can do, and how it can end. `seter.rollout` and `seter.back` order the acts, `seter.apply` does them.

What concerns single nodes is asked of several at once, and says which of them failed: one that cannot be reached is one
that failed. Whatever else goes wrong is raised.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeAlias

from common.errors import Error, Partial
from seter.plan import Step

Failures: TypeAlias = Mapping[str, Error]  # node → why


class RolloutStopped(Error):
    """A node failed and the failure budget is used up; the rest was left as it was."""

    exit_code = 5


class RolledBack(Error):
    """It failed, and what it had changed was put back."""

    exit_code = 6


class Paused(Partial):
    """It stopped where it was asked to; the next deploy goes on."""


class LeftOut(Partial):
    """Nodes failed, no more than may; they have no traffic."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one run of Ansible does for a group: processes to start, role by role, then the cluster steps."""

    group: str
    starts: tuple[tuple[str, tuple[str, ...]], ...]  # (role, nodes), in starting order
    clusters: tuple[str, ...] = ()


class Acts(Protocol):
    """Each act may be repeated."""

    def begin(self, nodes: Sequence[str]) -> None:
        """Say that it is these nodes' turn."""

    def done(self, nodes: Sequence[str]) -> None:
        """Say that these nodes are done, well or not."""

    def make_network(self, network: str) -> None:
        """The network is there."""

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step], *, keep: bool) -> Failures:
        """Stop what these steps stop, make nodes, lay and switch files; all nodes at once. With `keep` nodes that are
        not made anew can go back afterwards."""

    def start(self, batches: Sequence[Batch]) -> Failures:
        """Start processes and do cluster steps, in order; when a node fails nobody knows how far the others are."""

    def owe_cluster(self, group: str, role: str) -> None:
        """The mark of the last cluster step is gone, so whatever happens from here on, the step is still owed."""

    def reload(self, steps: Sequence[Step]) -> Failures:
        """The running processes read their files again."""

    def withdraw(self, nodes: Sequence[str]) -> Failures:
        """New traffic goes elsewhere, and what is under way has ended or had its time."""

    def admit(self, nodes: Sequence[str]) -> Failures:
        """The nodes may get traffic again."""

    def check(self, nodes: Sequence[str]) -> Failures:
        """The checks of the nodes' roles hold, or come to hold in time; then those of the system that go through one
        node."""

    def watch(self, nodes: Sequence[str], length: timedelta, without: Collection[str]) -> Failures:
        """The checks of the nodes' roles, and those of the system that held before, hold all this time."""

    def look_before(self) -> None:
        """See which of the system's checks hold before anything is touched."""

    def check_system(self, *, all_of_them: bool, without: Collection[str] = ()) -> None:
        """The system's checks hold: all, or those that held before. Groups that are not complete are not asked about,
        and nothing is expected of the nodes `without`.

        Between two nodes the second is meant: what was broken before may be just what this roll-out mends.
        """

    def let_go(self) -> None:
        """What runs through the whole roll-out is of no more use: it may have met what now goes back. One that ended
        badly is told of."""

    def can_go_back(self, node: str) -> bool:
        """What ran on it before is kept."""
        return False

    def go_back(self, nodes: Sequence[str]) -> Failures:
        """Files and processes are those that ran before this roll-out, or before an earlier one that was cut off."""

    def cluster_back(self, group: str, role: str, *, again: bool) -> None:
        """The mark of the last cluster step is there again; it is done once more before if files of this roll-out
        were used for it."""

    def forget(self, nodes: Sequence[str]) -> None:
        """These nodes need not go back any more."""

    def remove_node(self, node: str) -> None:
        """The node is gone."""

    def remove_network(self, network: str) -> None:
        """The network is gone."""
