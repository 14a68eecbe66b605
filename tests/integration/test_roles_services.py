"""The services on real components: Ceph, RadosGW, etcd, Traefik, Prometheus. One deployment serves all.

Each test leaves the deployment as it found it.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Running
from tests.lab.waiting import soon

GATEWAYS = ("gw1", "gw2", "gw3")
PROGRAMS = "/usr/local/lib/seter"
TREE = "/etc/seter/now/traefik/tree.json"
# Asks the Traefik of the same node for the list of buckets, without a name: 200 is an empty list for nobody.
ASK = """
import http.client, json, ssl, sys, time
context = ssl.create_default_context(cafile="/etc/seter/secrets/traefik/ca.crt")
end, asked, failed = time.monotonic() + float(sys.argv[1]), 0, []
while time.monotonic() < end:
    started = time.monotonic()
    try:
        connection = http.client.HTTPSConnection("127.0.0.1", 443, context=context, timeout=10)
        connection.sock = context.wrap_socket(
            __import__("socket").create_connection(("127.0.0.1", 443), 10), server_hostname="s3.example.test")
        connection.request("GET", "/", headers={"Host": "s3.example.test"})
        status = connection.getresponse().status
    except OSError as error:
        status = str(error)
    asked += 1
    if status != 200:
        failed.append([started, status])
    connection.close()
    time.sleep(0.01)
print(json.dumps([asked, failed]))
"""
# Asks it for the same, and to store what it must not, 20 times each at once. Says so after half a second; then what it
# said to each, and after how long.
AT_ONCE = """
import http.client, json, ssl, socket, time
from concurrent.futures import ThreadPoolExecutor
context = ssl.create_default_context(cafile="/etc/seter/secrets/traefik/ca.crt")
def asked(request):
    started = time.monotonic()
    connection = http.client.HTTPSConnection("127.0.0.1", 443)
    plain = socket.create_connection(("127.0.0.1", 443), 15)
    connection.sock = context.wrap_socket(plain, server_hostname="s3.example.test")
    connection.request(*request, headers={"Host": "s3.example.test"})
    status = connection.getresponse().status
    return request[0], time.monotonic() - started, status
with ThreadPoolExecutor(40) as threads:
    found = [threads.submit(asked, request) for request in [("GET", "/"), ("PUT", "/nobodys/thing")] * 20]
    time.sleep(0.5)
    print("under way", flush=True)
    print(json.dumps([each.result() for each in found]))
"""


def container(running: Running, node: str, role: str) -> str:
    return f"s3-lb.container.{running.instance}.{node}.{role}"


def run(running: Running, node: str, role: str, *argv: str, user: str = "", check: bool = True) -> str:
    """A command in the container of a role, as root unless a user is named."""
    words = ["--user", user] if user else []
    return running.docker("exec", *words, container(running, node, role), *argv, check=check)


def says(running: Running, node: str, role: str, program: str, *words: str) -> dict[str, Any]:
    """The JSON of a role's program."""
    told: dict[str, Any] = json.loads(run(running, node, role, f"{PROGRAMS}/{program}", *words, check=False))
    return told


def weights(running: Running, node: str) -> dict[str, int]:
    """Server → weight, as the node's Traefik has them."""
    url = "http://127.0.0.1:8080/api/http/services/radosgw@file"
    service = json.loads(run(running, node, "traefik", "curl", "-sf", url))
    return {server["url"]: server["weight"] for server in service["loadBalancer"]["servers"]}


def revision(running: Running) -> int:
    return int(says(running, "gw1", "traefik", "traefik-tree", "show")["revision"])


def test_the_storage_is_healthy_and_has_its_disk(running: Running) -> None:
    told = says(running, "st1", "ceph-mon", "ceph-status", "/etc/seter/now/ceph-mon/ceph.conf")
    assert told["ok"]
    assert (told["cluster"]["osds_up"], told["cluster"]["manager"]) == (1, True)
    assert "MGR_MODULE_DEPENDENCY" not in told["cluster"]["complaints"]


