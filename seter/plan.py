"""Desired against observed gives a Plan. Pure: nothing here looks at the world or touches it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from common.role import OnChange
from seter.state import (
    CHANGED,
    NodeState,
    Observed,
    RoleState,
    Wanted,
    WantedGroup,
    WantedRole,
    cluster_mark,
    digest_of,
)


class Act(StrEnum):
    """What a step does. The predicates hold the policy; nobody else asks which act it is to decide one."""

    MAKE_NETWORK = "make network"
    MAKE_NODE = "make node"
    REPLACE_NODE = "replace node"
    REBOOT_NODE = "reboot node"
    EMPTY_NODE = "replace node and its state"
    WRITE_SLOT = "write slot"
    KEEP_SLOT = "keep slot"
    WRITE_FILES = "write files"
    REMOVE_ROLE = "remove role"
    START = "start"
    RESTART = "restart"
    RELOAD = "reload"
    CLUSTER = "cluster"
    REMOVE_NODE = "remove node"
    REMOVE_NETWORK = "remove network"

    @property
    def makes_node(self) -> bool:
        """After it the node is a new one: nothing of what ran on it runs any more."""
        return self in (Act.MAKE_NODE, Act.REPLACE_NODE, Act.REBOOT_NODE, Act.EMPTY_NODE, Act.WRITE_SLOT)

    @property
    def starts_process(self) -> bool:
        """The role's process is made anew."""
        return self in (Act.START, Act.RESTART)

    @property
    def stops_process(self) -> bool:
        """A process that runs now will not run for a moment, or for good."""
        stops_all = (Act.REPLACE_NODE, Act.REBOOT_NODE, Act.EMPTY_NODE, Act.REMOVE_NODE, Act.WRITE_SLOT)
        return self in (Act.RESTART, Act.REMOVE_ROLE, *stops_all)

    @property
    def needs_withdrawal(self) -> bool:
        """New traffic has to be kept away from the node first, if it serves."""
        return self.stops_process


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `node` is the network's name for networks; `role` is empty where the whole node is meant."""

    act: Act
    group: str
    node: str
    role: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.node}{' ' + self.role if self.role else ''}: {self.act}, {self.reason}"


