"""The load generator on a real deployment, and strategies compared by it."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest

from tests.conftest import ROOT, Running

PROFILE: dict[str, Any] = {
    "objects": 30, "operations": {"GET": 60, "PUT": 25, "HEAD": 5, "DELETE": 5, "LIST": 4, "MULTIPART": 1},
    "sizes": [{"at_least": 1, "at_most": 100_000, "weight": 1}],
}  # fmt: skip


def test_all_operations_are_served_and_every_answer_says_which_radosgw_gave_it(running: Running) -> None:
    argv = [
        "docker", "exec", f"s3-lb.container.{running.instance}.cl1.s3-client", "/usr/local/lib/seter/s3-client",
        "drive", "--profile", json.dumps(PROFILE), "--seconds", "8", "--rate", "30", "--json",
    ]  # fmt: skip
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["failed"] == 0, found["failures"][:3]
    assert found["operations"].keys() == PROFILE["operations"].keys()
    assert "" not in found["gateways"] and len(found["gateways"]) == 3
    assert found["ways"].keys() == set(found["addresses"]) and len(found["addresses"]) == 2
    assert "objects stay" not in ended.stderr


@pytest.mark.long
def test_strategies_are_compared_and_what_was_there_is_there_again(running: Running) -> None:
    before = running.containers()
    words = ("local", "even", "--rounds", "1", "--seconds", "4", "--yes", "--json")
    found = json.loads(running.seter("bench", *words, timeout=900).out)
    rows = {(row["strategy"], row["condition"]): row for row in found["rows"]}
    assert len(rows) == 8
    # A gateway's own RadosGW gets 10 of 12 requests, and one of three.
    assert rows["local", "calm"]["cross"]["median"] == pytest.approx(2 / 12, abs=0.1)
    assert rows["even", "calm"]["cross"]["median"] == pytest.approx(2 / 3, abs=0.1)
    assert found["advice"]["strategy"] in ("local", "even")
    assert all(row["failed"]["high"] == 0 for row in found["rows"]), found["rows"]
    running.seter("plan", "--exit-code")
    assert running.containers() == before


@pytest.mark.long
def test_ctrl_c_deploys_what_was_there(running: Running) -> None:
    argv = [str(ROOT / ".venv/bin/seter"), "bench", "s3-lb", "--target", "container", "--instance", running.instance]
    with subprocess.Popen(
        [*argv, "even", "--yes"], cwd=running.tools.cwd, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("measured" in line for line in process.stderr), "it measured nothing"
        process.send_signal(signal.SIGINT)
        for _ in process.stderr:
            pass
    assert process.returncode == 130
    running.seter("plan", "--exit-code")
