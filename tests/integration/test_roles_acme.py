"""One certificate for all gateways, from a real ACME server and a real name server.

Agents of the tests run beside the deployed ones, which order nothing, with a name of their own; what they lay over the
tree is taken away at the end. The tests run in the order of the file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Running
from tests.integration.test_roles_services import (
    ASK,
    GATEWAYS,
    PROGRAMS,
    TREE,
    change_tree,
    container,
    run,
    says,
)
from tests.integration.test_roles_traefik_guard import etcdctl
from tests.lab import pebble
from tests.lab.pebble import KEY, Pebble, Place
from tests.lab.waiting import soon

NAME, WILD = "s3.acme.test", "*.s3.acme.test"
CONFIG = "/tmp/acme.json"
METRICS, SOLVER = 9570, 9561  # the deployed agents have no server to deal with, so they answer no challenges
# What each gateway shows to who asks for a name, an unknown one, or none, for some seconds; or until all show another.
LOOK = """
import hashlib, json, socket, ssl, sys, threading, time
addresses, names, seconds, changes = json.loads(sys.argv[1])
end, seen = time.time() + seconds, []
def look(address, name):
    before, left = None, changes
    while time.time() < end and left:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection((address, 443), 5) as plain:
                with context.wrap_socket(plain, server_hostname=name) as tls:
                    shown = hashlib.sha256(tls.getpeercert(True)).hexdigest()
                    issuer = b"TRAEFIK DEFAULT CERT" in tls.getpeercert(True)
        except OSError as fault:
            shown, issuer = str(fault), False
        if shown != before:
            seen.append([address, name, time.time(), shown, issuer])
            left -= 1
        before = shown
        time.sleep(0.05)
threads = [threading.Thread(target=look, args=(address, name)) for address in addresses for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(seen))
"""


@dataclass(frozen=True)
class Fleet:
    """An agent on each gateway, and the servers that they deal with."""

    running: Running
    server: Pebble

    def start(self, nodes: tuple[str, ...] = GATEWAYS, **changes: Any) -> None:
        """Agents with the configuration of the deployed ones, but for what a test needs."""
        for node in nodes:
            settings = json.loads(run(self.running, node, "acme", "cat", "/etc/seter/now/acme/acme.json"))
            zone = {"server": self.server.place.address, "port": pebble.DNS_PORT, "name": "acme.test", "wait": 0.2}
            settings |= {
                "directory": self.server.directory, "terms_agreed": True, "server_ca": "/tmp/ca.pem", "lease": 4,
                "eab_kid": pebble.CUSTOMER, "eab_key": "/tmp/eab",
                "names": [NAME, WILD], "retry_first": 1, "retry_most": 4,
                "zone": settings["zone"] | zone | {"key_name": KEY}, "solver_port": SOLVER, "metrics_port": METRICS,
            }  # fmt: skip
            settings["zone"] |= changes.get("zone", {})
            settings |= {name: value for name, value in changes.items() if name != "zone"}
            self._put(node, "/tmp/ca.pem", self.server.ca)
            self._put(node, "/tmp/other.pem", self.server.ca * 2)
            self._put(node, "/tmp/eab", pebble.CUSTOMER_KEY)
            self._put(node, "/tmp/other-eab", pebble.CUSTOMER_KEY[::-1])
            self._put(node, CONFIG, json.dumps(settings))
            script = f"exec {PROGRAMS}/acme --config {CONFIG} run 2>>/tmp/acme.log"
            self.running.docker("exec", "--detach", "--user", "acme", self._container(node), "sh", "-c", script)

    def _container(self, node: str) -> str:
        return container(self.running, node, "acme")

    def _put(self, node: str, path: str, text: str) -> None:
        argv = ["docker", "exec", "--interactive", self._container(node), "sh", "-c", f"cat >{path}"]
        subprocess.run(argv, input=text, text=True, check=True, timeout=60)

    def end(self, number: signal.Signals = signal.SIGTERM, nodes: tuple[str, ...] = GATEWAYS) -> None:
        """End the tests' agents, all or some."""
        for node in nodes:
            lines = self.running.docker("top", self._container(node), "-eo", "pid,args").splitlines()
            for process in [int(line.split()[0]) for line in lines if CONFIG in line]:
                os.kill(process, number)

    def status(self, node: str) -> dict[str, Any]:
        """What the tests' agent says; nothing while it starts."""
        out = run(self.running, node, "acme", f"{PROGRAMS}/acme", "--config", CONFIG, "status", check=False)
        found: dict[str, Any] = json.loads(out or "{}")
        return found

    def all_say(self, **wanted: object) -> bool:
        """Whether every agent says this."""
        return all(self.status(node).items() >= wanted.items() for node in GATEWAYS)

    def log(self, node: str) -> str:
        """What the tests' agent wrote."""
        return run(self.running, node, "acme", "cat", "/tmp/acme.log", check=False)

    def addresses(self) -> list[str]:
        """Of the gateways."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        prefix = f"s3-lb.container.{self.running.instance}"
        return [self.running.docker("inspect", "-f", form, f"{prefix}.{node}").split()[0] for node in GATEWAYS]

    def begin_look(self, names: list[str | None], seconds: float, changes: int) -> subprocess.Popen[str]:
        """Look from the router, in the background, until each has shown so many certificates one after the other."""
        words = json.dumps([self.addresses(), names, seconds, changes])
        argv = self.server.place.argv(sys.executable, "-c", LOOK, words)
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    def look(self, names: list[str | None]) -> dict[tuple[str, str | None], str]:
        """(address, name) → digest of the certificate that is shown now."""
        out, _ = self.begin_look(names, 5, 1).communicate(timeout=60)
        return {(address, name): shown for address, name, _, shown, _ in json.loads(out)}


def in_step(running: Running) -> bool:
    return all(says(running, node, "traefik-guard", "traefik-guard", "status")["ok"] for node in GATEWAYS)


@pytest.fixture(scope="module")
def fleet(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The servers are there, on a router: it sends each connection to some gateway. The agents do not run yet."""
    folder = tmp_path_factory.mktemp("acme")
    prefix = f"s3-lb.container.{running.instance}"
    form = f'{{{{(index .NetworkSettings.Networks "{prefix}.fabric").IPAddress}}}}'
    address = running.docker("inspect", "-f", form, f"{prefix}.rt1")
    process = running.docker("inspect", "-f", "{{.State.Pid}}", container(running, "rt1", "bird-router"))
    place = Place(int(process), address)
    secret = run(running, "gw1", "acme", "cat", "/etc/seter/secrets/acme/acme-dns-key", user="acme")
    found = Fleet(running, pebble.pebble(place, folder))
    hosts = {"s3": "192.0.2.10", "also.s3": "192.0.2.10"}
    allowed = ["_acme-challenge.s3", "_acme-challenge.also.s3"]
    with pebble.name_server(place, folder, "acme.test", hosts, secret, allowed):
        try:
            yield found
        finally:
            found.end()
            for node in GATEWAYS:
                (folder / f"{node}.log").write_text(found.log(node))
                run(running, node, "acme", "sh", "-c", f"rm -f {CONFIG} /tmp/*.log /tmp/*.pem /tmp/*eab")
            says(running, "gw1", "acme", "acme", "settle")
            etcdctl(running, "del", "--prefix", "seter/acme/")
            soon(lambda: in_step(running), 10, "the deployment's own certificate")


