"""Flows that are in the middle of something when routes change: none breaks, on real gateways behind real routers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Running
from tests.integration.test_roles_data_plane import (
    GATEWAYS,
    PROGRAMS,
    agent,
    container,
    counts,
    run,
    whole_afterwards,
)
from tests.lab.waiting import soon

FLOWS = 200
UPDATE = 240.0  # seconds for which flows go on, at most, while all gateways are updated
FAMILIES = ("ip", "ip6")
EACH = 14.0  # seconds; longer than all drains and returns take


def ring(running: Running, node: str) -> dict[str, Any]:
    out = run(running, node, "second-chance", f"{PROGRAMS}/second-chance", "status", check=False)
    report: dict[str, Any] = json.loads(out) if out else {"in_place": False}
    return report


def handed_on(running: Running) -> int:
    """Packets so far, of all nodes and families."""
    found = (ring(running, node)["packets"] for node in GATEWAYS)
    return sum(count for one in found for family in one.values() for name, count in family.items() if name != "gave_up")


@contextmanager
def flowing(
    running: Running, *, count: int = FLOWS, seconds: float = EACH, each: float = EACH
) -> Iterator[dict[str, Any]]:
    """Slow uploads and downloads go on in the block; afterwards the report is in what it gave."""
    found: dict[str, Any] = {}
    argv = ["docker", "exec", container(running, "cl1", "s3-client"), f"{PROGRAMS}/s3-client", "flows", "--json"]
    argv += ["--count", str(count), "--seconds", str(seconds), "--each", str(each)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        assert "flows begin" in process.stderr.readline()
        time.sleep(2.0)  # all are connected
        try:
            yield found
        finally:
            out, err = process.communicate(timeout=seconds + each + 60)
    assert out, err
    found |= json.loads(out)


def drain_each(running: Running) -> None:
    """One after the other leaves, and comes back while its flows are on."""
    for node in GATEWAYS:
        agent(running, node, "withdraw")
        soon(lambda: counts(running) == [2] * 4, 5, f"{node} is out")
        time.sleep(0.7)
        agent(running, node, "admit")
        soon(lambda: counts(running) == [3] * 4, 10, f"{node} is in")
        time.sleep(0.7)


@pytest.mark.parametrize("node", GATEWAYS)
def test_every_gateway_has_its_hops_and_a_way_to_the_next(running: Running, node: str) -> None:
    assert ring(running, node)["in_place"], ring(running, node)["reason"]
    for family, name in (("-4", "198.19.0.1"), ("-6", "fd73:6574:6572:ffff::1")):
        argv = ("ip", family, "-json", "route", "get", name)
        (route,) = json.loads(running.docker("exec", container(running, node), *argv))
        assert route["dev"] == "hop1" and "gateway" in route


def test_no_flow_breaks_when_each_gateway_in_turn_is_drained_and_comes_back(running: Running) -> None:
    before = handed_on(running)
    with whole_afterwards(running), flowing(running) as found:
        drain_each(running)
    assert found["transfers"] == FLOWS and found["broken"] == 0, found["failures"][:5]
    soon(lambda: handed_on(running) > before, 5, "packets that were handed on")


@pytest.mark.long
def test_no_flow_breaks_while_every_gateway_is_updated(running: Running, tmp_path: Path) -> None:
    """Another Traefik on each, one after the other: out of traffic, until its flows have ended, and in again."""
    systems = Path(shutil.copytree(ROOT / "systems", tmp_path / "systems"))
    file = systems / "s3-lb" / "system.hcl"
    file.write_text(file.read_text().replace('    role "traefik" {\n', '    role "traefik" {\n      grace = "21s"\n'))
    before = running.containers()
    with whole_afterwards(running), flowing(running, seconds=UPDATE, each=6.0) as found:
        # What is open and idle then, such as a client's connections for later, is closed by Traefik when it stops.
        running.seter("deploy", "--yes", "--cut-after", "10", "--systems", str(systems), timeout=UPDATE)
        run(running, "cl1", "s3-client", "sh", "-c", "kill -TERM $(pgrep -f '[s]3-client flows')", user="s3-client")
    after = running.containers()
    traefik = {container(running, node, "traefik") for node in GATEWAYS}
    assert {name for name in before if before[name] != after.get(name)} == traefik
    assert found["transfers"] > FLOWS and found["broken"] == 0, found["failures"][:5]
    running.seter("deploy", "--yes", "--cut-after", "1", timeout=UPDATE)


@contextmanager
def ringless(running: Running) -> Iterator[None]:
    """Nobody takes packets that another hands on: they are refused as those of nobody's are. The rules of the ring stay
    as they are, so that who looks after them finds nothing wrong, and says so to all that ask."""
    hook = "type filter hook prerouting priority mangle - 1"
    rules = f'{{ chain before {{ {hook}; iifname "hop*" meta l4proto tcp reject with tcp reset; }}; }}'
    with whole_afterwards(running):
        try:
            for node, family in product(GATEWAYS, FAMILIES):
                run(running, node, "second-chance", "nft", f"table {family} ringless {rules}")
            yield
        finally:
            for node, family in product(GATEWAYS, FAMILIES):
                run(running, node, "second-chance", "nft", "destroy", "table", family, "ringless")


def test_without_the_ring_they_do_break(running: Running) -> None:
    """So the test above can fail."""
    with ringless(running), flowing(running, count=60) as found:
        drain_each(running)
    assert found["broken"] > 10


@pytest.mark.parametrize(
    "change",
    [
        ("delete", "table", "ip", "second_chance"),
        ("flush", "chain", "ip6", "second_chance", "before"),
        ("flush", "set", "ip", "second_chance", "vip"),
    ],
)
def test_rules_that_somebody_took_away_are_put_back(running: Running, change: tuple[str, ...]) -> None:
    was = ring(running, "gw1")["corrections"]
    run(running, "gw1", "second-chance", "nft", *change)
    soon(lambda: ring(running, "gw1")["corrections"] == was + 1 and ring(running, "gw1")["in_place"], 10, "the rules")
