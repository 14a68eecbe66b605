"""What status shows of what a role says."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import BadInput
from common.system import Deployment
from seter import record
from seter.status import summary


def test_a_role_s_own_summary_is_shown() -> None:
    assert summary({"summary": "leads", "revision": 4}) == "leads"


def test_without_one_its_plain_values_are_shown() -> None:
    assert summary({"ok": True, "peers": ["a"], "revision": 4}) == "ok True, revision 4"
    assert summary(None) == ""


def test_a_long_one_is_cut() -> None:
    assert len(summary({"summary": "x" * 500})) == 70


@pytest.mark.parametrize("name", ["../x", "", "Main", "-a", "a/b", "a" * 41, "a_b"])
def test_a_name_that_cannot_be_one_of_containers_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        record.home(Deployment("s3-lb", "container", name))


def test_a_record_says_how_the_deploy_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETER_STATE", str(tmp_path))
    deployment = Deployment("s3-lb", "container", "main")
    assert record.last(deployment) == {}
    begun = record.begin(deployment, {"container/etcd": "container/etcd:1@sha256:00"}, ("gw1: make node",))
    assert record.last(deployment)["result"] == "running"
    record.conclude(deployment, begun, "done")
    last = record.last(deployment)
    assert (last["result"], last["steps"]) == ("done", ["gw1: make node"])
    assert last["finished"]
