"""seter.chaos: what experiments may cost, what stands in their files, and what is still to be taken back."""

from __future__ import annotations

import dataclasses
import itertools
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.catalog import Catalog
from common.errors import BadInput, Conflict, Corrupt
from common.system import Deployment, System, Target
from seter.blueprint import known_group, read_blueprint
from seter.chaos import actions, toolkit
from seter.chaos.allowance import Allowance, Mark, Stop, distrusted, judge, read_terms
from seter.chaos.experiments import all_of, chosen, missing
from seter.chaos.ledger import FILE, Due, Ledger
from seter.chaos.watching import documents
from seter.nodes import restarting
from seter.plan import Plan
from seter.state import NodeState, Observed, RoleState, Wanted, WantedGroup
from seter.survey import Request
from tests.conftest import ROOT

START = 1_000_000.0
SEEN = Observed({}, {}, {})


@pytest.fixture(scope="module")
def definition() -> tuple[System, Target]:
    return Catalog.open(ROOT / "systems").definition("s3-lb", "container")


def load(*planned: float, seconds: float = 20.0) -> dict[str, Any]:
    failures = [{"planned": each} for each in planned]
    return {"started_at": START, "seconds": seconds, "failures": failures, "invalid": []}


def ok(allowance: Allowance, said: dict[str, Any], *marks: float, back: float | None = 1.0) -> bool:
    made = [Mark("something", "gw1", START + at) for at in marks]
    trusted = not distrusted(allowance, said, made)
    return trusted and all(each.is_kept for each in judge(allowance, said, made, back))


A_SECOND = Allowance(failed_for=timedelta(seconds=1))


def test_requests_may_fail_for_as_long_as_is_allowed_after_each_change() -> None:
    assert ok(A_SECOND, load(), 2.0)
    assert ok(A_SECOND, load(2.1, 2.9, 8.5), 2.0, 8.0)
    assert not ok(A_SECOND, load(2.1, 3.1), 2.0, 8.0)
    assert not ok(A_SECOND, load(9.2), 2.0, 8.0)


def test_a_request_that_failed_before_anything_was_done_is_never_allowed() -> None:
    assert not ok(A_SECOND, load(1.9), 2.0)
    assert not ok(Allowance(failed=5, failed_for=timedelta(seconds=60)), load(1.9), 2.0)


def test_a_request_that_was_under_way_when_something_was_done_may_fail() -> None:
    said = load(1.9)
    said["failures"][0]["seconds"] = 2.0
    assert ok(A_SECOND, said, 2.0) and not ok(A_SECOND, said, 4.0) and not ok(Allowance(failed=0), said, 2.0)


def test_so_many_may_fail_and_no_more() -> None:
    two = Allowance(failed=2, failed_for=timedelta(seconds=5))
    assert ok(two, load(2.5, 3.0), 2.0) and not ok(two, load(2.5, 3.0, 3.5), 2.0)
    none = Allowance(failed=0)
    assert ok(none, load(), 2.0) and not ok(none, load(2.1), 2.0)


def test_what_was_taken_back_is_a_change_too() -> None:
    mark = Mark("something", "gw1", START + 2, START + 8)
    assert all(each.is_kept for each in judge(A_SECOND, load(2.5, 8.5), [mark], 1.0))
    assert not all(each.is_kept for each in judge(A_SECOND, load(2.5, 7.5), [mark], 1.0))


@pytest.mark.parametrize("back", [None, 31.0])
def test_what_does_not_get_well_in_time_did_not_hold(back: float | None) -> None:
    assert ok(A_SECOND, load(), 2.0, back=29.0) and not ok(A_SECOND, load(), 2.0, back=back)


@pytest.mark.parametrize("said", [{}, {"error": "no such client"}, {"failures": "many"}])
def test_a_load_that_says_nothing_proves_nothing(said: dict[str, Any]) -> None:
    assert not ok(A_SECOND, said, 2.0)
    assert not judge(A_SECOND, said, [Mark("something", "gw1", START)], 1.0)[0].is_kept


def test_a_load_that_ended_too_early_or_came_late_proves_nothing() -> None:
    longer = Allowance(failed_for=timedelta(seconds=15))
    assert "before the time" in distrusted(longer, load(seconds=10.0), [Mark("something", "gw1", START + 2)])
    assert distrusted(longer, load() | {"invalid": ["requests were sent late"]}, []) == "requests were sent late"
    assert "no such client" in distrusted(longer, {"error": "no such client"}, [])


