"""What a plan says of order and capacity, and which part of it is meant."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput, Conflict, Corrupt
from common.role import OnChange
from common.system import Rollout as Rules
from seter.plan import Act, Plan, Step, make_plan
from seter.rehearse import rehearse
from seter.saved import Saved, read_saved
from seter.scope import limited
from seter.state import NodeState, Observed, RoleState, Wanted, WantedGroup, WantedRole, cluster_mark

ROLES = (WantedRole("etcd", has_cluster_step=True), WantedRole("traefik"))
GROUP = WantedGroup("gateways", ROLES, ("gw1", "gw2", "gw3"), "gw1", withdraws=True)
RULES = Rules()


def node(**files: str) -> NodeState:
    roles = tuple(
        (role.name, RoleState("a", files.get(role.name, "f"), files.get(role.name, "f"), "s")) for role in ROLES
    )
    return NodeState("n", "".join(state.files for _, state in roles), "x", roles, identity="life")


def wanted(**changed: NodeState) -> Wanted:
    return Wanted("d", (), (GROUP,), {name: changed.get(name, node()) for name in GROUP.nodes})


def observed(**changed: NodeState) -> Observed:
    nodes = {name: changed.get(name, node()) for name in GROUP.nodes}
    first = nodes["gw1"].role("etcd")
    assert first is not None
    mark = cluster_mark("etcd", first, [(name, nodes[name].identity) for name in GROUP.nodes])
    return Observed({}, {**nodes, "gw1": replace(nodes["gw1"], cluster=(("etcd", mark),))}, {})


def stages(new: Wanted, there: Observed, rules: Rules = RULES) -> list[str]:
    return [str(stage) for stage in rehearse(make_plan(new, there), new, there, rules)]


ALL = {name: node(traefik="g") for name in GROUP.nodes}


def test_nodes_come_one_after_the_other_and_each_is_counted_out_meanwhile() -> None:
    assert stages(wanted(**ALL), observed()) == [
        f"{name}: write files, restart traefik (2 of 3 gateways serve)" for name in GROUP.nodes
    ]


def test_batches_are_those_of_the_roll_out() -> None:
    rules = replace(RULES, canary=1, at_once=2)
    new = wanted(**ALL)
    new = replace(new, groups=(replace(GROUP, roles=(WantedRole("traefik"), WantedRole("bird"))),))
    assert stages(new, observed(), rules) == [
        "gw1: write files, restart traefik (2 of 3 gateways serve)",
        "gw2, gw3: write files, restart traefik (1 of 3 gateways serve)",
    ]


def test_what_is_only_reloaded_serves_on() -> None:
    reloading = replace(GROUP, roles=(ROLES[0], replace(ROLES[1], on_change=OnChange.RELOAD, reloads=True)))
    new = replace(wanted(gw2=node(traefik="g")), groups=(reloading,))
    assert stages(new, observed()) == ["gw2: write files, reload traefik (3 of 3 gateways serve)"]


def test_a_group_that_is_made_serves_with_nothing_and_is_made_at_once() -> None:
    made = stages(wanted(), Observed({}, {}, {}))
    assert made[0] == "gw1, gw2, gw3: make node, write files, start etcd, start traefik (0 of 3 gateways serve)"
    assert made[1].startswith("gw1: cluster etcd")


def test_cluster_steps_come_last_and_take_nothing_away() -> None:
    found = stages(wanted(gw1=node(etcd="g")), observed())
    assert found == [
        "gw1: write files, restart etcd (2 of 3 gateways serve)",
        "gw1: cluster etcd (3 of 3 gateways serve)",
    ]


def test_only_the_named_nodes_are_touched() -> None:
    new, there = wanted(**ALL), observed()
    plan = limited(make_plan(new, there), new, there, ("gw2",), "")
    assert {(step.node, step.act) for step in plan.steps} == {("gw2", Act.WRITE_FILES), ("gw2", Act.RESTART)}
    assert limited(make_plan(new, there), new, there, (), "") == make_plan(new, there)


def test_nothing_is_removed_by_a_limited_plan_but_networks_are_made() -> None:
    steps = (Step(Act.MAKE_NETWORK, "", "front"), Step(Act.REMOVE_NODE, "", "gw9"))
    new, there = wanted(), observed()
    assert limited(Plan("d", steps), new, there, ("gw1",), "").steps == steps[:1]


def test_a_role_alone_is_deployed_where_nothing_else_is_due() -> None:
    new, there = wanted(**ALL), observed()
    plan = make_plan(new, there)
    assert limited(plan, new, there, (), "traefik") == plan
    mixed = wanted(**ALL | {"gw3": node(traefik="g", etcd="g")})
    with pytest.raises(Conflict) as refused:
        limited(make_plan(mixed, there), mixed, there, (), "traefik")
    assert "gw3: etcd" in refused.value.details
    assert "gw1" not in refused.value.details
    assert limited(make_plan(mixed, there), mixed, there, ("gw1", "gw2"), "traefik").steps


def test_a_changed_secret_is_not_a_role_s() -> None:
    new, there = wanted(gw1=replace(node(), secrets="y")), observed()
    with pytest.raises(Conflict, match="more than role traefik"):
        limited(make_plan(new, there), new, there, (), "traefik")


def saved(plan: Plan, *, exact: bool) -> Saved:
    steps = tuple((step.act.value, step.node, step.role) for step in plan.steps)
    fingerprint = plan.fingerprint if exact else "other"
    return Saved("id", "then", ("s", "t", "i"), "", (), "", "x", fingerprint, exact, steps, {}, b"")


@pytest.mark.parametrize("exact", [True, False])
def test_a_saved_plan_is_refused_when_the_world_has_moved(exact: bool) -> None:
    plan = make_plan(wanted(**ALL), observed())
    moved = make_plan(wanted(gw1=node(traefik="g")), observed())
    assert saved(plan, exact=exact).refuse_moved(plan)
    with pytest.raises(Conflict, match="the world has moved") as refused:
        saved(plan, exact=exact).refuse_moved(moved)
    assert "gw1 traefik: restart" in refused.value.details


@given(st.binary() | st.text().map(str.encode) | st.builds(lambda x: json.dumps(x).encode(), st.lists(st.integers())))
def test_what_is_no_plan_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "x.plan"
    file.write_bytes(data)
    with pytest.raises(BadInput, match="is no plan"):
        read_saved(file)


def test_a_newer_plan_and_one_with_a_part_missing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.plan"
    file.write_text('{"format": 99}')
    with pytest.raises(Corrupt, match="newer"):
        read_saved(file)
    file.write_text('{"format": 1, "deployment": ["a", "b", "c"], "steps": [], "definition": "", "limit": []}')
    with pytest.raises(BadInput, match="is no plan"):
        read_saved(file)
