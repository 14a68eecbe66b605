"""The data plane on real components: BIRD on routers and gateways, the agent, the client. One deployment serves all.

Each test leaves the deployment as it found it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from common.catalog import Catalog
from tests.conftest import ROOT, Running
from tests.lab.waiting import soon

GATEWAYS, ROUTERS = ("gw1", "gw2", "gw3"), ("rt1", "rt2")
VIPS = {"-4": "192.0.2.10", "-6": "2001:db8::10"}
PROGRAMS = "/usr/local/lib/seter"
BIRDC = ("birdc", "-s", "/run/bird/bird.ctl")


def container(running: Running, node: str, role: str = "") -> str:
    return ".".join(["s3-lb.container", running.instance, node, *([role] if role else [])])


def run(running: Running, node: str, role: str, *argv: str, user: str = "", check: bool = True) -> str:
    """A command in the container of a role."""
    words = ["--user", user] if user else []
    return running.docker("exec", *words, container(running, node, role), *argv, check=check)


def agent(running: Running, node: str, verb: str) -> str:
    return run(running, node, "health", f"{PROGRAMS}/health", verb)


def bird(running: Running, node: str, role: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(run(running, node, role, f"{PROGRAMS}/bird-status"))
    return report


def next_hops(running: Running, node: str, family: str, destination: str) -> list[str]:
    """Gateways of the kernel's route, sorted."""
    found = json.loads(
        running.docker("exec", container(running, node), "ip", family, "-json", "route", "show", destination)
    )
    hops = [hop["gateway"] for route in found for hop in route.get("nexthops", [route]) if "gateway" in hop]
    return sorted(hops)


def counts(running: Running) -> list[int]:
    """Next hops to the virtual IPs: both routers, both families."""
    return [len(next_hops(running, router, family, vip)) for router in ROUTERS for family, vip in VIPS.items()]


@contextmanager
def whole_afterwards(running: Running) -> Iterator[None]:
    """The deployment has all its next hops before the block, and has them again after it."""
    soon(lambda: counts(running) == [3] * 4, 30, "three next hops before the test")
    try:
        yield
    finally:
        for role in ("traefik", "bird-gateway", "health"):
            running.docker("start", container(running, "gw2", role))
        agent(running, "gw2", "admit")
        soon(lambda: counts(running) == [3] * 4, 30, "three next hops after the test")


def addresses(running: Running, node: str) -> set[str]:
    found = json.loads(
        running.docker("exec", container(running, node), "ip", "-json", "addr", "show", "scope", "global")
    )
    return {entry["local"] for link in found if link["ifname"] != "lo" for entry in link["addr_info"] if entry}


@pytest.mark.parametrize(("node", "role", "peers"), [("gw1", "bird-gateway", 2), ("rt1", "bird-router", 3)])
def test_every_peer_has_a_session_and_bfd_of_300_ms_in_both_families(
    running: Running, node: str, role: str, peers: int
) -> None:
    report = bird(running, node, role)
    assert report["ok"], report["down"]
    sessions = [entry["neighbor"] for entry in report["protocols"] if entry["protocol"] == "BGP"]
    assert len(sessions) == 2 * peers
    assert [entry["timeout"] for entry in report["bfd"] if entry["neighbor"] in sessions] == [0.3] * 2 * peers


def test_both_routers_spread_both_virtual_ips_over_the_same_three_gateways(running: Running) -> None:
    gateways = set().union(*(addresses(running, gateway) for gateway in GATEWAYS))
    for router in ROUTERS:
        for family, vip in VIPS.items():
            hops = next_hops(running, router, family, vip)
            assert len(hops) == 3 and set(hops) <= gateways


def test_a_gateway_answers_clients_over_both_routers_and_learns_nothing_else(running: Running) -> None:
    client = addresses(running, "cl1")
    shared = set().union(*(addresses(running, router) for router in ROUTERS))
    for family, version in (("-4", "."), ("-6", ":")):
        argv = ("ip", family, "-json", "route", "show", "proto", "bird")
        found = json.loads(running.docker("exec", container(running, "gw1"), *argv))
        routes = [route for route in found if not route["dst"].startswith(("198.19.0.", "fd73:6574:6572:ffff:"))]
        assert len(routes) == 1, "the clients' network and nothing else"
        assert {hop["gateway"] for hop in routes[0]["nexthops"]} <= shared
        assert any(version in address for address in client)


def test_the_client_reaches_the_virtual_ips_over_both_routers(running: Running) -> None:
    for family, vip in VIPS.items():
        assert len(next_hops(running, "cl1", family, vip)) == 2


def test_the_client_stores_and_reads_over_each_virtual_ip(running: Running) -> None:
    for vip in VIPS.values():
        argv = (f"{PROGRAMS}/s3-client", "round-trip", "--size", "1KiB", "--vip", vip, "--json")
        report = json.loads(run(running, "cl1", "s3-client", *argv))
        assert report["ok"] and report["got_size"] == 1024 and report["vip"] == vip


def test_the_canary_has_metrics_for_each_virtual_ip(running: Running) -> None:
    argv = ("curl", "-s", "http://127.0.0.1:9552/metrics")
    text = run(running, "cl1", "s3-client", *argv)
    for vip in VIPS.values():
        assert f's3_client_rounds_total{{vip="{vip}",outcome="good"}}' in text