def serial(fleet: Fleet) -> str:
    """Of the certificate that every gateway shows for the name; "" while they differ."""
    shown = set(fleet.look([NAME]).values())
    return shown.pop() if len(shown) == 1 else ""


def test_a_name_and_a_wildcard_are_proved_once_and_reach_every_gateway_at_once(fleet: Fleet) -> None:
    """The figure is 1 s on a machine that has time; Pebble refuses three of ten good nonces meanwhile."""
    before = fleet.look([NAME, "bucket.s3.acme.test"])
    with fleet.server.running(PEBBLE_WFE_NONCEREJECT="30", PEBBLE_VA_SLEEPTIME="2"):
        watch = fleet.begin_look([NAME], 60, 2)
        fleet.start()
        soon(lambda: fleet.all_say(issuer="acme", failures=0, ordering=False), 60, "a certificate")
        out, _ = watch.communicate(timeout=60)
        assert fleet.server.orders() == fleet.server.accounts() == 1
    found = fleet.status("gw1")
    assert found["names"] == [WILD, NAME] and found["orders"] == 1 and found["leader"] in GATEWAYS
    after = fleet.look([NAME, "bucket.s3.acme.test"])
    assert len(set(after.values())) == 1 and not set(after.values()) & set(before.values())
    seen = [(address, at) for address, _, at, shown, _ in json.loads(out) if shown in after.values()]
    assert len({address for address, _ in seen}) == 3
    late = max(at for _, at in seen) - found["success_at"]
    print(f"on all gateways {late:.2f} s after it came")
    assert late < 3


def test_nobody_is_ever_shown_the_certificate_that_traefik_makes_up(fleet: Fleet) -> None:
    out, _ = fleet.begin_look([None, "nobody.test", NAME], 5, 1).communicate(timeout=60)
    assert len(json.loads(out)) == 9
    assert not any(made_up for *_, made_up in json.loads(out))


def test_a_deploy_that_writes_the_tree_leaves_it_alone(fleet: Fleet, running: Running) -> None:
    before = serial(fleet)
    assert before and says(running, "gw2", "traefik", "traefik-tree", "apply", TREE)["changed"] is False
    change_tree(running, "http/services/radosgw/loadBalancer/servers/00/weight", "5")
    for tree in ("/tmp/tree.json", TREE):
        assert says(running, "gw1", "traefik", "traefik-tree", "apply", tree)["changed"] is True
    soon(lambda: in_step(running), 10, "all in step")
    assert serial(fleet) == before
    shown = says(running, "gw1", "traefik", "traefik-tree", "show")["over"]
    assert shown["tls/certificates/00/keyFile"] == "***" and shown["tls/certificates/00/certFile"] == f"sha256:{before}"


