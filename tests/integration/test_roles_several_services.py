"""Two services on the same gateways, each with virtual IPs of its own, announced, checked and drained by itself.

The same deployment has what a provider may choose otherwise than the lab does: a system of its own for each gateway, a
certificate of its own, and a limit for who connects too often.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from common.system import Deployment
from common.values import shown
from seter.blueprint import read_blueprint
from seter.certificates import make_authority, make_certificate
from tests.conftest import Ended, Running, Tools
from tests.integration.test_roles_data_plane import BIRDC, next_hops
from tests.integration.test_roles_firewall import address
from tests.integration.test_roles_services import GATEWAYS, PROGRAMS, container, run, says
from tests.integration.test_roles_watched import value
from tests.lab.doors import Door
from tests.lab.variants import variant
from tests.lab.waiting import soon

pytestmark = pytest.mark.long
NAME, OTHER = "s3.example.test", "archive.example.test"
VIPS, OTHERS = ("192.0.2.10", "2001:db8::10"), ("192.0.2.20", "2001:db8::20")
ROUTERS = ("rt1", "rt2")
SYSTEM, TARGET = "system.hcl", "targets/container.hcl"
LIMIT = 40  # new connections a second
SERVICE = f"""
  service "archive" {{
    dns_name = "{OTHER}"
    vips     = ["{OTHERS[0]}", "{OTHERS[1]}"]
    backends = "archive"
  }}

  group "archive" {{
    role "network" {{}}
    role "radosgw" {{
      dns_name  = "{OTHER}"
      balancers = "gateways"
      swift     = true
    }}
  }}
"""
NODE = """
  nodes "archive" {
    node "ar1" {
      networks = ["fabric"]
    }
  }
"""
STORAGE, NETWORKS = '    role "ceph-osd" {}\n    role "node-exporter" {}\n  }\n', '  network "clients" {}\n'
ROUTER, GATEWAY = ('      peers    = "gateways"\n', '      peers    = "routers"\n')


@dataclass(frozen=True)
class Several(Running):
    """The deployment, by the definitions of this file."""

    systems: Path
    certificate: Path

    def seter(self, verb: str, *words: str, **options: Any) -> Ended:
        return super().seter(verb, *words, *([] if verb == "destroy" else ["--systems", str(self.systems)]), **options)


@pytest.fixture(scope="module")
def several(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    folder = tmp_path_factory.mktemp("several")
    authority = make_authority("a public CA")
    pair = make_certificate(authority, NAME, [NAME, f"*.{NAME}", OTHER, f"*.{OTHER}"])
    certificate = folder / "own.crt"
    certificate.write_text(pair.certificate)
    certificate.with_suffix(".key").write_text(pair.key)
    changes = [
        (SYSTEM, '    monitors = "storage"\n', f"    trust = {shown(authority.certificate)}\n"),
        (SYSTEM, STORAGE, SERVICE),
        (SYSTEM, ROUTER, "      asn_each = true\n"),
        (SYSTEM, GATEWAY, "      asn_each = true\n"),
        (SYSTEM, '      backends      = "gateways"\n', f'      certificate = "{certificate}"\n'),
        (SYSTEM, '      watchers = "monitoring"\n', f"      new_per_second = {LIMIT}\n"),
        (TARGET, NETWORKS, NODE),
    ]
    made = Several(built, f"several-{os.getpid()}", variant(folder, "s3-lb", changes), certificate)
    try:
        made.seter("deploy", "--yes")
        yield made
    finally:
        made.seter("destroy", "--yes", "--forget", code=None)


def ways(several: Several, vips: tuple[str, ...]) -> list[int]:
    """Next hops to these addresses, on each router."""
    families = ["-6" if ":" in vip else "-4" for vip in vips]
    return [
        len(next_hops(several, node, family, vip))
        for node in ROUTERS
        for family, vip in zip(families, vips, strict=True)
    ]


def round_trip(several: Several, service: str) -> dict[str, Any]:
    argv = ("round-trip", "--service", service, "--json")
    return says(several, "cl1", "s3-client", "s3-client", *argv)


def agent(several: Several, node: str, verb: str) -> None:
    run(several, node, "health", f"{PROGRAMS}/health", verb, "--service", "archive")


def test_each_service_is_announced_and_checked_by_itself(several: Several) -> None:
    soon(lambda: ways(several, VIPS) == ways(several, OTHERS) == [3] * 4, 30, "all gateways announce both")
    names = {check.name for check in read_blueprint(Deployment("s3-lb", "container"), several.systems).checks}
    assert {"spread", "spread archive", "round-trip", "round-trip archive"} <= names
    assert "no change" in several.seter("deploy", "--yes").out


def test_each_service_has_its_own_backends(several: Several) -> None:
    for service, vips in (("main", VIPS), ("archive", OTHERS)):
        found = round_trip(several, service)
        assert found["ok"] and found["vip"] in vips
    url = "http://127.0.0.1:8080/api/http/services/radosgw-archive@file"
    pool = json.loads(run(several, "gw1", "traefik", "curl", "-sf", url))
    assert len(pool["loadBalancer"]["servers"]) == 1 and set(pool["serverStatus"].values()) == {"UP"}


def test_a_service_that_fails_is_withdrawn_alone(several: Several) -> None:
    load = [f"{PROGRAMS}/s3-client", "load", "--seconds", "8", "--rate", "20", "--json"]
    with subprocess.Popen(
        ["docker", "exec", container(several, "cl1", "s3-client"), *load], stdout=subprocess.PIPE, text=True
    ) as loading:
        several.docker("kill", container(several, "ar1", "radosgw"))
        try:
            soon(lambda: ways(several, OTHERS) == [0] * 4, 10, "the archive is withdrawn")
            assert ways(several, VIPS) == [3] * 4
            said = says(several, "gw1", "health", "health", "status")["services"]
            assert (said["main"]["announced"], said["archive"]["announced"]) == (True, False)
            soon(lambda: value(several, 'sum(health_announced{service="archive"})') == 0, 20, "Prometheus knows")
            assert value(several, 'sum(health_announced{service="main"})') == 3
        finally:
            several.docker("start", container(several, "ar1", "radosgw"))
        found = json.loads(loading.communicate(timeout=60)[0])
    assert found["requests"] == 160 and found["failed"] == 0, "nobody of the other service noticed"
    soon(lambda: ways(several, OTHERS) == [3] * 4, 60, "the archive is back")


def test_one_service_of_a_gateway_is_drained(several: Several) -> None:
    agent(several, "gw2", "withdraw")
    try:
        soon(lambda: ways(several, OTHERS) == [2] * 4, 10, "gw2 has no archive")
        assert ways(several, VIPS) == [3] * 4 and round_trip(several, "archive")["ok"]
    finally:
        agent(several, "gw2", "admit")
    soon(lambda: ways(several, OTHERS) == [3] * 4, 10, "gw2 has it again")


def test_each_gateway_has_a_system_of_its_own(several: Several) -> None:
    lines = run(several, "rt1", "bird-router", *BIRDC, "show", "route", f"{VIPS[0]}/32", user="bird").splitlines()
    assert [sum(f"[AS{asn}i]" in line for line in lines) for asn in (64513, 64514, 64515)] == [1, 1, 1]


SHOWN = """
import hashlib, socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with socket.create_connection((sys.argv[1], 443), 5) as plain:
    with context.wrap_socket(plain, server_hostname=sys.argv[2] or None) as tls:
        print(hashlib.sha256(tls.getpeercert(True)).hexdigest())
