"""In which order a plan is carried out. Pure order: everything that acts is injected.

A group in which nothing serves is bootstrapped, all nodes at once; neighbouring groups of that kind go in one go, since
starting Ansible costs more than most steps. In a group that serves, nodes that are down come back first, together; then
canaries, then batches: withdraw, wait until idle, stop, swap, start, check, admit, watch. Nodes that fail are left
where they are, without traffic, until there are more than may; then all stops, or goes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import groupby

from common.errors import Conflict, Error
from common.system import Rollout as Rules
from seter.acts import Acts, Batch, Failures, LeftOut, Paused, RolloutStopped
from seter.back import Back, Way
from seter.batches import following
from seter.plan import Act, Plan, Step
from seter.state import Observed, Wanted, WantedGroup

ONE_BY_ONE = Rules(watch=timedelta(0), on_failure="stop")


class Rollout:
    """Carries out one plan."""

    def __init__(
        self,
        plan: Plan,
        wanted: Wanted,
        observed: Observed,
        acts: Acts,
        *,
        rules: Rules = ONE_BY_ONE,
        unfinished: Iterable[str] = (),
        pause_after: str = "",
    ) -> None:
        """`unfinished` are nodes that an earlier roll-out, cut off, may have left withdrawn. `pause_after` is `canary`
        or `batch`."""
        self._plan = plan
        self._wanted = wanted
        self._observed = observed
        self._acts = acts
        self._rules = rules
        self._pause_after = pause_after
        self._left_out = self._may_be_left_out(set(unfinished))
        self._failed: dict[str, Error] = {}
        self._done: set[str] = set()
        self._way = Way(changed=dict.fromkeys(node for node, state in observed.nodes.items() if state.kept))

    def run(self) -> None:
        """Everything, in order. Raises RolloutStopped, or the error of the node that failed; RolledBack when all is as
        it was; Paused; LeftOut when nodes failed and the rest is done."""
        try:
            self._go()
        except (Conflict, Paused):
            raise
        except Error as error:
            if self._rules.on_failure == "stop":
                raise
            Back(self._plan, self._wanted, self._observed, self._acts, self._rules).run(self._way, error)
        well = [node for node in self._way.changed if node in self._wanted.nodes and node not in self._failed]
        self._acts.forget(well)
        if self._failed:
            raise LeftOut(
                f"all is done but {len(self._failed)} nodes, which failed: {', '.join(self._failed)}",
                details="\n".join(error.message for error in self._failed.values()),
                resolution=f"{self._rules.budget} may fail; these have no traffic. Mend the cause and deploy again.",
            )

    def _go(self) -> None:
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
        self._acts.check_system(all_of_them=True, without=tuple(self._failed))

    def _may_be_left_out(self, unfinished: set[str]) -> dict[str, None]:
        """Those of them that serve now or will when the plan is done."""
        nodes = [node for group in self._wanted.groups if group.withdraws for node in group.nodes if node in unfinished]
        return dict.fromkeys(node for node in nodes if self._node_serves(node) or self._plan.of_node(node))

    def _admit_again(self, nodes: Iterable[str]) -> None:
        """The agent of a node remembers a withdrawal until it is taken back."""
        self._admit([node for node in nodes if node in self._left_out and node not in self._failed])

    def _admit(self, nodes: Sequence[str]) -> None:
        for node in nodes:
            self._left_out.pop(node, None)
        if nodes:
            self._lose(self._acts.admit(nodes))
        for node in nodes:
            if node not in self._failed:
                self._way.out.pop(node, None)

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
        """No node of theirs may fail, and none could go back."""
        nodes = [node for group in groups for node in self._plan.nodes_of(group.name)]
        batches = [self._batch(group, group.nodes, with_cluster=True) for group in groups]
        self._acts.begin(nodes)
        if nodes:
            _refuse(self._acts.prepare(nodes, self._steps(nodes), keep=False))
        _refuse(self._acts.start(batches))
        _refuse(self._acts.reload(self._reloads(nodes)))
        if nodes:
            _refuse(self._acts.check(nodes))
        self._acts.done(nodes)
        self._done.update(nodes)

    def _roll(self, group: WantedGroup) -> None:
        touched = self._plan.nodes_of(group.name)
        down = [node for node in touched if not self._node_serves(node)]
        if down:
            self._acts.begin(down)
            self._apply(group, down, with_cluster=True)
            self._acts.done(down)
        clusters = self._clusters(group)
        owed = not down and self._never_done(group)
        first = owed and not any(self._starts(node, role) for node in touched for role in clusters)
        if first:
            self._set_up(group)
        if first or not owed:
            # Before the next is taken out. What the plan changes may be what keeps a node out: it is swapped first.
            self._admit_again(node for node in group.nodes if node in down or node not in touched)
        rest = [node for node in touched if node not in down]
        if not owed:
            rest.sort(key=lambda node: node not in self._left_out)  # who is out already takes nothing from the others
        self._swap_all(group, rest, with_cluster=owed and not first)
        if not first and (not down or len(down) < len(touched)):
            self._set_up(group)

    def _set_up(self, group: WantedGroup) -> None:
        clusters = self._clusters(group)
        self._way.set_up.update(dict.fromkeys((group.name, role) for role in clusters))
        _refuse(self._acts.start([Batch(group.name, (), clusters)]))

    def _never_done(self, group: WantedGroup) -> bool:
        """Whether a cluster step is owed since the group was made, by a roll-out that was cut off: everything runs, but
        no node can be found to serve before it."""
        first = self._observed.nodes.get(group.first)
        marks = dict(first.cluster) if first is not None else {}
        return any(not marks.get(role) for role in self._clusters(group))

    def _swap_all(self, group: WantedGroup, nodes: Sequence[str], *, with_cluster: bool) -> None:
        """Canaries, then batch after batch; a cluster step that comes with nodes comes with the first ones."""
        done = 0
        while done < len(nodes):
            out = sum(node in self._failed for node in group.nodes)
            batch = following(group, nodes[done:], self._rules, done=done, out=out)
            self._acts.begin(batch)
            self._swap(group, batch, with_cluster=with_cluster and not done)
            self._acts.done(batch)
            is_canary = done < self._rules.canary
            done += len(batch)
            self._done.update(batch)
            self._pause(batch, is_canary=is_canary)

    def _pause(self, batch: Sequence[str], *, is_canary: bool) -> None:
        left = [step for step in self._plan.steps if step.group and step.node not in self._done]
        if left and (self._pause_after == "batch" or (self._pause_after == "canary" and is_canary)):
            self._admit_again(node for node in list(self._left_out) if not self._plan.of_node(node))
            raise Paused(
                f"paused after {', '.join(batch)}; {len({step.node for step in left})} nodes are still to come",
                resolution="Deploy again to go on, or put the definitions back and deploy to undo it.",
            )

    def _swap(self, group: WantedGroup, nodes: Sequence[str], *, with_cluster: bool) -> None:
        """Nodes that serve: away from traffic only if something on them will stop."""
        going = list(nodes)
        away = [node for node in going if group.withdraws and self._stops(node)]
        if away:
            self._way.out.update(dict.fromkeys(away))
            going = self._left(going, self._acts.withdraw(away))
        going = self._apply(group, going, with_cluster=with_cluster)
        self._admit([node for node in going if node in away or node in self._left_out])
        going = [node for node in going if node not in self._failed]
        if going:
            try:
                self._acts.check_system(all_of_them=False, without=tuple(self._failed))
                if self._rules.watch:
                    self._lose(self._acts.watch(going, self._rules.watch, tuple(self._failed)))
            except RolloutStopped as error:
                self._lose(dict.fromkeys(going, error))

    def _stops(self, node: str) -> bool:
        return any(step.act.needs_withdrawal for step in self._plan.of_node(node))

    def _apply(self, group: WantedGroup, nodes: Sequence[str], *, with_cluster: bool) -> list[str]:
        """Those of the nodes that came through it; the cluster steps come only if one did."""
        going = list(nodes)
        self._way.changed.update(dict.fromkeys(going))
        if going:
            going = self._left(going, self._acts.prepare(going, self._steps(going), keep=True))
        while going:
            batch = self._batch(group, going, with_cluster=with_cluster)
            self._way.set_up.update(dict.fromkeys((group.name, role) for role in batch.clusters))
            failures = self._acts.start([batch])
            going = self._left(going, failures)
            if not failures:
                break
        if reloads := self._reloads(going):
            going = self._left(going, self._acts.reload(reloads))
        return self._left(going, self._acts.check(going)) if going else []

    def _left(self, nodes: Sequence[str], failures: Failures) -> list[str]:
        self._lose(failures)
        return [node for node in nodes if node not in failures]

    def _lose(self, failures: Failures) -> None:
        """Take note of nodes that failed. Raises the error of the last one, or of all, when they are too many."""
        self._failed.update(failures)
        self._way.failed.update(dict.fromkeys(failures))
        errors = list(dict.fromkeys(self._failed.values()))
        if len(self._failed) <= self._rules.budget:
            return
        if len(errors) == 1:
            raise errors[0]
        raise RolloutStopped(
            f"{len(self._failed)} nodes failed, and {self._rules.budget} may: {', '.join(self._failed)}",
            details="\n".join(str(error) for error in errors),
            resolution="What was changed so far stays, the rest is as it was. Mend the cause and deploy again.",
        )

    def _steps(self, nodes: Sequence[str]) -> list[Step]:
        return [step for node in nodes for step in self._plan.of_node(node)]

    def _reloads(self, nodes: Sequence[str]) -> list[Step]:
        return [step for step in self._steps(nodes) if step.act is Act.RELOAD]

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


def _refuse(failures: Failures) -> None:
    for error in failures.values():
        raise error
