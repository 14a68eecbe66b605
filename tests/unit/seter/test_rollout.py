"""The order of a roll-out, told by acts that only write down what they were asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from common.errors import Error
from seter.plan import Act, Plan, Step
from seter.rollout import Batch, Rollout, RolloutStopped
from seter.state import OWED, NodeState, Observed, RoleState, Wanted, WantedGroup, WantedRole

ROLES = (WantedRole("etcd", has_cluster_step=True), WantedRole("traefik"))


class Diary:
    """Acts that do nothing but remember, and fail where they are told to."""

    def __init__(self, fail_on: str = "") -> None:
        self.lines: list[str] = []
        self._fail_on = fail_on

    def _write(self, line: str) -> None:
        self.lines.append(line)
        if line == self._fail_on:
            raise RolloutStopped(line, resolution="")

    def make_network(self, network: str) -> None:
        self._write(f"network {network}")

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step]) -> None:
        self._write(f"prepare {' '.join(nodes)}")

    def start(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            for role, nodes in batch.starts:
                self._write(f"start {role} on {' '.join(nodes)}")
            for role in batch.clusters:
                self._write(f"cluster {role} of {batch.group}")

    def owe_cluster(self, group: str, role: str) -> None:
        self._write(f"owe {role} of {group}")

    def reload(self, node: str, role: str) -> None:
        self._write(f"reload {role} on {node}")

    def withdraw(self, node: str) -> None:
        self._write(f"withdraw {node}")

    def admit(self, node: str) -> None:
        self._write(f"admit {node}")

    def check(self, nodes: Sequence[str]) -> None:
        self._write(f"check {' '.join(nodes)}")

    def look_before(self) -> None:
        self._write("look")

    def check_system(self, *, all_of_them: bool) -> None:
        self._write("check all" if all_of_them else "check system")

    def remove_node(self, node: str) -> None:
        self._write(f"remove {node}")

    def remove_network(self, network: str) -> None:
        self._write(f"remove network {network}")


def state(*, running: bool = True) -> NodeState:
    roles = tuple((role.name, RoleState("a", "f", "p", "s", running)) for role in ROLES)
    return NodeState("n", "f", "s", roles)


def group(name: str, *nodes: str) -> WantedGroup:
    return WantedGroup(name, ROLES, nodes, nodes[0], withdraws=True)


def told(
    groups: Sequence[WantedGroup],
    steps: Sequence[Step],
    there: dict[str, NodeState],
    diary: Diary,
    unfinished: Sequence[str] = (),
) -> list[str]:
    nodes = {node: state() for each in groups for node in each.nodes}
    wanted = Wanted("s/t/i", (), tuple(groups), nodes)
    Rollout(Plan("s/t/i", tuple(steps)), wanted, Observed({}, there, {}), diary, unfinished=unfinished).run()
    return diary.lines


def fresh(group: WantedGroup) -> list[Step]:
    steps = []
    for node in group.nodes:
        steps += [Step(Act.MAKE_NODE, group.name, node), Step(Act.WRITE_FILES, group.name, node)]
        steps += [Step(Act.START, group.name, node, role.name) for role in ROLES]
    return [*steps, Step(Act.CLUSTER, group.name, group.first, "etcd")]


def restart(group: WantedGroup, *nodes: str) -> list[Step]:
    return [Step(Act.RESTART, group.name, node, "traefik") for node in nodes]


def test_groups_in_which_nothing_serves_are_bootstrapped_in_one_go() -> None:
    one, two = group("one", "a", "b"), group("two", "c")
    lines = told([one, two], [Step(Act.MAKE_NETWORK, "", "net"), *fresh(one), *fresh(two)], {}, Diary())
    assert lines == [
        "network net",
        "owe etcd of one",
        "owe etcd of two",
        "prepare a b c",
        "start etcd on a b",
        "start traefik on a b",
        "cluster etcd of one",
        "start etcd on c",
        "start traefik on c",
        "cluster etcd of two",
        "check a b c",
        "check all",
    ]


def test_nodes_that_serve_go_one_at_a_time_away_from_traffic() -> None:
    one = group("one", "a", "b")
    lines = told([one], restart(one, "a", "b"), {"a": state(), "b": state()}, Diary())
    assert lines == [
        "look",
        *("withdraw a", "prepare a", "start traefik on a", "check a", "admit a", "check system"),
        *("withdraw b", "prepare b", "start traefik on b", "check b", "admit b", "check system"),
        "check all",
    ]


def test_the_first_failure_leaves_the_other_nodes_alone() -> None:
    one = group("one", "a", "b")
    diary = Diary(fail_on="check a")
    with pytest.raises(Error):
        told([one], restart(one, "a", "b"), {"a": state(), "b": state()}, diary)
    assert diary.lines[-1] == "check a"
    assert RolloutStopped("", resolution="").exit_code == 5


def test_nodes_that_are_down_come_back_before_one_that_serves_is_touched() -> None:
    one = group("one", "a", "b", "c")
    steps = [*restart(one, "a"), Step(Act.REPLACE_NODE, "one", "b"), Step(Act.START, "one", "b", "traefik")]
    there = {"a": state(), "b": replace(state(), running=False), "c": state()}
    lines = told([one], steps, there, Diary())
    assert lines[:4] == ["look", "prepare b", "start traefik on b", "check b"]
    assert lines[4] == "withdraw a"


def test_a_reload_does_not_take_the_node_from_traffic() -> None:
    one = group("one", "a")
    lines = told([one], [Step(Act.RELOAD, "one", "a", "traefik")], {"a": state()}, Diary())
    assert lines == ["look", "prepare a", "reload traefik on a", "check a", "check system", "check all"]


def test_a_cluster_step_alone_touches_no_node() -> None:
    one = group("one", "a")
    lines = told([one], [Step(Act.CLUSTER, "one", "a", "etcd")], {"a": state()}, Diary())
    assert lines == ["look", "owe etcd of one", "cluster etcd of one", "check all"]


NEVER = {"a": replace(state(), cluster=(("etcd", ""),)), "b": state()}


def test_a_cluster_step_that_was_never_done_comes_first_since_no_node_can_serve_before_it() -> None:
    one = group("one", "a", "b")
    steps = [*restart(one, "b"), Step(Act.CLUSTER, "one", "a", "etcd")]
    lines = told([one], steps, NEVER, Diary(), unfinished=["a"])
    assert lines.index("cluster etcd of one") < lines.index("admit a") < lines.index("withdraw b")


def test_a_group_whose_making_was_cut_off_is_made_in_one_go_though_what_runs_so_far_is_well() -> None:
    one = group("one", "a", "b")
    half = NodeState("n", "f", "s", state().roles[:1])
    steps = [Step(Act.START, "one", node, "traefik") for node in one.nodes]
    cluster = Step(Act.CLUSTER, "one", "a", "etcd")
    lines = told([one], [*steps, cluster], {"a": half, "b": half}, Diary())
    assert "start traefik on a b" in lines
    done = replace(half, cluster=(("etcd", "done"),))
    assert "start traefik on a b" not in told([one], [*steps, cluster], {"a": done, "b": half}, Diary())


def test_where_its_own_processes_have_to_start_it_comes_with_the_first_of_them() -> None:
    one = group("one", "a", "b")
    etcd = [Step(Act.RESTART, "one", node, "etcd") for node in one.nodes]
    lines = told([one], [*etcd, Step(Act.CLUSTER, "one", "a", "etcd")], NEVER, Diary(), unfinished=["b"])
    assert lines.index("start etcd on a") < lines.index("cluster etcd of one") < lines.index("check a")
    assert lines.index("check a") < lines.index("withdraw b") < lines.index("admit b")


def test_a_cluster_step_that_was_done_before_comes_after_the_last_node() -> None:
    one = group("one", "a", "b")
    steps = [*restart(one, "a", "b"), Step(Act.CLUSTER, "one", "a", "etcd")]
    owed = {"a": replace(state(), cluster=(("etcd", OWED),)), "b": state()}
    lines = told([one], steps, owed, Diary())
    assert lines.index("cluster etcd of one") > lines.index("check b")


def test_what_is_too_much_goes_last() -> None:
    one = group("one", "a")
    steps = [Step(Act.REMOVE_NODE, "", "z"), Step(Act.REMOVE_NETWORK, "", "old"), *restart(one, "a")]
    lines = told([one], steps, {"a": state()}, Diary())
    assert lines[-3:] == ["remove z", "remove network old", "check all"]


def test_what_a_cut_roll_out_left_withdrawn_is_admitted_though_nothing_else_is_to_do() -> None:
    one = group("one", "a", "b")
    lines = told([one], [], {"a": state(), "b": state()}, Diary(), ["a", "b"])
    assert lines == ["look", "admit a", "admit b", "check all"]


def test_a_node_that_came_back_is_admitted_before_the_next_is_taken_out() -> None:
    """Cut between stop and start, the node is down, and its agent still knows of the withdrawal."""
    one = group("one", "a", "b", "c")
    there = {"a": replace(state(), running=False), "b": state(), "c": state()}
    lines = told([one], restart(one, "a", "b"), there, Diary(), ["a", "b", "c"])
    swap = ["withdraw b", "prepare b", "start traefik on b", "check b", "admit b"]
    assert lines == [
        *("look", "prepare a", "start traefik on a", "check a", "admit a", "admit c"),
        *(*swap, "check system", "check all"),
    ]


def test_a_node_that_is_not_withdrawn_for_its_steps_is_admitted_when_it_was_left_out() -> None:
    one = group("one", "a")
    lines = told([one], [Step(Act.RELOAD, "one", "a", "traefik")], {"a": state()}, Diary(), ["a"])
    assert lines == ["look", "prepare a", "reload traefik on a", "check a", "admit a", "check system", "check all"]


def test_nodes_that_are_down_and_stay_so_are_not_admitted() -> None:
    one, two = group("one", "a"), group("two", "b")
    lines = told([one, two], restart(one, "a"), {"a": state()}, Diary(), ["a", "b"])
    assert lines[-3:] == ["admit a", "check system", "check all"]