"""


@pytest.mark.parametrize(
    ("vip", "name"), [(VIPS[0], NAME), (OTHERS[1], OTHER), (OTHERS[0], f"bucket.{OTHER}"), (VIPS[1], "")]
)
def test_a_certificate_of_one_s_own_is_served_to_everybody(several: Several, vip: str, name: str) -> None:
    own = several.certificate.read_text()
    wanted = hashlib.sha256(ssl.PEM_cert_to_DER_cert(own)).hexdigest()
    assert run(several, "cl1", "s3-client", "python3", "-c", SHOWN, vip, name) == wanted


HURRY = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def open_(number):
    try:
        return socket.create_connection((sys.argv[1], 443), timeout=0.7)
    except OSError:
        return None
with ThreadPoolExecutor(200) as pool:
    print(sum(each is not None for each in pool.map(open_, range(200))))
"""


def hasty(several: Several) -> int:
    return int(says(several, "gw1", "firewall", "firewall", "status")["hasty"])


def test_who_connects_too_often_waits_and_nobody_else(several: Several) -> None:
    before = hasty(several)
    got = int(run(several, "rt1", "bird-router", "python3", "-c", HURRY, address(several, "gw1")))
    # A second's worth at once, and what comes to that until the last has given up.
    assert LIMIT <= got <= 3 * LIMIT
    soon(lambda: hasty(several) >= before + 200 - got, 10, "the firewall counts them")
    assert all(round_trip(several, "main")["ok"] for _ in range(6)), "a client at another address is served"
    assert all(says(several, node, "health", "health", "status")["settled"] for node in GATEWAYS)


