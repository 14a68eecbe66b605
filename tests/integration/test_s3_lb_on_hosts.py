"""s3-lb on hosts: the same system, checks and proof as in containers, on eight machines that are reached by SSH."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT, Tools
from tests.lab.hosts import hosts
from tests.lab.small_on_hosts import power, target

FABRIC, CLIENTS = ("fabric",), ("clients",)
GROUPS = {
    "storage": {"st1": FABRIC},
    "routers": {"rt1": FABRIC + CLIENTS, "rt2": FABRIC + CLIENTS},
    "gateways": {"gw1": FABRIC, "gw2": FABRIC, "gw3": FABRIC},
    "monitoring": {"mo1": FABRIC + CLIENTS},
    "clients": {"cl1": CLIENTS},
}
# As the target of containers tells its alerts.
PARAMETERS = (
    "parameters {",
    '  pages        = "http://127.0.0.1:9599/pages"',
    '  tickets      = "http://127.0.0.1:9599/tickets"',
    '  patience     = "10s"',
    '  page_updates = "5s"',
    "}",
)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_same_system_holds_on_hosts(tmp_path: Path) -> None:
    systems = tmp_path / "definitions"
    shutil.copytree(ROOT / "systems", systems, symlinks=True)
    env = {
        "SETER_SYSTEMS": str(systems),
        "SETER_STATE": str(tmp_path / "state"),
        "SETER_IDENTITY": str(tmp_path / "identity"),
    }
    tools, words = Tools(ROOT, env), ("s3-lb", "--target", "metal")
    wanted = {name: networks for nodes in GROUPS.values() for name, networks in nodes.items()}
    with hosts(tmp_path, wanted) as lab:
        text = target(lab, {group: list(nodes) for group, nodes in GROUPS.items()}, *PARAMETERS, *power(lab.prefix))
        (systems / "s3-lb" / "targets" / "metal.hcl").write_text(text)
        tools("seter", "deploy", *words, "--yes", timeout=1800)
        assert "no change" in tools("seter", "deploy", *words, "--yes").out
        found = tools("seter", "verify", *words, "--json").json()
        assert found and all(each["verdict"]["ok"] for each in found)
        proof = tools("seter", "prove", *words, "--json", timeout=1800).json()
        assert proof["held"] and proof["outage_seconds"] < 1
        assert "8 removed" in tools("seter", "destroy", *words, "--yes").out