@given(st.lists(st.floats(0, 20)), st.lists(st.floats(0, 20), min_size=1), st.floats(0, 5))
def test_what_a_shorter_time_allows_a_longer_one_allows_too(due: list[float], marks: list[float], more: float) -> None:
    short, longer = A_SECOND, Allowance(failed_for=timedelta(seconds=1 + more))
    if ok(short, load(*due, seconds=10_000.0), *sorted(marks)):
        assert ok(longer, load(*due, seconds=10_000.0), *sorted(marks))


def test_an_experiment_is_stopped_when_most_requests_fail_for_too_long() -> None:
    stop, good, bad = Stop(0.5, 3), {"ok": 30, "failed": 10}, {"ok": 10, "failed": 30}
    assert not stop.reached([]) and not stop.reached([bad, bad]) and not stop.reached([bad, bad, good, bad, bad])
    assert stop.reached([good, bad, bad, bad]) and not stop.reached([{"ok": 0, "failed": 0}] * 5)


@given(st.lists(st.dictionaries(st.text(), st.integers())), st.lists(st.integers(0, 200)))
def test_documents_are_found_however_a_stream_is_cut(said: list[dict[str, int]], cuts: list[int]) -> None:
    whole = b"not JSON\n[1]\n" + b"".join(json.dumps(each).encode() + b"\n" for each in said)
    edges = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[begin:end] for begin, end in itertools.pairwise(edges)]
    assert list(documents(pieces)) == said


def extension(**said: object) -> list[dict[str, object]]:
    return [{"name": "another"}, {"name": "seter", **said}]


def test_what_an_experiment_may_cost_is_read() -> None:
    said = read_terms(extension(allow={"failed": 3, "failed_for": "1500ms"}, load={"rate": 50}, needs=["clock"]), "a")
    assert said.allow == Allowance(3, timedelta(seconds=1.5)) and (said.load.rate, said.needs) == (50, ("clock",))
    assert (said.load.timeout, said.load.operations) == (2, {"GET": 80, "PUT": 15, "HEAD": 5})
    load = read_terms(extension(load={"timeout": 9, "operations": {"GET": 3, "BUCKET": 1}}), "a").load
    assert (load.timeout, load.operations) == (9, {"GET": 3, "BUCKET": 1})


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        "seter",
        extension(alow={}),
        extension(allow=3),
        extension(allow={"failed": -1}),
        extension(allow={"failed": True}),
        extension(allow={"failed": 1.5}),
        extension(allow={"failed_for": "soon"}),
        extension(allow={"failed_for": 3}),
        extension(load={"rate": 0}),
        extension(load={"seconds": 100_000}),
        extension(load={"minutes": 3}),
        extension(load={"connections": "some"}),
        extension(load={"timeout": 0}),
        extension(load={"operations": {"FETCH": 1}}),
        extension(load={"operations": {"GET": -1}}),
        extension(load={"operations": {"GET": 0}}),
        extension(load={"operations": ["GET"]}),
        extension(load={"operations": {}}),
        extension(needs=["a miracle"]),
        extension(needs="clock"),
        extension(needs=["acme."]),
        extension(needs=[3]),
        extension(stop={"percent": 101}),
        extension(stop={"share": 3}),
        extension(default="yes"),
    ],
)
def test_what_says_something_else_is_refused_with_its_file(said: object) -> None:
    with pytest.raises(BadInput, match=r"^a\.yaml") as refusal:
        read_terms(said, "a.yaml")
    assert refusal.value.resolution


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, JSON, JSON, JSON)
def test_nothing_that_may_stand_there_is_more_than_refused(
    one: object, two: object, three: object, four: object
) -> None:
    for said in (
        one,
        extension(allow=two),
        extension(load={"rate": three, "seconds": four}),
        extension(allow={"failed_for": four}),
    ):
        try:
            read_terms(said, "a.yaml")
        except BadInput as refusal:
            assert refusal.resolution


def test_experiments_of_s3_lb_name_real_nodes_and_have_a_way_back(definition: tuple[System, Target]) -> None:
    found = all_of(*definition)
    assert len(found) >= 20 and 11 <= sum(each.terms.default for each in found) <= 14
    nodes = {node.name for node in definition[1].nodes}
    for each in found:
        assert each.touches and nodes.issuperset(each.touches), each.name
        assert [step["provider"]["func"] for step in each.document["rollbacks"]] == ["take_back"], each.name
        assert each.document["steady-state-hypothesis"]["probes"], each.name
        assert each.description and len(each.title) < 80, each.name


