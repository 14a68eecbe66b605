"""In which order a plan is carried out. Pure order: everything that acts is injected.

A group in which nothing serves is bootstrapped, all nodes at once; neighbouring groups of that kind go in one go, since
starting Ansible costs more than most steps. In a group that serves, nodes that are down come back first, together; then
the others, one at a time: withdraw, wait until idle, stop, swap, start, check, admit. The first failure stops all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from common.errors import Error
from seter.plan import Act, Plan, Step
from seter.state import Observed, Wanted, WantedGroup


class RolloutStopped(Error):
    """A node failed and the failure budget is used up; the rest was left as it was."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """What one run of Ansible does for a group: processes to start, role by role, then the cluster steps."""

    group: str
    starts: tuple[tuple[str, tuple[str, ...]], ...]  # (role, nodes), in starting order
    clusters: tuple[str, ...] = ()


class Acts(Protocol):
    """What a roll-out can do. Each may be repeated; each raises an Error that names the node."""

    def make_network(self, network: str) -> None:
        """The network is there."""

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step]) -> None:
        """Stop what these steps stop, make nodes, lay and switch files; all nodes at once."""

    def start(self, batches: Sequence[Batch]) -> None:
        """Start processes and do cluster steps, in order."""

    def owe_cluster(self, group: str, role: str) -> None:
        """The mark of the last cluster step is gone, so whatever happens from here on, the step is still owed."""

    def reload(self, node: str, role: str) -> None:
        """The running process reads its files again."""

    def withdraw(self, node: str) -> None:
        """New traffic goes elsewhere, and what is under way has ended or had its time."""

    def admit(self, node: str) -> None:
        """The node may get traffic again."""

    def check(self, nodes: Sequence[str]) -> None:
        """The checks of the nodes' roles hold, or come to hold in time."""

    def look_before(self) -> None:
        """See which of the system's checks hold before anything is touched."""

    def check_system(self, *, all_of_them: bool) -> None:
        """The system's checks hold: all, or those that held before. Groups that are not complete are not asked about.

        Between two nodes the second is meant: what was broken before may be just what this roll-out mends.
        """

    def remove_node(self, node: str) -> None:
        """The node is gone."""

    def remove_network(self, network: str) -> None:
        """The network is gone."""