@dataclass(frozen=True)
class Plan:
    """Everything that a deploy will do, in order of groups; nodes of a group are in the order of the target's file."""

    deployment: str
    steps: tuple[Step, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing differs."""
        return not self.steps

    @property
    def fingerprint(self) -> str:
        """Two plans that do the same have the same."""
        steps = [(step.act, step.group, step.node, step.role, step.before, step.after) for step in self.steps]
        return digest_of(self.deployment, steps)

    def of_group(self, group: str) -> tuple[Step, ...]:
        """The steps on a group's nodes."""
        return tuple(step for step in self.steps if step.group == group)

    def of_node(self, node: str) -> tuple[Step, ...]:
        """The steps on one node, without those that its group takes once."""
        return self._by_node.get(node, ())

    @cached_property
    def _by_node(self) -> Mapping[str, tuple[Step, ...]]:
        found: dict[str, list[Step]] = {}
        for step in self.steps:
            if step.group and step.act is not Act.CLUSTER:
                found.setdefault(step.node, []).append(step)
        return {node: tuple(steps) for node, steps in found.items()}

    def nodes_of(self, group: str) -> tuple[str, ...]:
        """The nodes of the group that have steps of their own."""
        steps = (step for step in self.of_group(group) if step.act is not Act.CLUSTER)
        return tuple(dict.fromkeys(step.node for step in steps))


def make_plan(wanted: Wanted, observed: Observed, *, only: str = "") -> Plan:
    """What has to be done so that what is there becomes what is wanted. `only` leaves out all groups but one."""
    steps: list[Step] = list(_networks_to_make(wanted, observed))
    for group in wanted.groups:
        if not only or group.name == only:
            steps += _group_steps(group, wanted, observed)
    if not only:
        steps += _removals(wanted, observed)
    return Plan(wanted.deployment, tuple(steps))


def _networks_to_make(wanted: Wanted, observed: Observed) -> Iterator[Step]:
    for name in wanted.networks:
        if name not in observed.networks:
            yield Step(Act.MAKE_NETWORK, "", name, reason="there is none")


def _removals(wanted: Wanted, observed: Observed) -> Iterator[Step]:
    for name in observed.nodes:
        if name not in wanted.nodes:
            yield Step(Act.REMOVE_NODE, "", name, reason="the target does not name it")
    for name in observed.networks:
        if name not in wanted.networks:
            yield Step(Act.REMOVE_NETWORK, "", name, reason="the target does not name it")


def _group_steps(group: WantedGroup, wanted: Wanted, observed: Observed) -> list[Step]:
    steps: list[Step] = []
    for name in group.nodes:
        if name in observed.unreachable:
            continue
        steps += (
            replace(step, group=group.name, node=name)
            for step in _node_steps(group, wanted.nodes[name], observed.nodes.get(name))
        )
    return steps + list(_cluster_steps(group, wanted, observed, steps))


def _node_steps(group: WantedGroup, wanted: NodeState, seen: NodeState | None) -> Iterator[Step]:
    """Steps of one node; the caller fills in group and node."""
    if seen is None:
        yield Step(Act.MAKE_NODE, "", "", after=wanted.shape, reason="there is none")
        if wanted.system:
            reason = "nobody knows what it runs: its idle slot will be written, and rebooted into"
            yield Step(Act.WRITE_SLOT, "", "", after=wanted.system, reason=reason)
        yield from _all_starts(group, wanted, "its node is new")
    elif wanted.system and seen.running and seen.system != wanted.system:
        what = "its packages or programs were changed" if seen.system.startswith(CHANGED) else "its system differs"
        where = f"slot {written_slot(seen)}" if seen.slot else "its idle slot"
        reason = f"{what}: will be written to {where} and rebooted"
        yield Step(Act.WRITE_SLOT, "", "", before=seen.system, after=wanted.system, reason=reason)
        yield from _all_starts(group, wanted, "its system is another one then")
    elif seen.shape != wanted.shape or not seen.running:
        reason = "it has stopped" if seen.shape == wanted.shape else "its image, addresses or kernel settings differ"
        yield Step(Act.REPLACE_NODE, "", "", before=seen.shape, after=wanted.shape, reason=reason)
        yield from _all_starts(group, wanted, "its node is made anew")
    else:
        if wanted.system and seen.on_trial:
            yield Step(Act.KEEP_SLOT, "", "", after=seen.slot, reason=f"slot {seen.slot} is booted this once")
        yield from _file_steps(wanted, seen)
        yield from _role_removals(wanted, seen)
        for role in group.roles:
            yield from _role_steps(role, wanted, seen)


def written_slot(seen: NodeState) -> str:
    """Where another system goes: the slot that a boot without a word does not take."""
    other = {"a": "b", "b": "a"}.get(seen.slot, "")
    return seen.slot if seen.on_trial else other


def _all_starts(group: WantedGroup, wanted: NodeState, reason: str) -> Iterator[Step]:
    yield Step(Act.WRITE_FILES, "", "", after=wanted.files, reason=reason)
    for role in group.roles:
        state = wanted.role(role.name)
        if state is not None and role.has_process:
            yield Step(Act.START, "", "", role.name, after=state.process, reason=reason)


def _file_steps(wanted: NodeState, seen: NodeState) -> Iterator[Step]:
    names = [name for name, state in wanted.roles if (there := seen.role(name)) is None or there.files != state.files]
    if seen.secrets != wanted.secrets:
        names.append("secrets")
    if names or seen.files != wanted.files:
        what = f"files of {', '.join(names)} differ" if names else "it holds files that nobody wants"
        yield Step(Act.WRITE_FILES, "", "", before=seen.files, after=wanted.files, reason=what)


def _role_removals(wanted: NodeState, seen: NodeState) -> Iterator[Step]:
    for name, state in seen.roles:
        there = wanted.role(name)
        if state.has_process and (there is None or not there.has_process):
            yield Step(Act.REMOVE_ROLE, "", "", name, before=state.process, reason="its group does not have it")


def _role_steps(role: WantedRole, wanted: NodeState, seen: NodeState) -> Iterator[Step]:
    state, there = wanted.role(role.name), seen.role(role.name)
    if state is None or not role.has_process:
        return
    before = there.process if there is not None else ""
    act, reason = _change(role, state, there)
    if act is not None:
        yield Step(act, "", "", role.name, before=before, after=state.process, reason=reason)


def _change(role: WantedRole, wanted: RoleState, seen: RoleState | None) -> tuple[Act | None, str]:
    """What a process needs, by comparing what it last read with what it should have read."""
    if seen is None or not seen.has_process:
        return Act.START, "it does not run"
    if not seen.running:
        return Act.START, "it has stopped, or its node was restarted without it"
    if seen.start != wanted.start:
        what = "its artefact differs" if seen.artifact != wanted.artifact else "its process block or a secret differs"
        return Act.RESTART, what
    if seen.process != wanted.process:
        reload = role.on_change is OnChange.RELOAD and role.reloads
        return (Act.RELOAD if reload else Act.RESTART), "it runs with older files"
    return None, ""


def _cluster_steps(group: WantedGroup, wanted: Wanted, observed: Observed, steps: list[Step]) -> Iterator[Step]:
    """One step for each role that sets up its group, on the group's first node, unless its mark says all is done."""
    for role in group.roles:
        if role.has_cluster_step and group.nodes:
            reason = _cluster_reason(role, group, wanted, observed, steps)
            if reason:
                yield Step(Act.CLUSTER, group.name, group.first, role.name, reason=reason)


def _cluster_reason(role: WantedRole, group: WantedGroup, wanted: Wanted, observed: Observed, steps: list[Step]) -> str:
    """Why the group needs the step; empty when the mark of the last one says that nothing has changed since."""
    if group.first in observed.unreachable:
        return ""
    if any(step.act is Act.START and step.role == role.name for step in steps):
        return "a member is started"
    state = wanted.nodes[group.first].role(role.name)
    if state is None or any(name not in observed.nodes for name in group.nodes):
        return ""  # the role's group has no such role there; new members are started, see above
    lives = [(name, observed.nodes[name].identity) for name in group.nodes]
    left = dict(observed.nodes[group.first].cluster).get(role.name)
    return "" if left == cluster_mark(role.name, state, lives) else "not done since files or members changed"