def test_experiments_are_chosen_by_name_or_by_default(definition: tuple[System, Target]) -> None:
    assert [each.name for each in chosen(*definition, ["link-cut", "drained"], every=False)] == ["link-cut", "drained"]
    default, every = ({each.name for each in chosen(*definition, (), every=every)} for every in (False, True))
    assert default < every
    with pytest.raises(BadInput, match="no experiment 'link-cot'") as refusal:
        chosen(*definition, ["link-cot"], every=False)
    assert refusal.value.resolution == "Did you mean link-cut?"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("func: power_off", "func: power_of"), "power_of"),
        (("${gateways_1}", "${gateways_9}"), "no node gateways_9"),
        (("node: ", "nod: "), "nod"),
        (("title: A gateway", "tilte: A gateway"), "title"),
        (("method:", "method: ["), "gateway-power.yaml"),
        (("  - name: seter", "  - name: other"), "may cost"),
    ],
)
def test_a_file_that_is_wrong_is_named(
    definition: tuple[System, Target], tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    system, target = definition
    folder = tmp_path / "chaos"
    folder.mkdir()
    text = (system.folder / "chaos/gateway-power.yaml").read_text()
    assert change[0] in text
    (folder / "gateway-power.yaml").write_text(text.replace(*change))
    with pytest.raises(BadInput, match=r"gateway-power\.yaml") as refusal:
        all_of(dataclasses.replace(system, folder=tmp_path), target)
    assert says in f"{refusal.value.message} {refusal.value.details}" and refusal.value.resolution


def test_a_way_back_is_on_disk_until_it_is_taken(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deployment")
    first = ledger.add(Due("heal", {}, "deploy"))
    ledger.add(first)
    second = ledger.add(Due("thaw", {"node": "gw1", "role": ""}, "gw1 goes on"))
    assert Ledger(tmp_path / "deployment").due == (first, second)
    ledger.done(first)
    ledger.done(first)
    assert Ledger(tmp_path / "deployment").due == (second,)
    ledger.done(second)
    assert not list((tmp_path / "deployment").iterdir())


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"way": "heal"}]', '{"way": 1}'])
def test_a_ledger_that_cannot_be_read_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(Corrupt):
        Ledger(tmp_path)


def test_actions_are_for_experiments_of_seter_alone() -> None:
    with pytest.raises(BadInput, match="part of an experiment"):
        actions.power_off("gw1")


def test_every_file_is_a_valid_experiment_for_the_chaos_toolkit_itself(definition: tuple[System, Target]) -> None:
    files = sorted((definition[0].folder / "chaos").glob("*.yaml"))
    assert files and all(toolkit.load(file)["title"] for file in files)


def test_an_experiment_is_left_out_where_its_nodes_lack_what_it_needs() -> None:
    def found(target: str) -> dict[str, str]:
        blueprint = read_blueprint(Deployment("s3-lb", target), ROOT / "systems")
        why = {each.name: missing(blueprint, each) for each in all_of(blueprint.system, blueprint.target)}
        return {name: lack for name, lack in why.items() if lack}

    assert found("container") == {
        "acme-away": "acme.directory not set here",
        "clock-jump": "nodes of kind container have no clock of their own",
        "disk-full": "nodes of kind container have no disk of their own",
    }
    assert set(found("virtual")) == {"acme-away"}


def test_an_update_makes_the_role_anew_on_each_of_its_nodes_in_order() -> None:
    request = Request(Deployment("s3-lb", "container"), ROOT / "systems")
    blueprint = read_blueprint(request.deployment, request.systems)
    roles = (("traefik", RoleState("a", "b", "c", "d")), ("etcd", RoleState("a", "b", "c", "d")))
    nodes = {node.name: NodeState("", "", "", roles) for node in blueprint.nodes_of(known_group(blueprint, "gateways"))}
    wanted = Wanted("s3-lb.container", (), (WantedGroup("gateways", (), tuple(nodes)),), nodes)
    adjust = restarting(request, "traefik").adjust
    assert adjust is not None
    plan = adjust(Plan("s3-lb.container", ()), wanted, SEEN)
    assert [str(step) for step in plan.steps] == [f"{node} traefik: restart, it was asked for" for node in nodes]
    with pytest.raises(Conflict, match="steps are due"):
        adjust(plan, wanted, SEEN)
    with pytest.raises(BadInput, match="trefik"):
        restarting(request, "trefik")