def test_objects_outlive_a_killed_osd(running: Running) -> None:
    def round_trip() -> bool:
        argv = (f"{PROGRAMS}/s3-client", "round-trip", "--size", "1MiB", "--json")
        out = run(running, "cl1", "s3-client", *argv, check=False)
        return bool(out and json.loads(out).get("ok"))

    assert round_trip()
    osd = container(running, "st1", "ceph-osd")
    # How many objects there are says nothing: RadosGW takes some away in the background.
    rados(running, "put", "outlives-a-kill", "/etc/os-release")
    running.docker("kill", "--signal", "KILL", osd)
    running.docker("start", osd)
    soon(lambda: says(running, "st1", "ceph-osd", "ceph-status", "/etc/seter/now/ceph-osd/ceph.conf")["ok"], 60, "OSD")
    soon(round_trip, 60, "a round trip")
    assert rados(running, "get", "outlives-a-kill", "-") == run(running, "st1", "ceph-mon", "cat", "/etc/os-release")
    rados(running, "rm", "outlives-a-kill")


def rados(running: Running, *argv: str) -> str:
    """What `rados` says in the pool where buckets have their data."""
    common = ("rados", "-c", "/etc/seter/now/ceph-mon/ceph.conf", "--admin-socket=", "-p", "default.rgw.buckets.data")
    return run(running, "st1", "ceph-mon", *common, *argv, user="ceph")


def test_every_member_of_etcd_serves_and_refuses_who_shows_no_certificate(running: Running) -> None:
    for node in GATEWAYS:
        assert says(running, node, "etcd", "etcd-status")["ok"]
        assert says(running, node, "etcd", "etcd-status", "--mutual-tls")["refuses_strangers"]
    assert [says(running, node, "etcd", "etcd-status")["summary"] for node in GATEWAYS].count("leads") == 1


def test_etcd_has_exactly_the_tree_that_was_rendered(running: Running) -> None:
    before = revision(running)
    told = says(running, "gw2", "traefik", "traefik-tree", "apply", TREE)
    assert told["changed"] is False
    assert revision(running) == before
    assert says(running, "gw1", "traefik", "traefik-tree", "show")["as_noted"]


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("http/services/radosgw/loadBalancer/strategy", "nope", "must be one of"),
        ("http/middlewares/again/retry/attempts", "0", "at least 1"),
        ("http/routers/s3/service", "nobody", "there is no http/services/nobody"),
    ],
)
def test_a_tree_that_would_take_traefik_down_never_reaches_etcd(
    running: Running, key: str, value: str, fault: str
) -> None:
    before = revision(running)
    change_tree(running, key, value)
    argv = (f"{PROGRAMS}/traefik-tree", "apply", "/tmp/tree.json")
    said = run(running, "gw1", "traefik", "sh", "-c", f"{' '.join(argv)} 2>&1; echo code $?")
    assert fault in said and said.endswith("code 2")
    assert revision(running) == before


def change_tree(running: Running, key: str, value: str) -> None:
    """The rendered tree with one value changed, as /tmp/tree.json."""
    program = "import json, sys; t = json.load(open(sys.argv[1])); t[sys.argv[2]] = sys.argv[3]; print(json.dumps(t))"
    script = 'python3 -c "$0" "$@" >/tmp/tree.json'
    run(running, "gw1", "traefik", "sh", "-c", script, program, TREE, key, value)


def test_a_change_of_the_tree_writes_that_alone_and_reaches_every_node(running: Running) -> None:
    key = "http/services/radosgw/loadBalancer/servers/00/weight"
    before = {node: weights(running, node) for node in GATEWAYS}
    change_tree(running, key, "5")
    try:
        assert says(running, "gw1", "traefik", "traefik-tree", "apply", "/tmp/tree.json")["written"] == [key]
        wanted = before["gw1"] | {"http://127.0.0.1:7480": 5}
        soon(lambda: all(weights(running, node) == wanted for node in GATEWAYS), 1.5, "the new weight")
    finally:
        assert says(running, "gw3", "traefik", "traefik-tree", "apply", TREE)["written"] == [key]
    soon(lambda: all(weights(running, node) == before[node] for node in GATEWAYS), 1.5, "the old weight")


def log_requests(running: Running, *, on: bool) -> None:
    """RadosGW writes a line for each request, or not any more."""
    level = ("config", "set", "debug_rgw_access", "1/5" if on else "0/0")
    for node in GATEWAYS:
        run(running, node, "radosgw", "ceph", "daemon", "/var/lib/seter/radosgw/daemon.asok", *level, user="ceph")


