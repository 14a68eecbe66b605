"""Desired against observed: what differs is done, what does not is left alone."""

from __future__ import annotations

from dataclasses import replace

from common.role import OnChange
from seter.plan import Act, Plan, make_plan
from seter.state import NodeState, Observed, Place, RoleState, Subnets, Wanted, WantedGroup, WantedRole, cluster_mark

WEB = WantedRole("web", has_cluster_step=True)
BIRD = WantedRole("bird", on_change=OnChange.RELOAD, reloads=True)
FILES = WantedRole("files", has_process=False)
NODES = ("a", "b")
SUBNETS = Subnets("10.213.0.0/24", "fd00::/64")


def role(name: str, *, start: str = "s1", files: str = "f1", running: bool = True) -> RoleState:
    return RoleState("artefact", f"{name}-{files}", f"{name}-{start}-{files}", f"{name}-{start}", running)


def node(*, shape: str = "n1", life: str = "", **roles: RoleState) -> NodeState:
    states = {"web": role("web"), "bird": role("bird"), "files": RoleState("", "files-f1", "", "")} | roles
    files = "+".join(state.files for state in states.values())
    return NodeState(shape, files, "k1", tuple(states.items()), identity=life)


def wanted(**nodes: NodeState) -> Wanted:
    states = {name: node() for name in NODES} | nodes
    group = WantedGroup("group", (WEB, BIRD, FILES), tuple(states), "a", withdraws=True)
    return Wanted("s/t/i", ("net",), (group,), states)


def observed(what: Wanted, **nodes: NodeState) -> Observed:
    """Everything as wanted, each node in a life of its own, with the mark of a cluster step that was done."""
    lives = {name: replace(state, identity=f"life of {name}") for name, state in what.nodes.items()} | nodes
    first = lives["a"].role("web")
    assert first is not None
    mark = cluster_mark("web", first, [(name, state.identity) for name, state in lives.items()])
    lives["a"] = replace(lives["a"], cluster=(("web", mark),))
    places = {name: Place("group", index, index) for index, name in enumerate(lives, 1)}
    return Observed({"net": SUBNETS}, lives, places)


def acts(plan: Plan) -> list[tuple[str, str, str]]:
    return [(step.act.value, step.node, step.role) for step in plan.steps]


def test_what_is_as_wanted_gives_an_empty_plan() -> None:
    assert make_plan(wanted(), observed(wanted())).is_empty


def test_from_nothing_everything_is_made_and_started_in_order() -> None:
    plan = make_plan(wanted(), Observed({}, {}, {}))
    assert acts(plan) == [
        ("make network", "net", ""),
        ("make node", "a", ""),
        ("write files", "a", ""),
        ("start", "a", "web"),
        ("start", "a", "bird"),
        ("make node", "b", ""),
        ("write files", "b", ""),
        ("start", "b", "web"),
        ("start", "b", "bird"),
        ("cluster", "a", "web"),
    ]


def test_changed_files_restart_only_their_role_on_only_their_node() -> None:
    plan = make_plan(wanted(b=node(web=role("web", files="f2"))), observed(wanted()))
    assert acts(plan) == [("write files", "b", ""), ("restart", "b", "web")]


def test_changed_files_of_a_role_that_reloads_are_reloaded() -> None:
    plan = make_plan(wanted(a=node(bird=role("bird", files="f2"))), observed(wanted()))
    assert acts(plan) == [("write files", "a", ""), ("reload", "a", "bird")]


def test_a_changed_artefact_or_secret_needs_a_new_start_also_of_a_role_that_reloads() -> None:
    plan = make_plan(wanted(a=node(bird=role("bird", start="s2"))), observed(wanted()))
    assert acts(plan) == [("restart", "a", "bird")]


def test_changed_files_of_a_role_without_process_are_only_written() -> None:
    plan = make_plan(wanted(a=node(files=RoleState("", "files-f2", "", ""))), observed(wanted()))
    assert acts(plan) == [("write files", "a", "")]


