"""The acts of a roll-out on real nodes: the provisioner makes and writes, Ansible starts, probes look."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TypeVar

from common.console import Report
from common.errors import Conflict, Error
from common.model import Event, Stage
from seter import checks
from seter.acts import Batch, Failures, RolloutStopped
from seter.ansible import PlayFailed
from seter.hearing import Hearing
from seter.holding import Watch
from seter.plan import Act, Step
from seter.plays import Play, cluster_play, inventory, is_here, service_play
from seter.state import OWED, Subnets, WantedGroup, cluster_mark
from seter.survey import Survey, service_variables
from seter.throughout import Throughout
from seter.traffic import CUT_AFTER, Traffic, stop_order, stopped
from seter.written import Slots

NODES_AT_ONCE = 8
STOP_WITHIN = 10  # seconds, of a process that no definition knows any more
T = TypeVar("T")
R = TypeVar("R")


class AddressesTaken(Error):
    """Somebody took the subnet between the survey and now; a new survey finds another."""

    def __init__(self, network: str, subnets: Subnets) -> None:
        super().__init__(f"{subnets.v4} for network {network} was taken meanwhile", resolution="Run the command again.")


class Apply:
    """See `acts.Acts`."""

    def __init__(self, survey: Survey, report: Report, *, cut_after: timedelta = CUT_AFTER) -> None:
        self._survey = survey
        self._provisioner = survey.provisioner
        self._report = report
        self._provisioner.tell(report)
        self._traffic = Traffic(survey.blueprint, self._provisioner, report, cut_after)
        self._kept = {node for node, state in survey.observed.nodes.items() if state.kept}
        self._begun: dict[str, float] = {}
        self._guard = Hearing(survey, report)
        self._slots = Slots(survey, self._guard, report)
        self._throughout = Throughout(survey, report)
        self._shut: frozenset[str] = frozenset()  # nodes that let nothing through before either
        self._held: frozenset[str] = frozenset()  # checks of the system that held before anything was touched

    def begin(self, nodes: Sequence[str]) -> None:
        """For who looks on."""
        for node in nodes:
            self._report(Event("begins", node, stage=Stage.BEGINS))
            self._begun[node] = time.monotonic()

    def done(self, nodes: Sequence[str]) -> None:
        """For who looks on."""
        for node in nodes:
            spent = time.monotonic() - self._begun.pop(node, time.monotonic())
            self._report(Event("done", node, f"after {spent:.1f} s", stage=Stage.ENDS))

    def make_network(self, network: str) -> None:
        """The network is there, with the addresses that everything was rendered for."""
        subnets = self._survey.map.subnets[network]
        self._report(Event("network", network, f"{subnets.v4}, {subnets.v6}"))
        if not self._provisioner.ensure_network(network, subnets):
            if any(each.name == network and each.prefix for each in self._survey.blueprint.target.networks):
                raise Conflict(
                    f"network {network} cannot be made: {subnets.v4} overlaps another network of the engine",
                    resolution="Remove that one there, if nobody needs it; or mend the prefix in the target.",
                )
            raise AddressesTaken(network, subnets)

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step], *, keep: bool) -> Failures:
        """Validate the new files where that is possible, stop processes, make nodes, switch files."""
        return self._failures(
            lambda node: self._prepare_node(node, [step for step in steps if step.node == node], keep=keep), nodes
        )

    def _prepare_node(self, node: str, steps: Sequence[Step], *, keep: bool) -> None:
        tree, acts = self._survey.trees[node], {step.act for step in steps}
        makes = any(act.makes_node for act in acts)
        starting = [step.role for step in steps if step.act.starts_process]
        if Act.WRITE_SLOT in acts:
            self._write_slot(node, acts, starting, keep=keep)
            return
        if Act.KEEP_SLOT in acts:
            self._slots.tried(node)
        kept = keep and self._lives_on(node, acts) and self._provisioner.keep(node)
        if not makes:
            self._install(node, starting)
        if Act.WRITE_FILES in acts and not makes:
            root = self._provisioner.lay(node, tree)
            self._validate(node, root)
        if kept:
            self._kept.add(node)
        if kept and not makes:
            self._guard.arm(node, steps)
        self._stop(node, steps, all_of_them=makes, kept=kept)
        if Act.REBOOT_NODE in acts:
            self._report(Event("node", node, "rebooting it"))
            self._provisioner.reboot(node, tree)
        elif makes:
            self._report(Event("node", node, "making it"))
            if Act.EMPTY_NODE in acts:
                self._provisioner.remove(node)
            self._provisioner.ensure(self._survey.shapes[node], tree)
            self._install(node, starting)
        elif Act.WRITE_FILES in acts:
            self._report(Event("files", node, "switched"))
            self._provisioner.switch(node, tree)
        elif any(act.starts_process for act in acts):
            self._provisioner.folders(node, tree)

    def _write_slot(self, node: str, acts: Collection[Act], starting: Sequence[str], *, keep: bool) -> None:
        """What runs now lives on in the other slot."""
        kept = keep and Act.MAKE_NODE not in acts
        if kept:
            self._kept.add(node)
        self._slots.write(node, acts, self._stop_order(node), keep=kept)
        self._install(node, starting)

    def _lives_on(self, node: str, acts: Collection[Act]) -> bool:
        """Whether what runs on it now could run again: also when it is made anew, if the old one can be set aside."""
        there = self._survey.observed.nodes.get(node)
        makes = any(act.makes_node for act in acts)
        aside = Act.REPLACE_NODE in acts and self._provisioner.sets_aside(node)
        return there is not None and there.running and (aside or not makes)

    def _install(self, node: str, roles: Sequence[str]) -> None:
        """The software of what is about to start, while what runs goes on."""
        seats = [self._survey.blueprint.seat[node, role] for role in roles]
        wanted = [(seat.role, str(self._survey.image_of(seat).artifact.digest)) for seat in seats]
        if wanted:
            self._provisioner.install(node, wanted, self._report)

    def _validate(self, node: str, root: str) -> None:
        """The files that a running process is about to get are judged before anything is stopped, by the artefact that
        will read them: another one than runs now may know what this one does not."""
        observed = self._survey.observed.nodes[node]
        for seat in self._survey.blueprint.seats_of(node):
            process, state = seat.role.process, observed.role(seat.role.name)
            if process is None or not process.validate or state is None or process.type == "oneshot":
                continue
            wanted = self._survey.wanted.nodes[node].role(seat.role.name)
            if state.running and wanted is not None and state.files != wanted.files:
                argv = [part.replace("{root}", root) for part in process.validate]
                if state.artifact == wanted.artifact:
                    answer = self._provisioner.execute(node, seat.role.name, argv, user=process.user)
                else:
                    image = self._survey.image_of(seat).id
                    answer = self._provisioner.try_out(node, image, argv, user=process.user)
                if answer.code != 0:
                    raise stopped(node, f"{seat.role.name} refuses its new files", answer)

    def _stop(self, node: str, steps: Sequence[Step], *, all_of_them: bool, kept: bool) -> None:
        """In the reverse of `stop_order`; what is made anew is removed or set aside too, so that its name is free."""
        there = self._survey.observed.nodes.get(node)
        known = [name for name, state in there.roles if state.has_process] if there is not None else []
        going = {step.role for step in steps if step.act.starts_process or step.act is Act.REMOVE_ROLE}
        stopping = [name for name in known if all_of_them or name in going]
        within = dict(self._stop_order(node))
        order = {name: number for number, name in enumerate(within)}
        stop = self._provisioner.set_aside if kept else self._provisioner.remove_role
        for name in sorted(stopping, key=lambda name: order.get(name, -1), reverse=True):
            stop(node, name, within.get(name, STOP_WITHIN))

    def _stop_order(self, node: str) -> list[tuple[str, int]]:
        return stop_order(self._survey.blueprint, node)

    def start(self, batches: Sequence[Batch]) -> Failures:
        """One run of Ansible for all batches; then the marks of the cluster steps are left. A task of a cluster that
        fails is nobody's failure but the group's."""
        plays: list[Play] = []
        for batch in batches:
            plays += [
                service_play(role, nodes, here=is_here(map(self._provisioner.means, nodes)))
                for role, nodes in batch.starts
            ]
            plays += [self._cluster_play(batch.group, role) for role in batch.clusters]
        for node in dict.fromkeys(node for batch in batches for _, nodes in batch.starts for node in nodes):
            roles = [role for batch in batches for role, nodes in batch.starts if node in nodes]
            self._report(Event("start", node, f"starting {', '.join(roles)}"))
        try:
            if plays:
                self._survey.ansible.run(plays, inventory(self._host_variables(batches)))
        except PlayFailed as failed:
            if not failed.node or any(batch.clusters for batch in batches):
                raise
            return {failed.node: failed}
        for batch in batches:
            for role in batch.clusters:
                self._leave_mark(batch.group, role)
        return {}

    def _cluster_play(self, group: str, role: str) -> Play:
        first = self._group(group).first
        return cluster_play(role, first, self._provisioner.inside(first, role))

    def _host_variables(self, batches: Sequence[Batch]) -> dict[str, dict[str, object]]:
        starts = [(node, role) for batch in batches for role, nodes in batch.starts for node in nodes]
        firsts = [self._group(batch.group).first for batch in batches if batch.clusters]
        names = dict.fromkeys([*(node for node, _ in starts), *firsts])
        seats = self._survey.blueprint.seat
        blocks = self._each(lambda start: service_variables(self._survey, seats[start]), starts)
        processes: dict[str, dict[str, object]] = {name: {} for name in names}
        for (node, role), block in zip(starts, blocks, strict=True):
            processes[node][role] = block
        return {
            name: {**self._survey.variables[name], **self._provisioner.means(name), "processes": processes[name]}
            for name in names
        }

    def owe_cluster(self, group: str, role: str) -> None:
        """Take the mark away; a first node that is not there yet, or is off, has none."""
        first = self._group(group).first
        there = self._survey.observed.nodes.get(first)
        if there is not None and dict(there.cluster).get(role):
            self._provisioner.cluster_done(first, role, OWED)

    def _leave_mark(self, group: str, role: str) -> None:
        wanted = self._group(group)
        state = self._survey.wanted.nodes[wanted.first].role(role)
        assert state is not None
        lives = [(name, self._provisioner.join(name, role).identity) for name in wanted.nodes]
        self._provisioner.cluster_done(wanted.first, role, cluster_mark(role, state, lives))

    def reload(self, steps: Sequence[Step]) -> Failures:
        """By the role's own command; what it has read now is remembered on the node."""
        failures: dict[str, Error] = {}
        for step in steps:
            if step.node not in failures:
                failures |= self._failures(partial(self._reload, role=step.role), [step.node])
        return failures

    def _reload(self, node: str, role: str) -> None:
        self._reread(node, role)
        state = self._survey.wanted.nodes[node].role(role)
        assert state is not None
        self._provisioner.loaded(node, role, state.process)

    def _reread(self, node: str, role: str) -> None:
        process = self._survey.blueprint.seat[node, role].role.process
        assert process is not None
        self._report(Event("reload", f"{role} on {node}"))
        answer = self._provisioner.execute(node, role, process.reload, user=process.user)
        if answer.code != 0:
            raise stopped(node, f"{role} could not be reloaded", answer)

    def withdraw(self, nodes: Sequence[str]) -> Failures:
        """What is still open after `cut_after` is cut when its process stops."""
        return self._failures(lambda node: self._traffic.withdraw(node, without_agent=True), nodes)

    def admit(self, nodes: Sequence[str]) -> Failures:
        """The nodes may get traffic again."""
        return self._failures(self._traffic.admit, nodes)

    def check(self, nodes: Sequence[str]) -> Failures:
        """All checks of the nodes' roles; where they hold, those of the system that go through one node, as far as
        they held before."""
        for node in nodes:
            asked = [check for seat in self._survey.blueprint.seats_of(node) for check in seat.role.checks]
            longest = max((check.within.total_seconds() for check in asked), default=0)
            self._report(Event("waiting", node, f"for {len(asked)} checks, at most {longest:.0f} s"))
        found = checks.check_nodes(self._survey, nodes, self._report)
        self._guard.conclude(found)
        failures = _by_node(found)
        through = [node for node in nodes if node not in failures and node not in self._shut]
        failures |= _by_node(checks.check_through(self._survey, through, self._report))
        return failures | self._failures(self._slots.confirm, [node for node in nodes if node not in failures])

    def watch(self, nodes: Sequence[str], length: timedelta, without: Collection[str]) -> Failures:
        """See `seter.holding`."""
        found = Watch(self._survey, nodes, self._held, without, self._report).run(length)
        self._conclude(one for one in found if not one.node)
        return _by_node(found)

    def look_before(self) -> None:
        """One try each, without waiting. Through a node that is to be changed goes one small object; where nothing runs
        none does, and such a node has to serve afterwards as a new one has."""
        touched = list(dict.fromkeys(step.node for step in self._survey.plan.steps if step.group))
        there = self._survey.observed.nodes
        serving = [node for node in touched if node in there and there[node].running]
        ways = checks.check_through(self._survey, serving, self._report, wait=False, sizes=False)
        self._shut = frozenset(one.node for one in ways if not one.verdict.ok)
        if touched:
            self._throughout.begin()
        found = checks.check_system(self._survey, self._report, only_complete=True, wait=False)
        self._held = frozenset(one.verdict.check for one in found if one.verdict.ok)

    def check_system(self, *, all_of_them: bool, without: Collection[str] = ()) -> None:
        """The system's checks, as far as their groups are complete."""
        names = None if all_of_them else self._held
        found = checks.check_system(self._survey, self._report, only_complete=True, names=names, without=without)
        self._conclude([*found, *(self._throughout.end() if all_of_them else self._throughout.broken())])

    def let_go(self) -> None:
        """See `seter.acts`."""
        self._throughout.broken()
        self._throughout.abandon()

    def close(self) -> None:
        """Nothing that runs beside the roll-out goes on."""
        self._throughout.abandon()
        self._guard.close()

    @staticmethod
    def _conclude(found: Iterable[checks.Found]) -> None:
        if bad := [one for one in found if not one.verdict.ok]:
            raise _bad(bad)

    def can_go_back(self, node: str) -> bool:
        """It was kept by this roll-out, or by one that did not end."""
        return node in self._kept

    def go_back(self, nodes: Sequence[str]) -> Failures:
        """By what the provisioner kept, whatever the definitions say."""
        return self._failures(self._node_back, nodes)

    def _node_back(self, node: str) -> None:
        self._report(Event("back", node, "what ran before comes back"))
        self._guard.release(node)
        for role in self._provisioner.go_back(node, self._stop_order(node)):
            self._reread(node, role)
        self._provisioner.forget(node, gone_back=True)

    def cluster_back(self, group: str, role: str, *, again: bool) -> None:
        """With the files that lie on the first node now."""
        first = self._group(group).first
        if again:
            variables = {first: {**self._survey.variables[first], "processes": {}}}
            self._survey.ansible.run([self._cluster_play(group, role)], inventory(variables))
        there = self._survey.observed.nodes.get(first)
        self._provisioner.cluster_done(first, role, dict(there.cluster).get(role, "") if there is not None else "")

    def forget(self, nodes: Sequence[str]) -> None:
        """Older secrets go with it."""
        self._each(self._provisioner.forget, nodes)

    def remove_node(self, node: str) -> None:
        """With its processes and its state."""
        self._report(Event("node", node, "removing it"))
        self._provisioner.remove(node)

    def remove_network(self, network: str) -> None:
        """When its nodes are gone."""
        self._report(Event("network", network, "removing it"))
        self._provisioner.remove_network(network)

    def _group(self, name: str) -> WantedGroup:
        return next(group for group in self._survey.wanted.groups if group.name == name)

    def _failures(self, act: Callable[[str], object], nodes: Sequence[str]) -> dict[str, Error]:
        """The nodes at once, and the errors of those that failed. What is not a node's fault is raised."""

        def one(node: str) -> Error | None:
            try:
                act(node)
            except Conflict:
                raise
            except Error as error:
                self._report(Event("failed", node, error.message))
                return error
            return None

        return {node: error for node, error in zip(nodes, self._each(one, nodes), strict=True) if error is not None}

    def _each(self, act: Callable[[T], R], things: Sequence[T]) -> list[R]:
        with ThreadPoolExecutor(NODES_AT_ONCE) as threads:
            try:
                return list(threads.map(act, things))
            except KeyboardInterrupt:
                self._provisioner.halt()
                threads.shutdown(wait=False, cancel_futures=True)
                raise


def _by_node(found: Iterable[checks.Found]) -> dict[str, Error]:
    bad: dict[str, list[checks.Found]] = {}
    for one in found:
        if not one.verdict.ok:
            bad.setdefault(one.node, []).append(one)
    return {node: _bad(those) for node, those in bad.items()}


def _bad(found: Sequence[checks.Found]) -> RolloutStopped:
    return RolloutStopped(
        f"{len(found)} checks do not hold; the roll-out stopped there",
        details="\n".join(str(one) for one in found),
        resolution="What was changed so far stays, the rest is as it was. Mend the cause and deploy again; "
        "seter status shows where everything is.",
    )
