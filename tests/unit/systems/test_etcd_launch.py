"""How a member of etcd starts: what follows from what the others say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from etcd_api import Cluster, Failed, Member, members_of
from etcd_launch import Act, Start, Wait, configuration, superfluous, with_agreement, without_agreement
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = Cluster("b", "token", {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}, Path("/state"), Path("/secrets"))


def member(name: str, *, started: bool = True, learner: bool = False, number: int = 0) -> Member:
    address = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}.get(name, f"10.0.0.{90 + number}")
    clients = (f"https://{address}:2379",) if started else ()
    return Member(number or ord(name[0]), name, (f"https://{address}:2380",), clients, learner)


FOUNDED = [member(name, started=False) for name in "abc"]
RUNNING = [member(name) for name in "abc"]


def test_a_cluster_is_founded_only_when_all_say_that_they_have_nothing() -> None:
    assert without_agreement(CLUSTER, {"a": None, "c": None}) == Start("new", CLUSTER.initial)
    for known in ({}, {"a": None}, {"c": None}):
        found = without_agreement(CLUSTER, known)
        assert isinstance(found, Wait) and "must say first" in found.reason


def test_a_member_joins_those_who_have_begun_to_found_the_cluster_with_it() -> None:
    assert without_agreement(CLUSTER, {"a": FOUNDED}) == Start("new", CLUSTER.initial)
    found = with_agreement(CLUSTER, [member("a"), member("b", started=False), member("c")])
    assert found == Start("new", CLUSTER.initial)


def test_a_member_without_data_waits_while_a_cluster_that_was_there_has_no_quorum() -> None:
    assert without_agreement(CLUSTER, {"a": RUNNING, "c": None}) == Wait("the cluster is there and has no quorum")
    strangers = [member("a", started=False), member("c", started=False)]
    assert isinstance(without_agreement(CLUSTER, {"a": strangers}), Wait)


def test_a_member_whose_data_is_lost_is_taken_out_first_and_then_added_as_a_learner() -> None:
    assert with_agreement(CLUSTER, RUNNING) == Act("/v3/cluster/member/remove", {"ID": str(ord("b"))})
    without = [one for one in RUNNING if one.name != "b"]
    added = {"peerURLs": ["https://10.0.0.2:2380"], "isLearner": True}
    assert with_agreement(CLUSTER, without) == Act("/v3/cluster/member/add", added)
    unstarted = Member(7, "", ("https://10.0.0.2:2380",), (), learner=True)
    expected = "a=https://10.0.0.1:2380,c=https://10.0.0.3:2380,b=https://10.0.0.2:2380"
    assert with_agreement(CLUSTER, [*without, unstarted]) == Start("existing", expected)


def test_a_member_that_moved_to_another_address_is_another_member() -> None:
    moved = Member(5, "b", ("https://10.0.0.77:2380",), ("https://10.0.0.77:2379",))
    assert with_agreement(CLUSTER, [member("a"), moved, member("c")]) == Act("/v3/cluster/member/remove", {"ID": "5"})


def test_only_members_that_nobody_named_go() -> None:
    assert superfluous(CLUSTER, RUNNING) is None
    stranger = member("x", number=1)
    assert superfluous(CLUSTER, [*RUNNING, stranger]) == stranger
    assert superfluous(CLUSTER, [stranger]) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_answers_is_a_list_of_members_or_refused(found: object) -> None:
    try:
        assert all(isinstance(one, Member) for one in members_of(found))
    except Failed:
        return


def test_members_are_read_from_both_kinds_of_answers() -> None:
    gateway = {"ID": "10501334649042878790", "name": "a", "peerURLs": ["p"], "clientURLs": ["c"], "isLearner": True}
    assert members_of([gateway]) == [Member(10501334649042878790, "a", ("p",), ("c",), True)]
    assert members_of([{"id": 5, "peerURLs": ["p"], "name": ""}]) == [Member(5, "", ("p",), ())]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "token": "t", "state": "/s", "members": {"y": "1"}}'])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(ValueError, match=r"cluster\.json cannot be used"):
        Cluster.read(str(tmp_path / "cluster.json"))


def test_etcd_s_file_gets_what_only_the_start_knows(tmp_path: Path) -> None:
    text = configuration("name: b\n", Start("existing", "a=x,b=y"), "token")
    assert text.endswith(
        'initial-cluster-state: "existing"\ninitial-cluster-token: "token"\ninitial-cluster: "a=x,b=y"\n'
    )
    written = {"name": "b", "token": "t", "state": "/s", "members": {"b": "fd00::2"}}
    (tmp_path / "cluster.json").write_text(json.dumps(written))
    assert Cluster.read(str(tmp_path / "cluster.json")).initial == "b=https://[fd00::2]:2380"