def test_a_process_that_runs_with_older_files_than_lie_there_is_restarted() -> None:
    """SE-02: an earlier run wrote the files and was cut before the restart."""
    new = wanted(b=node(web=role("web", files="f2")))
    old = role("web")
    there = replace(role("web", files="f2"), process=old.process)
    plan = make_plan(new, observed(wanted(), b=node(life="life of b", web=there)))
    assert acts(plan) == [("restart", "b", "web")]
    assert plan.steps[0].reason == "it runs with older files"


def test_a_stopped_process_is_started_and_its_cluster_step_done_again() -> None:
    plan = make_plan(wanted(), observed(wanted(), b=node(life="life of b", web=role("web", running=False))))
    assert acts(plan) == [("start", "b", "web"), ("cluster", "a", "web")]


def test_a_node_that_stopped_or_has_another_shape_is_made_anew_with_all_its_roles() -> None:
    for other in (replace(node(life="x"), running=False), node(life="x", shape="n0")):
        plan = make_plan(wanted(), observed(wanted(), b=other))
        expected = [("replace node", "b", ""), ("write files", "b", ""), ("start", "b", "web"), ("start", "b", "bird")]
        assert acts(plan) == [*expected, ("cluster", "a", "web")]


def test_a_cluster_step_that_was_cut_off_is_done_by_the_next_deploy() -> None:
    there = observed(wanted())
    there = Observed(there.networks, {**there.nodes, "a": replace(there.nodes["a"], cluster=())}, there.places)
    assert acts(make_plan(wanted(), there)) == [("cluster", "a", "web")]


def test_a_member_that_came_back_in_another_life_needs_the_cluster_step() -> None:
    there = observed(wanted())
    nodes = {**there.nodes, "b": replace(there.nodes["b"], identity="another")}
    assert acts(make_plan(wanted(), replace(there, nodes=nodes))) == [("cluster", "a", "web")]


def test_what_the_target_does_not_name_any_more_is_removed_and_the_others_are_left_alone() -> None:
    there = observed(wanted(c=node()))
    plan = make_plan(replace(wanted(), networks=()), there)
    assert acts(plan) == [("cluster", "a", "web"), ("remove node", "c", ""), ("remove network", "net", "")]


def test_a_role_that_the_group_lost_is_removed_before_anything_starts() -> None:
    there = observed(wanted(), a=node(life="life of a", gone=role("gone")))
    plan = make_plan(wanted(), there)
    assert acts(plan)[:2] == [("write files", "a", ""), ("remove role", "a", "gone")]


def test_only_leaves_other_groups_and_removals_out() -> None:
    more = wanted()
    other = WantedGroup("other", (WEB,), ("z",), "z")
    both = Wanted("s/t/i", ("net",), (*more.groups, other), {**more.nodes, "z": node()})
    plan = make_plan(both, Observed({"net": SUBNETS}, {}, {}), only="other")
    assert {step.node for step in plan.steps} == {"z"}


def test_the_order_of_nodes_in_the_file_changes_nothing() -> None:
    """SE-06: identity is not position."""
    straight = wanted()
    turned = replace(straight, groups=(replace(straight.groups[0], nodes=("b", "a")),))
    assert make_plan(turned, observed(straight)).is_empty


def test_plans_that_do_the_same_have_the_same_fingerprint() -> None:
    changed = wanted(a=node(web=role("web", files="f2")))
    one, two = (make_plan(changed, observed(wanted())) for _ in range(2))
    assert one.fingerprint == two.fingerprint != make_plan(wanted(), observed(wanted())).fingerprint


def test_only_acts_that_stop_something_need_a_withdrawal() -> None:
    needing = {act for act in Act if act.needs_withdrawal}
    nodes = {Act.REPLACE_NODE, Act.REBOOT_NODE, Act.EMPTY_NODE, Act.REMOVE_NODE, Act.WRITE_SLOT}
    assert needing == {Act.RESTART, Act.REMOVE_ROLE, *nodes}


def test_a_node_that_does_not_answer_is_left_as_it_is() -> None:
    what = wanted()
    there = observed(what)
    silent = replace(there, nodes={"a": there.nodes["a"]}, unreachable={"b": "b cannot be reached"})
    assert make_plan(what, silent).is_empty
    first = replace(there, nodes={"b": there.nodes["b"]}, unreachable={"a": "a cannot be reached"})
    assert make_plan(what, first).is_empty
