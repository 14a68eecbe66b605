"""What reaches Traefik of what stands in etcd, whoever wrote it there."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from seter.certificates import make_authority, make_certificate
from tests.conftest import Running
from tests.integration.test_roles_services import (
    GATEWAYS,
    PROGRAMS,
    TREE,
    ask,
    container,
    run,
    says,
    weights,
)
from tests.lab.waiting import soon

POOL = "traefik/http/services/radosgw/loadBalancer"
SECRETS = "/etc/seter/secrets/etcd"


def etcdctl(running: Running, *words: str) -> str:
    """As somebody who has the keys of a member, past all that seter checks."""
    argv = (
        "etcdctl", "--endpoints=https://127.0.0.1:2379", f"--cacert={SECRETS}/ca.crt", f"--cert={SECRETS}/member.crt",
        f"--key={SECRETS}/member.key",
    )  # fmt: skip
    return run(running, "gw1", "etcd", *argv, *words, user="etcd")


def guard(running: Running, node: str) -> dict[str, object]:
    return says(running, node, "traefik-guard", "traefik-guard", "status")


def refused(running: Running) -> bool:
    return all(guard(running, node)["refused"] for node in GATEWAYS)


@contextmanager
def restored(running: Running) -> Iterator[None]:
    """The tree that was rendered is in etcd, and on every node, after the block."""
    try:
        yield
    finally:
        says(running, "gw1", "traefik", "traefik-tree", "apply", TREE)
        soon(lambda: all(guard(running, node)["ok"] for node in GATEWAYS), 10, "all in step")


def test_every_node_has_what_etcd_has(running: Running) -> None:
    found = [guard(running, node) for node in GATEWAYS]
    assert all(one["ok"] for one in found), found
    assert len({one["applied_revision"] for one in found}) == 1


def test_a_tree_that_is_deleted_or_broken_by_hand_changes_nothing(running: Running) -> None:
    before = {node: weights(running, node) for node in GATEWAYS}
    with restored(running):
        etcdctl(running, "put", f"{POOL}/strategy", "nope")
        soon(lambda: refused(running), 5, "a wrong value is refused")
        etcdctl(running, "del", "--prefix", "traefik/")
        soon(lambda: "no router" in str(guard(running, "gw1")["refused"]), 5, "an empty tree is refused")
        time.sleep(1.0)
        assert {node: weights(running, node) for node in GATEWAYS} == before
        found = says(running, "cl1", "s3-client", "s3-client", "round-trip", "--size", "1KiB", "--json")
        assert found["ok"]


# Looks at the node's Traefik until it has this weight of the RadosGW there, and says when (seconds since 1970: nodes of
# a lab share a clock).
SEE = """
import http.client, json, sys, time
end, connection = time.time() + 20, http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
print("looks", flush=True)
while time.time() < end:
    connection.request("GET", "/api/http/services/radosgw@file")
    servers = json.load(connection.getresponse())["loadBalancer"]["servers"]
    if {"url": "http://127.0.0.1:7480", "weight": int(sys.argv[1])} in servers:
        print(time.time())
        break
    time.sleep(0.01)
"""
# The same for a certificate: until another is shown for the name than this one.
EXCHANGED = """
import hashlib, socket, ssl, sys, time
end, context = time.time() + 20, ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
print("looks", flush=True)
while time.time() < end:
    with socket.create_connection(("127.0.0.1", 443), 5) as plain:
        with context.wrap_socket(plain, server_hostname=sys.argv[1]) as tls:
            shown = hashlib.sha256(tls.getpeercert(True)).hexdigest()
    if shown != sys.argv[2]:
        print(time.time())
        break
    time.sleep(0.01)
"""
# Writes what it is told to etcd in one transaction, and says when it began to.
WRITE = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, "/usr/local/lib/seter")
from traefik_etcd import Etcd, b64
etcd, told = Etcd("127.0.0.1", 2379, Path("/etc/seter/secrets/traefik")), json.load(sys.stdin)
began = time.time()
etcd.call({"success": [{"request_put": {"key": b64(key), "value": b64(value)}} for key, value in told.items()]})
print(began)
"""
OVER = "seter/traefik/over/tls/certificates/01"  # beside that of the service
NAME = "exchanged.test"  # the agents look at the certificate of the service's name, which stays