def logged_during(running: Running, act: Callable[[], object]) -> dict[str, int]:
    """Lists of buckets that each RadosGW says that it was asked for while this is done."""
    before = {node: listings(running, node) for node in GATEWAYS}
    log_requests(running, on=True)
    try:
        act()
    finally:
        log_requests(running, on=False)
    return {node: listings(running, node) - before[node] for node in GATEWAYS}


def listings(running: Running, node: str) -> int:
    """Lines for lists of buckets in the log of the node's RadosGW."""
    return running.docker("logs", container(running, node, "radosgw")).count('"GET / HTTP/1.1"')


def ask(running: Running, node: str, seconds: float) -> tuple[int, list[tuple[float, object]]]:
    """How many requests were made to the node's Traefik, one after the other; when the failed ones began (monotonic
    clock, s) and how they ended."""
    asked, failed = json.loads(run(running, node, "traefik", "python3", "-c", ASK, str(seconds), user="traefik"))
    return asked, [(began, ended) for began, ended in failed]


def test_a_gateway_prefers_its_own_radosgw(running: Running) -> None:
    soon(lambda: len(servers_up(running, "gw1")) == 4, 60, "all of them are there")
    found: list[tuple[int, list[tuple[float, object]]]] = []
    share = logged_during(running, lambda: found.append(ask(running, "gw1", 4)))
    ((asked, failed),) = found
    assert not failed and asked > 50
    assert sum(share.values()) == asked
    assert share["gw1"] >= 0.8 * asked  # by the weights 10 of 12
    assert min(share.values()) > 0  # so the others are reached, by TLS


def test_a_radosgw_elsewhere_has_to_show_a_certificate_of_the_deployment(running: Running, tmp_path: Path) -> None:
    key = "http/serversTransports/radosgw/rootCAs/00"
    before = revision(running)
    change_tree(running, key, other_authority(tmp_path))
    try:
        assert says(running, "gw1", "traefik", "traefik-tree", "apply", "/tmp/tree.json")["written"] == [key]
        soon(lambda: servers_up(running, "gw2") == ["http://127.0.0.1:7480"], 5, "only the RadosGW of the node itself")
        asked, failed = ask(running, "gw2", 1)
        assert asked > 10 and not failed
    finally:
        assert says(running, "gw1", "traefik", "traefik-tree", "apply", TREE)["written"] == [key]
    soon(lambda: all(len(servers_up(running, node)) == 4 for node in GATEWAYS), 10, "all of them")
    assert revision(running) > before


def other_authority(folder: Path) -> str:
    """The certificate of somebody else's authority, PEM."""
    key, certificate = folder / "key.pem", folder / "ca.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=somebody else", "-keyout", key, "-out", certificate]
    subprocess.run([*made, *named], check=True, capture_output=True)
    return certificate.read_text()


def servers_up(running: Running, node: str) -> list[str]:
    """URLs of the servers that the node's Traefik sends requests to."""
    found = says(running, node, "traefik", "traefik-tree", "status")["servers"]
    return sorted(url for url, state in found.items() if state == "UP")


def test_a_change_lets_no_request_meet_a_dead_backend(running: Running) -> None:
    """After a change Traefik takes every server for alive until its first probe (within `probe_interval`)."""
    dead = container(running, "gw3", "radosgw")
    found: list[tuple[int, list[tuple[float, object]]]] = []
    key = "http/services/radosgw/loadBalancer/servers/00/weight"
    running.docker("kill", dead)
    try:
        soon(lambda: len(servers_up(running, "gw1")) == 3, 5, "the dead one is out")
        load = threading.Thread(target=lambda: found.append(ask(running, "gw1", 8)))
        load.start()
        for weight in ("5", "6", "7", "8"):
            change_tree(running, key, weight)
            says(running, "gw1", "traefik", "traefik-tree", "apply", "/tmp/tree.json")
            time.sleep(0.5)
        load.join()
    finally:
        running.docker("start", dead)
        says(running, "gw1", "traefik", "traefik-tree", "apply", TREE)
    ((asked, failed),) = found
    assert asked > 100 and not failed, failed
    soon(lambda: len(servers_up(running, "gw1")) == 4, 30, "it is back")


