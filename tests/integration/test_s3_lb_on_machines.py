"""s3-lb with three gateways that are virtual machines, behind routers that are containers: the same system, checks and
proof, by the target that lies beside the others, whose timers are for processors that are emulated."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from seter.report.stored import from_json
from tests.conftest import Tools
from tests.lab.variants import variant

NAMES, LOAD = ("disk-full", "clock-jump"), "load: {seconds: 30}"
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


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_gateway_bears_a_full_disk_and_a_clock_that_jumps(built: Tools, tmp_path: Path) -> None:
    """It has both of its own when it is a virtual machine; the two others are containers."""
    folder = variant(tmp_path, "s3-lb", [])
    file = folder / "s3-lb/targets/mixed.hcl"
    text = file.read_text()
    all_of_them, gw3 = '    kind = "virtual"\n', '    node "gw3" {\n'
    assert text.count(all_of_them) == text.count(gw3) == 1
    text = text.replace(all_of_them, "").replace(gw3, f'{gw3}      kind = "virtual"\n')
    # All that runs on a gateway takes more than one emulated core, even when nobody asks for anything.
    assert text.count("cores  = 1\n") == 1
    file.write_text(text.replace("cores  = 1\n", "cores  = 2\n"))
    for name in NAMES:
        told = folder / f"s3-lb/chaos/{name}.yaml"
        text = told.read_text().replace("gateways_2", "gateways_3")
        assert text.count(LOAD) == text.count("failed_for: ") == 1
        # A handshake takes an emulated core half a second; and the gateway is asked how it fares every two.
        text = text.replace(LOAD, "load: {seconds: 40, rate: 3, timeout: 10}")
        told.write_text(re.sub(r"failed_for: \d+s", "failed_for: 12s", text))
    tools = Tools(built.cwd, {"SETER_STATE": str(tmp_path / "state"), "SETER_IDENTITY": str(tmp_path / "identity")})
    words = ("s3-lb", "--target", "mixed", "--instance", f"u{os.getpid()}", "--systems", str(folder))
    tools("smie", "build", "s3-lb.gateways", "--kind", "vm", "--skip-boot", timeout=SLOW)
    try:
        tools("seter", "deploy", *words, "--yes", timeout=SLOW)
        system, *options = words
        ended = tools("seter", "chaos", system, *NAMES, *options, "--yes", "--json", code=None, timeout=SLOW)
        found = from_json(ended.out).experiments
        assert [each.name for each in found] == list(NAMES) and all(each.undone for each in found), ended.err
        # The machine beside it is busy with emulating it: what is late then is no fault of the system.
        assert all(replace(each, invalid="").outcome.is_good for each in found), ended.out
        assert "no change" in tools("seter", "deploy", *words, "--yes", timeout=SLOW).out
    finally:
        tools("seter", "destroy", *words, "--yes", "--forget", code=None, timeout=SLOW)