@pytest.mark.long
def test_a_leader_that_is_killed_in_mid_order_is_followed_by_one_who_goes_on_with_it(fleet: Fleet) -> None:
    fleet.end()
    names, ordered = [NAME, WILD, "also.s3.acme.test"], fleet.server.orders()
    with fleet.server.running():
        fleet.start(names=names, zone={"wait": 5})
        soon(lambda: fleet.server.orders() == ordered + 1, 30, "an order")
        soon(lambda: bool(fleet.status("gw1").get("leader")), 10, "a leader")
        leader = str(fleet.status("gw1")["leader"])
        fleet.end(signal.SIGKILL, (leader,))
        others = [node for node in GATEWAYS if node != leader]
        soon(lambda: len(fleet.status(others[0]).get("names", [])) == 3, 60, "the certificate with the new name")
        assert fleet.server.orders() == ordered + 1
        assert "goes on with the order" in "".join(map(fleet.log, others))
        assert all(fleet.status(node)["leader"] in others for node in others)
    fleet.end()


@pytest.mark.long
def test_it_is_renewed_under_traffic_and_stays_when_the_server_is_away(fleet: Fleet, running: Running) -> None:
    fleet.end()
    ordered = fleet.server.orders()
    with fleet.server.running(life=20, PEBBLE_AUTHZREUSE="100"):
        watch, traffic = fleet.begin_look([NAME], 120, 3), asking(running, 25)
        fleet.start()  # Pebble says when (ARI): at some time of the 20 s
        seen = json.loads(watch.communicate(timeout=180)[0])
        asked, failed = json.loads(traffic.communicate(timeout=120)[0])
    shown = {address: [digest for at, *_, digest, _ in seen if at == address] for address in fleet.addresses()}
    assert len({tuple(digests) for digests in shown.values()}) == 1, "the same on every gateway, in the same order"
    assert all(len(set(digests)) == 3 for digests in shown.values())
    assert fleet.server.orders() - ordered in (2, 3)  # it may be time again
    assert asked > 100 and failed == []
    last = serial(fleet)
    soon(lambda: int(fleet.status("gw1").get("failures", 0)) >= 2, 90, "failures")
    found = fleet.status("gw1")
    assert "failed" in found["summary"] and found["last_error"] and found["next_try"]
    assert serial(fleet) == last and fleet.server.orders() - ordered in (2, 3)
    script = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{METRICS}/metrics').read().decode())"
    metrics = run(running, "gw1", "acme", "python3", "-c", script)
    rows = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(rows["acme_failures"]) >= 2
    assert 0 <= float(rows['acme_certificate_life_left_ratio{issuer="acme"}']) < 1
    assert float(rows["acme_last_error_timestamp_seconds"]) > float(rows["acme_last_success_timestamp_seconds"])


def asking(running: Running, seconds: float) -> subprocess.Popen[str]:
    """Requests to one gateway, each on a new connection, in the background."""
    argv = ["docker", "exec", "--user", "traefik", container(running, "gw2", "traefik"), "python3", "-c", ASK]
    return subprocess.Popen([*argv, str(seconds)], stdout=subprocess.PIPE, text=True)


@pytest.mark.long
def test_nothing_is_ordered_before_all_agents_have_the_same_server_and_trust(fleet: Fleet) -> None:
    """A roll-out that names another server: who does not trust it yet would withdraw its gateway."""
    fleet.end()
    ordered = fleet.server.orders()
    with fleet.server.running():
        fleet.start(GATEWAYS[:2], names=[NAME, WILD, "also.s3.acme.test"])
        fleet.start(GATEWAYS[2:], names=[NAME, WILD, "also.s3.acme.test"], server_ca="/tmp/other.pem")
        soon(lambda: "waits until gw3" in fleet.log("gw1") + fleet.log("gw2"), 30, "the leader waits")
        assert fleet.server.orders() == ordered
        fleet.end(nodes=GATEWAYS[2:])
        fleet.start(GATEWAYS[2:], names=[NAME, WILD, "also.s3.acme.test"])
        soon(lambda: fleet.server.orders() == ordered + 1, 30, "an order")
    fleet.end()


@pytest.mark.long
def test_who_is_no_customer_is_refused_and_says_so(fleet: Fleet) -> None:
    fleet.end()
    etcdctl(fleet.running, "del", "--prefix", "seter/acme/")
    with fleet.server.running():
        fleet.start(eab_key="/tmp/other-eab")
        soon(lambda: "unauthorized" in fleet.status("gw1").get("last_error", ""), 60, "a refusal")
    fleet.end()


def test_keys_are_in_no_log(fleet: Fleet, running: Running) -> None:
    said = "".join(map(fleet.log, GATEWAYS))
    assert "ordered a certificate" in said
    secret = run(running, "gw1", "acme", "cat", "/etc/seter/secrets/acme/acme-dns-key", user="acme")
    stored = etcdctl(running, "get", "--prefix", "--print-value-only", "seter/acme/account")
    private = json.loads(json.loads(stored)["key"])["d"]
    assert len(private) > 40
    for hidden in (secret, private, "PRIVATE KEY"):
        assert hidden not in said and hidden not in fleet.server.said
