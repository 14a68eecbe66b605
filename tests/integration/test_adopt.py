"""`seter adopt`: nodes that run, and whose record was lost or is another deployment's. Nothing on them is restarted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Tools
from tests.lab.hosts import hosts
from tests.lab.small import Small, deployment
from tests.lab.small_on_hosts import definitions, target

TOKEN = ("exec", "w1", "web", "--", "cat", "/etc/seter/secrets/web/token")


@pytest.fixture
def small(built: Tools, tmp_path: Path) -> Iterator[Small]:
    with deployment(built, tmp_path, f"adopt-{tmp_path.name[-1]}") as made:
        made.seter("deploy", "--yes")
        yield made


@pytest.mark.long
def test_containers_whose_record_was_lost_are_ours_again_with_the_secrets_that_they_have(small: Small) -> None:
    token, before = small.seter(*TOKEN).out, small.containers()
    shutil.rmtree(small.folder / "state")
    lost = small.seter("plan", code=7)
    assert "seter adopt" in lost.err
    assert "no terminal" in small.seter("adopt", code=2).err
    assert "3 nodes taken over" in small.seter("adopt", "--yes").out
    assert "nothing to take over" in small.seter("adopt", "--yes").out
    assert small.containers() == before
    acts = {act for act, _, _ in small.steps()}
    assert "write files" in acts and acts <= {"write files", "restart", "cluster"}  # no node is made anew
    small.seter("deploy", "--yes")
    assert small.seter(*TOKEN).out == token
    small.seter("rotate", "--authority", "--yes")  # goes on with what adopting has begun
    assert small.steps() == set()
    small.seter("verify")


@pytest.mark.long
def test_hosts_are_taken_over_from_another_deployment_by_its_name_alone(tmp_path: Path) -> None:
    env = {
        "SETER_SYSTEMS": str(definitions(tmp_path)),
        "SETER_STATE": str(tmp_path / "state"),
        "SETER_IDENTITY": str(tmp_path / "identity"),
    }
    tools = Tools(ROOT, env)
    with hosts(tmp_path, dict.fromkeys(("w1", "w2", "x1"), ("front",))) as lab:
        text = target(lab, {"servers": ["w1", "w2"], "extra": ["x1"]})
        (tmp_path / "definitions/small/targets/metal.hcl").write_text(text)
        old = ("small", "--target", "metal", "--instance", "old")
        new = ("small", "--target", "metal", "--instance", "new")
        tools("seter", "deploy", *old, "--yes")
        started = [lab[name].run("systemctl", "show", "-P", "InvocationID", "seter-web") for name in lab.machines]
        refused = tools("seter", "adopt", *new, "--yes", code=7)
        assert "belong to small/metal/old" in refused.err and "--from" in refused.err
        assert tools("seter", "adopt", *new, "--from", "small/metal/other", "--yes", code=7)
        taken = tools("seter", "adopt", *new, "--from", "small/metal/old", "--yes", "--json").json()
        assert taken["moved"] and {each["node"] for each in taken["nodes"]} == {"w1", "w2", "x1"}
        assert started == [
            lab[name].run("systemctl", "show", "-P", "InvocationID", "seter-web") for name in lab.machines
        ]
        steps = tools("seter", "plan", *new, "--json").json()["steps"]
        # web says in a file of its own what it is deployed as, and reads its files at the start: nothing else differs.
        assert {step["act"] for step in steps} <= {"cluster", "write files", "restart"}, steps
        restarts = {(step["role"], step["reason"]) for step in steps if step["act"] == "restart"}
        assert restarts == {("web", "it runs with older files")}, steps
        tools("seter", "deploy", *new, "--yes")
        assert "no change" in tools("seter", "deploy", *new, "--yes").out
        tools("seter", "destroy", *new, "--yes", "--forget")