def test_no_read_fails_when_the_radosgw_of_the_node_is_killed(running: Running) -> None:
    """Traefik tries again where a connection is refused, and once more where the answer to a read never came."""
    local = container(running, "gw1", "radosgw")
    found: list[tuple[int, list[tuple[float, object]]]] = []
    load = threading.Thread(target=lambda: found.append(ask(running, "gw1", 5)))
    load.start()
    try:
        time.sleep(1.5)
        running.docker("kill", local)
        load.join()
    finally:
        running.docker("start", local)
    ((asked, failed),) = found
    assert asked > 50 and not failed, failed
    whole_again(running)


def test_what_a_killed_radosgw_had_in_hand_is_read_elsewhere_and_never_written_twice(running: Running) -> None:
    """It stands still before, so that it has them in hand: of requests most go to the node's own RadosGW. What any says
    to a write of nobody's is 404; 502 is that nobody said anything."""

    def local(signal: str) -> None:
        run(running, "gw1", "radosgw", "sh", "-c", f"kill -{signal} $(pgrep -f '^/usr/bin/radosgw')", user="ceph")

    argv = ["docker", "exec", "--user", "traefik", container(running, "gw1", "traefik"), "python3", "-c", AT_ONCE]
    local("STOP")
    try:
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as asking:
            assert asking.stdout is not None and asking.stdout.readline() == "under way\n"
            local("KILL")
            found = json.loads(asking.stdout.read())
    finally:
        whole_again(running)
    assert {status for method, _, status in found if method == "GET"} == {200}, found
    assert {status for method, _, status in found if method == "PUT"} <= {404, 502}, found
    held = [status for method, took, status in found if took > 0.1 and method == "PUT"]
    assert 502 in held and len(held) >= 3, found


def whole_again(running: Running) -> None:
    def summary() -> object:
        return says(running, "gw1", "traefik", "traefik-tree", "status")["summary"]

    soon(lambda: summary() == "4 of 4 servers up", 30, "it")


def test_a_radosgw_that_fails_requests_is_out_and_the_good_ones_never_are(running: Running) -> None:
    """Cut off from its storage it answers probes still. With all three cut off no second one is taken out."""

    def told(node: str) -> dict[str, Any]:
        return says(running, node, "radosgw-breaker", "radosgw-breaker", "status")

    try:
        cut_off(running, "gw1", on=True)
        soon(lambda: not told("gw1")["ok"] and "http://127.0.0.1:7480" not in servers_up(running, "gw1"), 25, "out")
        asked, failed = ask(running, "gw1", 2)
        assert asked > 20 and not failed, failed
        assert len(servers_up(running, "gw2")) == 3
        for node in ("gw2", "gw3"):
            cut_off(running, node, on=True)
        soon(lambda: all("another" in told(node)["summary"] for node in ("gw2", "gw3")), 25, "they fail, too")
        assert len(servers_up(running, "gw2")) == 3
    finally:
        for node in GATEWAYS:
            cut_off(running, node, on=False)
    soon(lambda: all(told(node)["ok"] for node in GATEWAYS), 60, "they do their work again")
    soon(lambda: all(len(servers_up(running, node)) == 4 for node in GATEWAYS), 10, "all are back")


def cut_off(running: Running, node: str, *, on: bool) -> None:
    """What the node sends to disks of Ceph is lost, or not any more."""
    rules = "table inet lab { chain out { type filter hook output priority 0; tcp dport 6800-7400 drop; }; }"
    argv = ("nft", rules) if on else ("nft", "destroy", "table", "inet", "lab")
    run(running, node, "firewall", *argv)


def test_no_request_fails_while_each_radosgw_is_restarted_in_turn(running: Running) -> None:
    """It says by its health file that it wants no more before it ends, so it has none in hand when it does."""
    found: list[tuple[int, list[tuple[float, object]]]] = []
    load = threading.Thread(target=lambda: found.append(ask(running, "gw1", 25)))
    load.start()
    for node in GATEWAYS:
        running.docker("restart", container(running, node, "radosgw"))
        soon(lambda: all(len(servers_up(running, gateway)) == 4 for gateway in GATEWAYS), 30, "all are back")
    load.join()
    ((asked, failed),) = found
    assert asked > 300 and not failed, failed


