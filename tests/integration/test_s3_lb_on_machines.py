"""s3-lb with three gateways that are virtual machines, behind routers that are containers: the same system, checks and
proof, by the target that lies beside the others, whose timers are for processors that are emulated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Tools

SLOW = 2700.0  # seconds that a verb may take where processors are emulated, three machines on few cores


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_the_same_system_holds_with_gateways_that_are_virtual_machines(built: Tools, tmp_path: Path) -> None:
    tools = Tools(built.cwd, {"SETER_STATE": str(tmp_path / "state"), "SETER_IDENTITY": str(tmp_path / "identity")})
    words = ("s3-lb", "--target", "mixed", "--instance", f"t{os.getpid()}")
    tools("smie", "build", "s3-lb.gateways", "--kind", "vm", "--skip-boot", timeout=SLOW)
    try:
        tools("seter", "deploy", *words, "--yes", timeout=SLOW)
        assert "no change" in tools("seter", "deploy", *words, "--yes", timeout=SLOW).out
        artifacts = {row["node"]: row["artifact"] for row in tools("seter", "status", *words, "--json").json()["roles"]}
        assert artifacts["gw1"].startswith("vm/") and artifacts["rt1"].startswith("container/")
        found = tools("seter", "verify", *words, "--json", timeout=SLOW).json()
        assert found and all(each["verdict"]["ok"] for each in found)
        proof = tools("seter", "prove", *words, "--json", timeout=SLOW).json()
        assert proof["held"] and proof["outage_seconds"] < 3
        assert "8 removed" in tools("seter", "destroy", *words, "--yes", timeout=SLOW).out
    finally:
        tools("seter", "destroy", *words, "--yes", "--forget", code=None, timeout=SLOW)
