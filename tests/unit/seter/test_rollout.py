"""The order of a roll-out, told by acts that only write down what they were asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from common.errors import Error
from common.system import Rollout as Rules
from seter.acts import Batch, Failures, LeftOut, Paused, RolledBack, RolloutStopped
from seter.batches import batches
from seter.batches import told as order_told
from seter.plan import Act, Plan, Step
from seter.rollout import ONE_BY_ONE, Rollout
from seter.state import OWED, NodeState, Observed, RoleState, Wanted, WantedGroup, WantedRole

ROLES = (WantedRole("etcd", has_cluster_step=True), WantedRole("traefik"))


class Diary:
    """Acts that do nothing but remember, and fail where they are told to: `fail_on` are lines, `nodes` are those that
    fail in the act whose line begins with `word`."""

    def __init__(self, fail_on: str = "", *, word: str = "", nodes: Sequence[str] = ()) -> None:
        self.lines: list[str] = []
        self.told: list[str] = []
        self.kept: set[str] = set()
        self._fail_on, self._word, self._nodes = fail_on, word, nodes

    def _write(self, line: str) -> None:
        self.lines.append(line)
        if line == self._fail_on:
            raise RolloutStopped(line, resolution="")

    def _asked(self, word: str, nodes: Sequence[str]) -> Failures:
        self.lines.append(f"{word} {' '.join(nodes)}")
        failed = [node for node in nodes if node in self._nodes] if word == self._word else []
        failed += nodes if self.lines[-1] == self._fail_on else []
        return {node: RolloutStopped(f"{word} {node}", resolution="") for node in failed}

    def begin(self, nodes: Sequence[str]) -> None:
        self.told += [f"begin {node}" for node in nodes]

    def done(self, nodes: Sequence[str]) -> None:
        self.told += [f"done {node}" for node in nodes]

    def make_network(self, network: str) -> None:
        self._write(f"network {network}")

    def prepare(self, nodes: Sequence[str], steps: Sequence[Step], *, keep: bool) -> Failures:
        return self._asked("prepare", nodes)

    def start(self, batches: Sequence[Batch]) -> Failures:
        failed: dict[str, Error] = {}
        for batch in batches:
            for role, nodes in batch.starts:
                failed |= self._asked(f"start {role} on", nodes)
            for role in batch.clusters:
                self._write(f"cluster {role} of {batch.group}")
        return failed

    def owe_cluster(self, group: str, role: str) -> None:
        self._write(f"owe {role} of {group}")

    def reload(self, steps: Sequence[Step]) -> Failures:
        for step in steps:
            self._write(f"reload {step.role} on {step.node}")
        return {}

    def withdraw(self, nodes: Sequence[str]) -> Failures:
        return self._asked("withdraw", nodes)

    def admit(self, nodes: Sequence[str]) -> Failures:
        return self._asked("admit", nodes)

    def check(self, nodes: Sequence[str]) -> Failures:
        return self._asked("check", nodes)

    def watch(self, nodes: Sequence[str], length: timedelta, without: Collection[str]) -> Failures:
        return self._asked("watch", nodes)

    def look_before(self) -> None:
        self._write("look")

    def check_system(self, *, all_of_them: bool, without: Collection[str] = ()) -> None:
        self._write(f"check {'all' if all_of_them else 'system'}{' without ' if without else ''}{' '.join(without)}")

    def let_go(self) -> None:
        self._write("let go")

    def can_go_back(self, node: str) -> bool:
        return node in self.kept

    def go_back(self, nodes: Sequence[str]) -> Failures:
        return self._asked("back", nodes)

    def cluster_back(self, group: str, role: str, *, again: bool) -> None:
        self._write(f"cluster back {role} of {group}{' again' if again else ''}")

    def forget(self, nodes: Sequence[str]) -> None:
        if nodes:
            self._write(f"forget {' '.join(nodes)}")

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
    rules: Rules = ONE_BY_ONE,
    pause_after: str = "",
) -> list[str]:
    nodes = {node: state() for each in groups for node in each.nodes}
    wanted = Wanted("s/t/i", (), tuple(groups), nodes)
    plan, observed = Plan("s/t/i", tuple(steps)), Observed({}, there, {})
    Rollout(plan, wanted, observed, diary, rules=rules, unfinished=unfinished, pause_after=pause_after).run()
    return [line for line in diary.lines if not line.startswith("forget")]


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


def test_a_node_that_a_cut_roll_out_left_out_of_traffic_comes_first() -> None:
    one = group("one", "a", "b", "c")
    there = {node: state() for node in one.nodes}
    lines = told([one], restart(one, "a", "b", "c"), there, Diary(), unfinished=["b"])
    assert [line for line in lines if line.startswith(("withdraw", "admit"))] == [
        *("withdraw b", "admit b", "withdraw a", "admit a", "withdraw c", "admit c"),
    ]


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
    assert lines == ["look", "admit a b", "check all"]


def test_a_node_that_came_back_is_admitted_before_the_next_is_taken_out() -> None:
    """Cut between stop and start, the node is down, and its agent still knows of the withdrawal."""
    one = group("one", "a", "b", "c")
    there = {"a": replace(state(), running=False), "b": state(), "c": state()}
    lines = told([one], restart(one, "a", "b"), there, Diary(), ["a", "b", "c"])
    swap = ["withdraw b", "prepare b", "start traefik on b", "check b", "admit b"]
    assert lines == [
        *("look", "prepare a", "start traefik on a", "check a", "admit a c"),
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


BACK = Rules(watch=timedelta(0), on_failure="roll back")
FIVE = group("five", "a", "b", "c", "d", "e")
ALL = {node: replace(state(), cluster=(("etcd", "done"),)) for node in FIVE.nodes}


def ended(diary: Diary, rules: Rules, steps: Sequence[Step] = (), pause_after: str = "") -> Error:
    """How the roll-out over five nodes that serve ended."""
    with pytest.raises(Error) as error:
        told([FIVE], steps or restart(FIVE, *FIVE.nodes), ALL, diary, rules=rules, pause_after=pause_after)
    return error.value


def test_canaries_go_first_then_as_many_at_once_as_the_group_can_spare() -> None:
    rules = Rules(canary=1, at_once=3)
    free = replace(FIVE, roles=(WantedRole("web"),))
    assert list(batches(free, FIVE.nodes, rules)) == [("a",), ("b", "c", "d"), ("e",)]
    assert list(batches(replace(free, at_least=4), FIVE.nodes, rules)) == [(node,) for node in FIVE.nodes]
    assert list(batches(FIVE, FIVE.nodes, rules)) == [("a",), ("b", "c"), ("d", "e")]  # a majority of etcd stays
    assert list(batches(free, FIVE.nodes, Rules(canary=2, at_once=2))) == [("a", "b"), ("c", "d"), ("e",)]
    assert list(batches(free, FIVE.nodes, Rules(canary=0, at_once=5))) == [("a", "b", "c", "d"), ("e",)]
    assert list(batches(group("one", "a"), ("a",), rules)) == [("a",)]
    assert order_told(FIVE, FIVE.nodes, rules) == "a, then b and c, then d and e"


def test_a_batch_is_withdrawn_swapped_and_admitted_together_and_watched() -> None:
    rules = Rules(canary=0, at_once=2, watch=timedelta(seconds=3))
    lines = told([FIVE], restart(FIVE, "a", "b"), ALL, Diary(), rules=rules)
    assert lines == [
        *("look", "withdraw a b", "prepare a b", "start traefik on a b", "check a b", "admit a b", "check system"),
        *("watch a b", "check all"),
    ]


def test_a_canary_that_fails_goes_back_and_no_second_node_is_touched() -> None:
    diary = Diary("start traefik on a")
    error = ended(diary, BACK)
    assert (error.exit_code, type(error)) == (6, RolledBack)
    assert diary.lines[1:] == [
        *("withdraw a", "prepare a", "start traefik on a", "let go"),
        *("back a", "check a", "admit a", "check system"),
    ]


def test_nodes_that_had_come_through_go_back_too_one_after_the_other_in_the_reverse_order() -> None:
    diary = Diary("start traefik on c")
    assert isinstance(ended(diary, BACK), RolledBack)
    back = diary.lines[diary.lines.index("back c") :]
    assert back == [
        *("back c", "check c", "admit c"),
        *("withdraw b", "back b", "check b", "admit b", "withdraw a", "back a", "check a", "admit a", "check system"),
    ]
    assert not [line for line in diary.lines if line.endswith((" d", " e"))]


def test_what_shows_only_while_it_is_watched_is_a_failure_too() -> None:
    diary = Diary("watch a")
    assert isinstance(ended(diary, replace(BACK, watch=timedelta(seconds=1))), RolledBack)
    assert diary.lines[diary.lines.index("watch a") + 1 :] == ["let go", "back a", "check a", "admit a", "check system"]


def test_a_system_whose_checks_stop_holding_after_a_node_is_that_nodes_failure() -> None:
    class Broken(Diary):
        def check_system(self, *, all_of_them: bool, without: Collection[str] = ()) -> None:
            super().check_system(all_of_them=all_of_them, without=without)
            if "back a" not in self.lines:
                raise RolloutStopped("spread", resolution="")

    diary = Broken()
    assert isinstance(ended(diary, BACK), RolledBack)
    assert diary.lines[-4:] == ["back a", "check a", "admit a", "check system"]


def test_with_stop_what_was_changed_stays() -> None:
    diary = Diary("check b")
    assert ended(diary, replace(BACK, on_failure="stop")).exit_code == 5
    assert diary.lines[-1] == "check b"


def test_as_many_nodes_as_the_budget_says_may_fail_over_the_whole_roll_out() -> None:
    diary = Diary(word="check", nodes=["b"])
    error = ended(diary, replace(BACK, budget=1))
    assert isinstance(error, LeftOut)
    assert error.exit_code == 4
    assert "admit b" not in diary.lines
    assert diary.lines[-2:] == ["check all without b", "forget a c d e"]
    assert "check system without b" in diary.lines


def test_a_slow_decay_over_batches_uses_the_budget_up() -> None:
    """SE-01: 1 of them may fail, in all, and not in each batch."""
    diary = Diary(word="check", nodes=["a", "c"])
    error = ended(diary, replace(BACK, budget=1, on_failure="stop"))
    assert (error.exit_code, error.message) == (5, "2 nodes failed, and 1 may: a, c")
    assert "withdraw d" not in diary.lines


def test_a_node_that_cannot_be_reached_is_a_node_that_failed() -> None:
    """SE-01: b does not answer from its withdrawal on, and neither when it is asked back; c is never touched."""
    diary = Diary(word="withdraw", nodes=["b"])
    assert ended(diary, replace(BACK, on_failure="stop")).exit_code == 5
    assert diary.lines[-1] == "withdraw b"


def test_what_cannot_go_back_is_said_with_both_reasons() -> None:
    diary = Diary(word="check", nodes=["a"])  # also after it went back
    error = ended(diary, BACK)
    assert error.exit_code == 5
    assert "going back failed" in error.message


def test_what_fails_last_goes_back_whole_and_what_was_set_up_is_so_again() -> None:
    diary = Diary("check all")
    steps = [*restart(FIVE, "a", "b"), Step(Act.CLUSTER, "five", "a", "etcd")]
    assert isinstance(ended(diary, BACK, steps), RolledBack)
    assert diary.lines[diary.lines.index("check all") + 1 :] == [
        *("let go", "withdraw b", "back b", "check b", "admit b", "withdraw a", "back a", "check a", "admit a"),
        *("cluster back etcd of five again", "check system"),
    ]
    diary = Diary("prepare a")
    ended(diary, BACK, steps)
    assert "cluster back etcd of five" in diary.lines


def test_nodes_that_an_earlier_roll_out_changed_go_back_with_this_one() -> None:
    there = ALL | {"a": replace(state(), kept=True)}
    diary = Diary("prepare b")
    with pytest.raises(RolledBack):
        told([FIVE], restart(FIVE, "b", "c"), there, diary, rules=BACK)
    assert [line for line in diary.lines if line.startswith("back")] == ["back b", "back a"]


def test_when_all_went_well_nothing_is_kept_any_more() -> None:
    diary = Diary()
    told([FIVE], restart(FIVE, "b"), ALL | {"a": replace(state(), kept=True)}, diary, rules=BACK)
    assert diary.lines[-2:] == ["check all", "forget a b"]


def test_a_group_in_which_nothing_serves_has_nothing_to_go_back_to() -> None:
    diary = Diary("check a b c d e")
    with pytest.raises(RolloutStopped):
        told([FIVE], fresh(FIVE), {}, diary, rules=BACK)
    assert not [line for line in diary.lines if line.startswith("back")]


@pytest.mark.parametrize(("after", "last"), [("canary", "a"), ("batch", "a")])
def test_it_pauses_where_it_was_asked_to_and_the_next_goes_on(after: str, last: str) -> None:
    diary = Diary()
    error = ended(diary, BACK, pause_after=after)
    assert isinstance(error, Paused)
    assert error.exit_code == 4
    assert "4 nodes are still to come" in error.message
    assert diary.lines[-2:] == [f"admit {last}", "check system"]


def test_a_pause_after_a_canary_lets_the_batches_run_and_none_is_made_after_the_last_node() -> None:
    rules = replace(BACK, canary=0)
    assert told([FIVE], restart(FIVE, "a", "b"), ALL, Diary(), rules=rules, pause_after="canary")[-1] == "check all"
    assert told([FIVE], restart(FIVE, "a"), ALL, Diary(), rules=rules, pause_after="batch")[-1] == "check all"


def test_who_looks_on_is_told_whose_turn_it_is() -> None:
    diary = Diary()
    told([FIVE], restart(FIVE, "a", "b"), ALL, diary, rules=BACK)
    assert diary.told == ["begin a", "done a", "begin b", "done b"]
