from __future__ import annotations

from dataclasses import replace

from seter.plan import make_plan
from seter.state import NodeState, Observed, RoleState, Wanted, WantedGroup, WantedRole
from seter.watch.model import Level, Row
from seter.watch.nodes import Looked, node_rows, route_rows

PROXY = RoleState("sha256:a", "files", "process", "start")
FILES = RoleState("", "files", "", "")
NODE = NodeState("shape", "files", "secrets", (("network", FILES), ("proxy", PROXY)))


def wanted(*nodes: str) -> Wanted:
    roles = (WantedRole("network", has_process=False), WantedRole("proxy"))
    return Wanted("lab/x/main", (), (WantedGroup("edge", roles, nodes, nodes[0]),), dict.fromkeys(nodes, NODE))


def observed(nodes: dict[str, NodeState], **silent: str) -> Observed:
    return Observed({}, {name: replace(node, identity="1") for name, node in nodes.items()}, {}, silent)


def rows(want: Wanted, found: Observed) -> list[Row]:
    return list(node_rows(want, found, make_plan(want, found)))


def test_a_node_that_is_as_wanted_is_good() -> None:
    (row,) = rows(wanted("n1"), observed({"n1": NODE}))
    assert row == Row("n1 edge", "up", "1 of 1 run, as wanted", Level.GOOD, (("running", 1), ("processes", 1)))


def test_files_that_differ_are_to_be_looked_at() -> None:
    changed = replace(NODE, files="other", roles=(("network", replace(FILES, files="other")), ("proxy", PROXY)))
    (row,) = rows(wanted("n1"), observed({"n1": changed}))
    assert (row.value, row.level) == ("up", Level.WARN) and "due: write files" in row.detail


def test_a_process_that_died_is_bad() -> None:
    dead = replace(NODE, roles=(("network", FILES), ("proxy", replace(PROXY, running=False))))
    (row,) = rows(wanted("n1"), observed({"n1": dead}))
    assert row.level is Level.BAD and row.detail.startswith("0 of 1 run, due: start proxy")


def test_nodes_that_are_down_missing_or_silent_are_told_apart() -> None:
    found = observed({"n1": replace(NODE, running=False)}, n3="no route to host")
    assert rows(wanted("n1"), found)[0].numbers == (("running", 0), ("processes", 1))
    assert [(row.value, row.detail, row.level) for row in rows(wanted("n1", "n2", "n3"), found)] == [
        ("down", "0 of 1 run", Level.BAD),
        ("not there", "", Level.BAD),
        ("no answer", "no route to host", Level.BAD),
    ]


def test_of_many_nodes_only_those_are_named_that_are_not_well() -> None:
    names = [f"n{number}" for number in range(1000)]
    found = dict.fromkeys(names, NODE) | {"n7": replace(NODE, running=False)}
    seen = rows(wanted(*names), observed(found))
    assert [(row.title, row.value, row.level) for row in seen] == [
        ("edge", "999 of 1000 up", Level.BAD),
        ("n7 edge", "down", Level.BAD),
    ]
    lost = rows(wanted(*names), observed({}))
    assert len(lost) == 14 and lost[-1].value == "988 more"


def test_each_address_says_what_each_router_has() -> None:
    looked = [Looked("rt1", "192.0.2.10", 3), Looked("rt2", "192.0.2.10", 3)]
    (row,) = route_rows(looked, {"192.0.2.10": 3})
    assert (row.value, row.detail, row.level) == ("3 of 3 hops", "rt1 3  rt2 3", Level.GOOD)


def test_fewer_hops_are_to_be_looked_at_and_none_are_bad() -> None:
    for hops, level in ((2, Level.WARN), (0, Level.BAD)):
        (row,) = route_rows([Looked("rt1", "a", 3), Looked("rt2", "a", hops)], {"a": 3})
        assert (row.value, row.level) == (f"{hops} of 3 hops", level)


def test_a_router_that_does_not_answer_is_said_so_beside_the_others() -> None:
    silent = Looked("rt2", "a", None, "not there")
    (row,) = route_rows([Looked("rt1", "a", 3), silent], {"a": 3})
    assert (row.value, row.detail, row.level) == ("3 of 3 hops", "rt1 3  rt2 no answer", Level.WARN)
    (row,) = route_rows([silent], {"a": 3})
    assert (row.value, row.detail, row.level) == ("no answer", "not there", Level.BAD)