USER = {"X-Auth-User": "seter:swift", "X-Auth-Key": "a-swift-key"}
TEXT = os.urandom(1 << 16)
# Method, path below the account, headers, body: what a client of Swift does, and what is refused it.
STEPS: tuple[tuple[str, str, dict[str, str], bytes], ...] = (
    ("PUT", "/c", {"X-Container-Meta-Colour": "blue"}, b""),
    ("PUT", "/c", {}, b""),
    ("HEAD", "/c", {}, b""),
    ("PUT", "/c/a%2Fb%20%C3%BC", {"Content-Type": "text/x-own", "X-Object-Meta-A": "1"}, TEXT),
    ("PUT", "/c/a//b;c+d", {"Content-Type": "text/x-other"}, b"second"),
    ("PUT", "/c/untyped", {}, b"third"),
    ("HEAD", "/c/untyped", {}, b""),
    ("DELETE", "/c/untyped", {}, b""),
    ("HEAD", "/c/a%2Fb%20%C3%BC", {}, b""),
    ("GET", "/c/a%2Fb%20%C3%BC", {}, b""),
    ("GET", "/c/a%2Fb%20%C3%BC", {"Range": "bytes=100-199"}, b""),
    ("GET", "/c/a//b;c+d", {"If-None-Match": hashlib.md5(b"second").hexdigest()}, b""),
    ("POST", "/c/a%2Fb%20%C3%BC", {"X-Object-Meta-A": "2"}, b""),
    ("HEAD", "/c/a%2Fb%20%C3%BC", {}, b""),
    ("COPY", "/c/a//b;c+d", {"Destination": "c/copy"}, b""),
    ("GET", "/c/copy", {}, b""),
    ("PUT", "/c/wrong", {"ETag": "0" * 32}, b"not that"),
    ("GET", "/c", {}, b""),
    ("GET", "/c?prefix=a&delimiter=/", {}, b""),
    ("GET", "?format=json&limit=0", {}, b""),
    ("GET", "/c/none", {}, b""),
    ("GET", "/none", {}, b""),
    ("DELETE", "/c", {}, b""),
    ("DELETE", "/c/a%2Fb%20%C3%BC", {}, b""),
    ("DELETE", "/c/a//b;c+d", {}, b""),
    ("DELETE", "/c/copy", {}, b""),
    ("DELETE", "/c/copy", {}, b""),
    ("DELETE", "/c", {}, b""),
)
# Of one answer and no other, or of the way that it took.
OWN = {"date", "x-trans-id", "x-openstack-request-id", "x-timestamp", "last-modified", "connection", "x-auth-token",
       "x-storage-token", "x-auth-token-expires", "x-copied-from-last-modified"}  # fmt: skip


def swift(door: Door, *, tls: bool) -> list[tuple[int, dict[str, str], bytes]]:
    """Log in and do all; each answer with the headers that should be the same whichever way it came."""
    answers = []

    def ask(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(OTHER, timeout=20)
        connection.sock = socket.create_connection(door.server_address[:2], 20)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection.sock = context.wrap_socket(connection.sock, server_hostname=OTHER)
        connection.request(method, path, body, {"Host": OTHER, **headers})
        answer = connection.getresponse()
        kept = {name.lower(): text for name, text in answer.getheaders() if name.lower() not in OWN}
        if answer.status == 304:
            kept.pop("content-type", None)  # "What a client may notice" in the manual
        answers.append((answer.status, kept, re.sub(rb'"(RequestId|HostId)":"[^"]*"', b"", answer.read())))
        connection.close()
        return answer

    entered = ask("GET", "/auth/v1.0", USER)
    account = urlsplit(entered.headers["X-Storage-Url"])
    assert f"{account.scheme}://{account.netloc}" == f"https://{OTHER}", "where clients are to go on"
    for method, path, headers, body in STEPS:
        ask(method, account.path + path, {"X-Auth-Token": entered.headers["X-Auth-Token"], **headers}, body)
    ask("GET", "/auth/v1.0", USER | {"X-Auth-Key": "another"})
    ask("GET", account.path, {})
    return answers


def test_swift_is_the_same_through_the_balancer(several: Several) -> None:
    conf = ("-c", "/etc/seter/now/radosgw/ceph.conf", "-n", "client.rgw", "--admin-socket=")
    subuser = ("--uid", "seter", "--subuser", "seter:swift", "--access", "full", "--key-type", "swift")
    create = ("subuser", "create", *subuser, "--secret-key", USER["X-Auth-Key"])
    run(several, "ar1", "radosgw", "radosgw-admin", *conf, *create, user="ceph")
    pids = {
        node: int(several.docker("inspect", "-f", "{{.State.Pid}}", container(several, node, "network")[:-8]))
        for node in ("ar1", "gw1")
    }
    direct = swift(Door(pids["ar1"], 7480), tls=False)
    through = swift(Door(pids["gw1"], 443), tls=True)
    assert len(direct) == len(STEPS) + 3 and sum(200 <= status < 300 for status, *_ in direct) >= 18
    pairs = zip(("enter", *STEPS, "a wrong key", "no token"), direct, through, strict=True)
    assert [(step, one, other) for step, one, other in pairs if one != other] == []