def test_an_upload_that_another_gateway_sent_ends_before_the_radosgw_does(running: Running) -> None:
    """All of one part of it, which takes 8 s, goes to gw2, since the others say meanwhile that they want none."""
    wanted, drained = "/tmp/wanted", "/run/radosgw/drained"
    ended: list[str] = []
    words = f"touch {wanted}; {PROGRAMS}/s3-client upload --json --while {wanted}"
    upload = threading.Thread(target=lambda: ended.append(run(running, "cl1", "s3-client", "sh", "-c", words)))
    try:
        for node in ("gw1", "gw3"):
            run(running, node, "radosgw", "touch", drained, user="ceph")
        soon(lambda: all(len(servers_up(running, node)) == 1 for node in ("gw1", "gw3")), 10, "the others are out")
        upload.start()
        soon(lambda: under_way(running, "gw2") > 0, 15, "the part has begun")
        for node in ("gw1", "gw3"):
            run(running, node, "radosgw", "rm", drained, user="ceph")
        began = time.monotonic()
        running.docker("restart", container(running, "gw2", "radosgw"))
        assert time.monotonic() - began > 2, "nothing was under way"
    finally:
        for node in ("gw1", "gw3"):
            run(running, node, "radosgw", "rm", "-f", drained, user="ceph")
        run(running, "cl1", "s3-client", "rm", "-f", wanted)
        upload.join(60)
    found = json.loads(ended[0])
    assert found["ok"] and found["parts"] >= 2, found
    soon(lambda: all(len(servers_up(running, gateway)) == 4 for gateway in GATEWAYS), 30, "all are back")


def under_way(running: Running, node: str) -> int:
    return int(says(running, node, "radosgw", "ceph-status", "--busy", "/etc/seter/now/radosgw/ceph.conf")["under_way"])


def test_clients_without_a_known_name_are_shown_our_certificate(running: Running) -> None:
    for name in ("192.0.2.10", "other.example"):
        argv = ("curl", "-skv", "--connect-to", "::127.0.0.1:443", f"https://{name}/")
        said = run(running, "gw1", "traefik", "sh", "-c", f"{' '.join(argv)} 2>&1")
        assert "issuer: CN=seter CA of s3-lb/container" in said


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (("--tls-max", "1.1"), False),
        (("--tls-max", "1.2"), True),
        (("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-SHA"), False),
        (("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384"), True),
        (("--tlsv1.3",), True),
    ],
)
def test_old_ways_to_encrypt_are_refused(running: Running, words: tuple[str, ...], taken: bool) -> None:
    argv = ("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--connect-to", "::127.0.0.1:443", *words)
    said = run(running, "gw1", "traefik", *argv, "https://s3.example.test/", check=False)
    assert said == ("200" if taken else "000")


def test_plain_http_is_sent_to_https(running: Running) -> None:
    argv = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Host: s3.example.test")
    assert run(running, "gw1", "traefik", *argv, "http://127.0.0.1/a") == "301 https://s3.example.test/a"


def test_no_key_is_in_an_argument_or_an_environment(running: Running) -> None:
    script = "cat /etc/seter/secrets/$0/* 2>/dev/null"
    for node, role, user in (("st1", "ceph-mon", "ceph"), ("gw1", "radosgw", "ceph")):
        keys = [
            line for line in run(running, node, role, "sh", "-c", script, role, user=user).split() if len(line) > 20
        ]
        processes = run(running, node, role, "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ", user=user)
        inspected = running.docker("inspect", container(running, node, role))
        assert keys and not [key for key in keys if key in processes or key in inspected]


def test_prometheus_has_an_answer_from_every_target(running: Running) -> None:
    soon(lambda: says(running, "mo1", "prometheus", "prometheus-targets")["ok"], 60, "all targets")
    query = "http://127.0.0.1:9090/api/v1/query?query=count(up)by(job)"
    found = json.loads(run(running, "mo1", "prometheus", "curl", "-sg", query))["data"]["result"]
    jobs = {entry["metric"]["job"]: entry["value"][1] for entry in found}
    assert jobs | {"etcd": "3", "traefik": "3", "ceph-mgr": "1"} == jobs