@pytest.mark.parametrize("role", ["bird-gateway", "bird-router", "health", "second-chance", "traefik", "s3-client"])
def test_a_process_has_the_capabilities_of_its_role_and_no_others(running: Running, role: str) -> None:
    node = {"bird-router": "rt1", "s3-client": "cl1"}.get(role, "gw1")
    process = Catalog.open(ROOT / "systems").role(role).process
    assert process is not None
    lines = run(running, node, role, "cat", "/proc/1/status").splitlines()
    status = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    assert status["Uid"] == [str(process.uid)] * 4
    assert status["NoNewPrivs"] == ["1"]
    sets = {int(status[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    # Numbers of linux/capability.h.
    numbers = {"NET_BIND_SERVICE": 10, "NET_BROADCAST": 11, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_NICE": 23}
    assert sets == {sum(1 << numbers[name] for name in process.capabilities)}


def test_no_process_can_change_what_it_was_made_of(running: Running) -> None:
    roles = [name for name in running.containers() if name.count(".") == 4]
    assert len(roles) > 20
    found = running.docker("inspect", "--format", "{{.Name}} {{.HostConfig.ReadonlyRootfs}}", *roles).splitlines()
    assert [line for line in found if not line.endswith(" true")] == []
    said = run(running, "gw1", "traefik", "sh", "-c", "echo x >/usr/local/lib/seter/new || exit 3", check=False)
    assert said == "" and run(running, "gw1", "traefik", "ls", f"{PROGRAMS}").split().count("new") == 0


def test_a_node_that_stops_serving_leaves_both_families_at_both_routers_within_a_second(running: Running) -> None:
    with whole_afterwards(running):
        running.docker("kill", container(running, "gw2", "traefik"))
        soon(lambda: counts(running) == [2] * 4, 1.5, "the withdrawal")
        report = bird(running, "gw2", "bird-gateway")
        assert report["ok"], "sessions stay up: nobody is alarmed by a node that is out"


def test_a_reconfigured_bird_does_not_bring_a_drained_node_back(running: Running) -> None:
    with whole_afterwards(running):
        agent(running, "gw2", "withdraw")
        assert counts(running) == [2] * 4, "withdraw returns when the routers can know"
        said = run(running, "gw2", "bird-gateway", *BIRDC, "configure", user="bird")
        assert "Reconfigur" in said
        for _ in range(10):
            time.sleep(0.1)
            assert counts(running) == [2] * 4


def test_a_drain_outlives_the_agent(running: Running) -> None:
    with whole_afterwards(running):
        agent(running, "gw2", "withdraw")
        running.docker("restart", "--time", "5", container(running, "gw2", "health"))
        soon(lambda: json.loads(agent(running, "gw2", "status"))["ticks"] > 10, 10, "the agent's checks")
        assert json.loads(agent(running, "gw2", "status"))["wanted"] == "withdrawn"
        assert counts(running) == [2] * 4


def test_an_agent_that_ends_takes_its_node_out(running: Running) -> None:
    with whole_afterwards(running):
        running.docker("stop", "--time", "5", container(running, "gw2", "health"))
        soon(lambda: counts(running) == [2] * 4, 1, "the withdrawal")


def test_an_unchanged_configuration_leaves_sessions_alone(running: Running) -> None:
    def since() -> dict[str, datetime]:
        return {
            entry["name"]: datetime.fromisoformat(entry["since"])
            for entry in bird(running, "rt1", "bird-router")["protocols"]
        }

    before = since()
    run(running, "rt1", "bird-router", *BIRDC, "configure", user="bird")
    after = since()
    # BIRD reckons them from another clock each time: they may differ by a millisecond.
    assert after.keys() == before.keys()
    assert max(abs(after[name] - before[name]) for name in before) < timedelta(milliseconds=50)


def test_a_bad_configuration_is_refused_with_birds_own_words(running: Running) -> None:
    node = container(running, "gw1", "bird-gateway")
    argv = ("sh", "-c", "echo 'protocol bgp {' >/tmp/bad.conf; bird -p -c /tmp/bad.conf 2>&1; echo code $?")
    said = running.docker("exec", "--user", "bird", node, *argv)
    assert "syntax error" in said and "code 1" in said


def test_the_network_s_set_up_is_done_twice_without_a_change(running: Running) -> None:
    before = running.docker("exec", container(running, "cl1"), "ip", "-json", "route")
    running.docker("start", "--attach", container(running, "cl1", "network"))
    assert running.docker("exec", container(running, "cl1"), "ip", "-json", "route") == before


@pytest.mark.parametrize(
    ("role", "program", "user"),
    [
        ("traefik", "^/usr/local/bin/traefik", "traefik"),
        ("radosgw", "^/usr/bin/radosgw", "ceph"),
        ("bird-gateway", "^(/usr/sbin/)?bird ", "bird"),
    ],
)
def test_a_service_that_hangs_is_withdrawn_and_started_anew(
    running: Running, role: str, program: str, user: str
) -> None:
    def pids() -> set[str]:
        return set(run(running, "gw3", role, "pgrep", "-f", program, check=False).split())

    before = pids()
    begun = time.monotonic()
    run(running, "gw3", role, "sh", "-c", f"kill -STOP $(pgrep -f '{program}')", user=user)
    if role != "radosgw":  # there the others' are asked, perhaps before anybody has noticed
        soon(lambda: counts(running) == [2] * 4, 4, "the routers have left it out")
    soon(lambda: bool(pids() and not pids() & before), 40, "another process")
    assert time.monotonic() - begun > 8, "a busy service was taken for one that hangs"
    soon(lambda: counts(running) == [3] * 4, 60, "it is back")


def test_a_node_whose_agent_hangs_is_withdrawn_and_comes_back_with_it(running: Running) -> None:
    """Nobody would notice that it serves no more."""
    with whole_afterwards(running):
        running.docker("pause", container(running, "gw2", "health"))
        try:
            soon(lambda: counts(running) == [2] * 4, 6, "no route to a node that nobody watches")
        finally:
            running.docker("unpause", container(running, "gw2", "health"))
        soon(lambda: counts(running) == [3] * 4, 10, "the route when the agent is back")