def python_of_traefik(running: Running, node: str, *argv: str) -> subprocess.Popen[str]:
    words = ["docker", "exec", "-i", "--user", "traefik", container(running, node, "traefik"), "python3", "-c", *argv]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def time_to_everywhere(running: Running, written: Mapping[str, str], *look: str) -> float:
    """Seconds from the write to when the last Traefik is seen to have it."""
    looking = [python_of_traefik(running, node, *look) for node in GATEWAYS]
    for each in looking:
        assert each.stdout is not None and each.stdout.readline() == "looks\n"
    began = float(python_of_traefik(running, "gw1", WRITE).communicate(json.dumps(written), timeout=60)[0])
    return max(float(each.communicate(timeout=60)[0]) for each in looking) - began


def best(figure: float, measured: Iterator[float]) -> float:
    """The least of some, until one is within the figure: what a machine does that has nothing else to do."""
    found: list[float] = []
    for each in measured:
        found.append(each)
        if each <= figure:
            break
    print(f"everywhere after {', '.join(f'{each:.3f}' for each in found)} s")
    return min(found)


def test_a_change_in_etcd_is_in_every_traefik_within_0_3_s(running: Running) -> None:
    with restored(running):
        weights = map(str, range(3, 9))
        key = f"{POOL}/servers/00/weight"
        assert best(0.3, (time_to_everywhere(running, {key: one}, SEE, one) for one in weights)) <= 0.3


def test_a_new_certificate_is_shown_by_every_traefik_within_1_s(running: Running) -> None:
    def exchanges() -> Iterator[float]:
        authority, shown = make_authority("a CA"), ""
        for _ in range(6):
            pair = make_certificate(authority, NAME, [NAME])
            written = {f"{OVER}/certFile": pair.certificate, f"{OVER}/keyFile": pair.key}
            if shown:
                yield time_to_everywhere(running, written, EXCHANGED, NAME, shown)
            else:
                python_of_traefik(running, "gw1", WRITE).communicate(json.dumps(written), timeout=60)
                soon(lambda: all(guard(running, node)["ok"] for node in GATEWAYS), 10, "all in step")
            shown = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pair.certificate)).hexdigest()

    try:
        assert best(1.0, exchanges()) <= 1.0
    finally:
        etcdctl(running, "del", "--prefix", OVER)
        soon(lambda: all(guard(running, node)["ok"] for node in GATEWAYS), 10, "all in step")


@pytest.mark.long
def test_of_a_thousand_requests_one_at_most_fails_while_changes_make_the_dead_look_alive(running: Running) -> None:
    """Each change has Traefik take every server for alive until its next probe; who is refused there is tried again."""
    dead, changes = container(running, "gw3", "radosgw"), 0
    with restored(running), ThreadPoolExecutor() as pool:
        running.docker("kill", dead)
        try:
            asking = [pool.submit(ask, running, node, 30) for node in GATEWAYS for _ in range(2)]
            while not all(each.done() for each in asking):
                changes += 1
                written = json.dumps({f"{POOL}/servers/00/weight": str(3 + changes % 7)})
                python_of_traefik(running, "gw1", WRITE).communicate(written, timeout=60)
        finally:
            running.docker("start", dead)
    found = [each.result() for each in asking]
    asked, failed = sum(count for count, _ in found), sum(len(bad) for _, bad in found)
    print(f"{failed} of {asked} requests failed in {changes} changes")
    assert asked > 1000 and changes > 20 and failed <= asked / 1000


def test_a_traefik_that_starts_while_etcd_is_away_serves_what_it_had(running: Running) -> None:
    before = weights(running, "gw2")
    roles = ("etcd", "traefik-guard", "traefik")
    running.docker("stop", "--time", "5", *(container(running, "gw2", role) for role in roles))
    try:
        for role in ("traefik-guard", "traefik"):
            running.docker("start", container(running, "gw2", role))
        soon(lambda: guard(running, "gw2")["etcd"] is False, 10, "the guard says that etcd is away")
        soon(lambda: weights(running, "gw2") == before, 10, "the configuration it had")
        health = [f"{PROGRAMS}/health", "status", "--settled"]
        soon(lambda: bool(run(running, "gw2", "health", *health, check=False)), 20, "the agent")
    finally:
        running.docker("start", container(running, "gw2", "etcd"))
    soon(lambda: bool(guard(running, "gw2")["ok"]), 30, "in step again")