class Rollout:
    """Carries out one plan."""

    def __init__(
        self, plan: Plan, wanted: Wanted, observed: Observed, acts: Acts, *, unfinished: Iterable[str] = ()
    ) -> None:
        """`unfinished` are nodes that an earlier roll-out, cut off, may have left withdrawn."""
        self._plan = plan
        self._wanted = wanted
        self._observed = observed
        self._acts = acts
        self._left_out = self._may_be_left_out(set(unfinished))

    def run(self) -> None:
        """Everything, in order. Raises RolloutStopped, or the error of the node that failed."""
        if any(self._serves(group) for group in self._wanted.groups):
            self._acts.look_before()
        for step in self._of(Act.MAKE_NETWORK):
            self._acts.make_network(step.node)
        for step in self._of(Act.CLUSTER):
            self._acts.owe_cluster(step.group, step.role)
        groups = [group for group in self._wanted.groups if self._plan.of_group(group.name)]
        for serving, run in groupby(groups, key=self._serves):
            if serving:
                for group in run:
                    self._roll(group)
            else:
                self._bootstrap(list(run))
        for step in self._of(Act.REMOVE_NODE):
            self._acts.remove_node(step.node)
        for step in self._of(Act.REMOVE_NETWORK):
            self._acts.remove_network(step.node)
        self._admit_again(list(self._left_out))
        self._acts.check_system(all_of_them=True)

    def _may_be_left_out(self, unfinished: set[str]) -> dict[str, None]:
        """Those of them that serve now or will when the plan is done."""
        nodes = [node for group in self._wanted.groups if group.withdraws for node in group.nodes if node in unfinished]
        return dict.fromkeys(node for node in nodes if self._node_serves(node) or self._plan.of_node(node))

    def _admit_again(self, nodes: Iterable[str]) -> None:
        """The agent of a node remembers a withdrawal until it is taken back."""
        for node in nodes:
            if node in self._left_out:
                del self._left_out[node]
                self._acts.admit(node)

    def _of(self, act: Act) -> Iterator[Step]:
        return (step for step in self._plan.steps if step.act is act)

    def _serves(self, group: WantedGroup) -> bool:
        """Not a group whose making was cut off: its cluster step was never done, and each node to be touched lacks a
        process. One node at a time would never do there: its etcd, say, has no quorum alone."""
        touched = self._plan.nodes_of(group.name)
        cut_off = bool(touched) and self._never_done(group) and all(self._lacks(group, node) for node in touched)
        return not cut_off and any(self._node_serves(node) for node in group.nodes)

    def _lacks(self, group: WantedGroup, node: str) -> bool:
        """Whether a process that the node should have does not run."""
        there = self._observed.nodes.get(node)
        running = {name for name, state in there.roles if state.running} if there is not None else set()
        return any(role.has_process and role.name not in running for role in group.roles)

    def _node_serves(self, node: str) -> bool:
        return node in self._observed.nodes and self._observed.nodes[node].serves

    def _bootstrap(self, groups: Sequence[WantedGroup]) -> None:
        nodes = [node for group in groups for node in self._plan.nodes_of(group.name)]
        self._apply(nodes, [self._batch(group, group.nodes, with_cluster=True) for group in groups])

    def _roll(self, group: WantedGroup) -> None:
        touched = self._plan.nodes_of(group.name)
        down = [node for node in touched if not self._node_serves(node)]
        if down:
            self._apply(down, [self._batch(group, down, with_cluster=True)])
        clusters = self._clusters(group)
        owed = not down and self._never_done(group)
        first = owed and not any(self._starts(node, role) for node in touched for role in clusters)
        if first:
            self._acts.start([Batch(group.name, (), clusters)])
        if first or not owed:
            # Before the next is taken out. What the plan changes may be what keeps a node out: it is swapped first.
            self._admit_again(node for node in group.nodes if node in down or node not in touched)
        for node in touched:
            if node not in down:
                self._swap(group, node, with_cluster=owed and not first and node == touched[0])
        if not first and (not down or len(down) < len(touched)):
            self._acts.start([Batch(group.name, (), clusters)])

    def _never_done(self, group: WantedGroup) -> bool:
        """Whether a cluster step is owed since the group was made, by a roll-out that was cut off: everything runs, but
        no node can be found to serve before it."""
        first = self._observed.nodes.get(group.first)
        marks = dict(first.cluster) if first is not None else {}
        return any(not marks.get(role) for role in self._clusters(group))

    def _swap(self, group: WantedGroup, node: str, *, with_cluster: bool) -> None:
        """One node that serves: away from traffic only if something on it will stop."""
        withdrawn = group.withdraws and any(step.act.needs_withdrawal for step in self._plan.of_node(node))
        if withdrawn:
            self._acts.withdraw(node)
        self._apply([node], [self._batch(group, [node], with_cluster=with_cluster)])
        if withdrawn or node in self._left_out:
            self._left_out.pop(node, None)
            self._acts.admit(node)
        self._acts.check_system(all_of_them=False)

    def _apply(self, nodes: Sequence[str], batches: Sequence[Batch]) -> None:
        steps = [step for node in nodes for step in self._plan.of_node(node)]
        if nodes:
            self._acts.prepare(nodes, steps)
        self._acts.start(batches)
        for step in steps:
            if step.act is Act.RELOAD:
                self._acts.reload(step.node, step.role)
        if nodes:
            self._acts.check(nodes)

    def _batch(self, group: WantedGroup, nodes: Sequence[str], *, with_cluster: bool) -> Batch:
        starts = []
        for role in group.roles:
            starting = tuple(node for node in nodes if self._starts(node, role.name))
            if starting:
                starts.append((role.name, starting))
        return Batch(group.name, tuple(starts), self._clusters(group) if with_cluster else ())

    def _starts(self, node: str, role: str) -> bool:
        return any(step.role == role and step.act.starts_process for step in self._plan.of_node(node))

    def _clusters(self, group: WantedGroup) -> tuple[str, ...]:
        return tuple(step.role for step in self._plan.of_group(group.name) if step.act is Act.CLUSTER)
