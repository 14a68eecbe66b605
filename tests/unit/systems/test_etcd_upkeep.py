"""Backups and maintenance of etcd: what is called, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from etcd_api import Cluster, Failed
from etcd_backup import restore_argv, save_argv, sweep
from etcd_maintain import Status, order, status_of
from hypothesis import given
from hypothesis import strategies as st

CLUSTER = Cluster("b", "token", {"a": "10.0.0.1", "b": "10.0.0.2"}, Path("/state"), Path("/secrets"))


def status(name: str, size: int, used: int, *, leads: bool = False) -> Status:
    return Status(name, name, size, used, 1, 1, leads)


def test_the_leader_is_last_and_who_has_little_to_give_is_left_alone() -> None:
    found = [status("a", 100, 10, leads=True), status("b", 100, 90), status("c", 100, 10), status("d", 40, 1)]
    assert [one.name for one in order(found, 40, 50)] == ["c", "a"]
    assert [one.name for one in order(found, 0, 0)] == ["b", "c", "d", "a"]


@given(st.dictionaries(st.sampled_from(["header", "dbSize", "dbSizeInUse", "raftAppliedIndex", "leader"]), st.text()))
def test_an_answer_that_is_none_is_a_failure(found: dict[str, str]) -> None:
    with pytest.raises(Failed):
        status_of("a", "10.0.0.1", found)


def test_a_status_is_read() -> None:
    found = {
        "header": {"member_id": "5", "revision": "7"},
        **{"dbSize": "40", "dbSizeInUse": "30", "raftAppliedIndex": "9", "leader": "5"},
    }
    assert status_of("a", "x", found) == Status("a", "x", 40, 30, 9, 7, leads=True)


def test_no_key_is_in_an_argument_and_a_restored_cluster_has_an_identity_of_its_own() -> None:
    assert save_argv(CLUSTER, Path("/f"))[-5:] == [
        "--cert=/secrets/member.crt", "--key=/secrets/member.key", "snapshot", "save", "/f",
    ]  # fmt: skip
    argv = restore_argv(CLUSTER, Path("/state/0123.copy"), Path("/state/new"))
    assert "--initial-cluster-token=token-0123" in argv
    assert argv[-2:] == ["--bump-revision=1000000000", "--mark-compacted"]


def test_what_cut_off_runs_left_goes_and_what_others_are_at_stays(tmp_path: Path) -> None:
    cluster = Cluster("b", "token", {"b": "10.0.0.2"}, tmp_path, Path("/secrets"))
    for name in ("backup-old", "backup-new"):
        (tmp_path / name).mkdir()
    (tmp_path / "0123.copy").write_text("x")
    for name in ("backup-old", "0123.copy"):
        os.utime(tmp_path / name, (0, 0))
    sweep(cluster)
    assert [path.name for path in tmp_path.iterdir()] == ["backup-new"]
