"""What is taken from the history instead of looking, and when it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import BadInput
from common.role import Role, RoleType
from common.system import Deployment, Node
from seter.blueprint import Seat
from seter.history import DONE, STATES, History, Run
from seter.keep import Keep, open_keep
from seter.record import unsettled
from seter.recorded import left, write_states
from seter.render import Work
from seter.variables import largest_number, number
from tests.unit.seter.test_history import OBSERVED


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    return open_keep(Deployment("s", "t", "i"), str(tmp_path))


def run(keep: Keep, result: str, digest: str = "d", verb: str = "deploy") -> None:
    runs, states = History(keep), write_states(OBSERVED, {("w1", "web"): digest})
    runs.conclude(runs.begin(Run("s/t/i", verb, {}), {}), result, {STATES: states} if result == DONE else {})


def work(digest: str, node: str = "w1", role: str = "web") -> Work:
    seat = Seat(Node(node, "servers"), Role(role, RoleType.SERVICE, "", Path()), {}, "")
    return Work(seat, digest, Path("nowhere"))


def test_the_last_run_that_got_through_counts_and_what_came_after_is_told(keep: Keep) -> None:
    run(keep, DONE, "old")
    run(keep, DONE, "new")
    run(keep, "failed: x")
    found = left(keep)
    assert (found.run.number, found.observed, found.inputs) == (2, OBSERVED, {("w1", "web"): "new"})
    assert "what run 2 left, " in str(found)
    assert "; 1 later runs did not get through" in str(found)


def test_what_is_rendered_from_the_same_need_not_be_rendered(keep: Keep) -> None:
    run(keep, DONE)
    known = left(keep).known([work("d"), work("d", role="other"), work("d", node="w2")])
    assert known == {("w1", "web"): "f"}
    assert left(keep).known([work("e")]) == {}


@pytest.mark.parametrize("ends", [[], ["failed: x"], [DONE, "destroy"]])
def test_without_such_a_run_one_has_to_look(keep: Keep, ends: list[str]) -> None:
    for end in ends:
        run(keep, DONE if end == "destroy" else end, verb="destroy" if end == "destroy" else "deploy")
    with pytest.raises(BadInput) as refused:
        left(keep)
    assert "without --recorded" in refused.value.resolution


def test_what_a_cut_run_owes_is_owed_in_its_groups_until_a_whole_run_there_gets_through(keep: Keep) -> None:
    def ended(result: str, groups: tuple[str, ...] = (), limit: tuple[str, ...] = ()) -> frozenset[str]:
        runs = History(keep)
        runs.conclude(runs.begin(Run("s/t/i", "deploy", {}, groups=groups, limit=limit), {}), result, {})
        return unsettled(keep, ("a", "b"))

    assert unsettled(keep, ("a", "b")) == frozenset()
    assert ended(DONE) == frozenset()
    assert ended("failed: x") == {"a", "b"}
    assert ended(DONE, groups=("a",)) == {"b"}
    assert ended(DONE, limit=("n1",)) == {"b"}, "a run on one node settles nothing for the others"
    assert ended("rolled back: y") == frozenset()
    History(keep).begin(Run("s/t/i", "deploy", {}, groups=("a",)), {})
    assert unsettled(keep, ("a", "b")) == {"a"}
    assert unsettled(keep, ("b",)) == frozenset(), "whoever is at another group right now is no matter of ours"


def test_a_history_says_in_json_what_a_run_was(keep: Keep) -> None:
    run(keep, DONE)
    said = json.loads(History(keep).part(1, "run.json"))
    assert (said["number"], said["result"], said["format"]) == (1, DONE, 1)


def test_larger_networks_take_more_nodes_and_the_engine_s_number_stays_free() -> None:
    assert (largest_number([24, 20]), largest_number([20, 22]), largest_number([])) == (199, 1022, 199)
    nodes = tuple(Node(f"n{count}", "g") for count in range(300))
    numbers = [place.number for place in number(nodes, {}, 1022).values()]
    assert 254 not in numbers
    assert len(set(numbers)) == 300
    with pytest.raises(BadInput, match="more than 199 nodes"):
        number(nodes, {})
