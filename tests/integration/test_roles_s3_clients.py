"""Who asks, as RadosGW and the log see it; requests that take their time."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.conftest import Running
from tests.lab.s3.sides import Side, alike, sides, until_ready
from tests.lab.s3.table_buckets import policy
from tests.lab.s3.wire import Answer, Headers, receive
from tests.lab.waiting import soon

GATEWAYS = ("gw1", "gw2", "gw3")
ELSEWHERE = "203.0.113.9"  # RFC 5737
# What a client may write to be taken for another.
FORGED: tuple[Headers, ...] = (
    (("X-Forwarded-For", ELSEWHERE),),
    (("X-Forwarded-For", ELSEWHERE), ("X-Forwarded-For", f"{ELSEWHERE}, {ELSEWHERE}")),
    (("x-forwarded-for", f"{ELSEWHERE},{ELSEWHERE}"),),
    (("X_Forwarded_For", ELSEWHERE),),
    (("X.Forwarded.For", ELSEWHERE),),
    (("X-Forwarded_For", ELSEWHERE),),
    (("Connection", "X-Forwarded-For"), ("X-Forwarded-For", ELSEWHERE)),
    (("X-Real-Ip", ELSEWHERE), ("Forwarded", f"for={ELSEWHERE}"), ("Remote-Addr", ELSEWHERE)),
    (("True-Client-Ip", ELSEWHERE), ("Client-Ip", ELSEWHERE)),
)


@pytest.fixture(scope="module")
def both(running: Running, tmp_path_factory: pytest.TempPathFactory) -> tuple[Side, Side]:
    """RadosGW asked directly, and through the virtual IP, with buckets of the same names."""
    direct, balanced = alike(*sides(running, tmp_path_factory.mktemp("s3")))
    until_ready(direct)
    return replace(direct, letter=balanced.letter), balanced


def address_of_the_client(running: Running) -> str:
    shape = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return running.docker("inspect", "--format", shape, f"s3-lb.container.{running.instance}.cl1")


def strangers(side: Side, more: Headers = ()) -> Answer:
    """What somebody without a key gets, who writes these headers."""
    request = side.request("GET", "source", "a", how="none")
    return side.send(replace(request, headers=(*request.headers, *more)))


def test_a_bucket_s_policy_sees_the_address_of_the_client_and_no_forged_one(
    running: Running, both: tuple[Side, Side]
) -> None:
    direct, balanced = both
    own = address_of_the_client(running)
    assert direct.ask("PUT", "source").status == 200
    assert direct.ask("PUT", "source", "a", body=b"source").status == 200
    for wanted, allowed in ((own, True), (ELSEWHERE, False)):
        body = policy(direct, "source", condition={"IpAddress": {"aws:SourceIp": f"{wanted}/32"}})
        assert direct.ask("PUT", "source", None, "policy", body=body).status == 204
        for headers in ((), *FORGED):
            assert strangers(balanced, headers).status == (200 if allowed else 403), (wanted, headers)
    # Whoever reaches the port of RadosGW may call himself anything: the network has to keep strangers from it.
    assert strangers(direct, (("X-Forwarded-For", f"{ELSEWHERE}, {own}"),)).status == 200


def test_an_address_that_is_denied_stays_denied(running: Running, both: tuple[Side, Side]) -> None:
    direct, balanced = both
    assert direct.ask("PUT", "source").status == 200
    assert direct.ask("PUT", "source", "a", body=b"source").status == 200
    denied = {"IpAddress": {"aws:SourceIp": address_of_the_client(running)}}
    text = json.loads(policy(direct, "source"))
    text["Statement"] += json.loads(policy(direct, "source", condition=denied, effect="Deny"))["Statement"]
    assert direct.ask("PUT", "source", None, "policy", body=json.dumps(text).encode()).status == 204
    assert {strangers(balanced, headers).status for headers in ((), *FORGED)} == {403}


def lines_of(running: Running, role: str, since: str) -> str:
    """What the containers of a role have logged since a time (RFC 3339)."""
    names = [f"s3-lb.container.{running.instance}.{node}.{role}" for node in GATEWAYS]
    return "\n".join(running.docker("logs", "--since", since, name) for name in names)


def logged(running: Running, since: str, identifier: str) -> dict[str, object]:
    """Traefik's line about the request with this identifier."""
    end = time.monotonic() + 10
    while True:
        for line in lines_of(running, "traefik", since).splitlines():
            if identifier in line:
                found: dict[str, object] = json.loads(line)
                return found
        assert time.monotonic() < end, f"{identifier} is in no log"
        time.sleep(0.2)


def test_a_refused_request_is_in_both_logs_by_one_identifier_and_no_secret_is(
    running: Running, both: tuple[Side, Side]
) -> None:
    _, balanced = both
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    named: Headers = (("amz-sdk-invocation-id", "call-1"), ("User-Agent", "our test"), ("Cookie", "secret=cookie"))
    assert balanced.ask("PUT", "logged").status == 200
    signed = balanced.request("GET", "logged", "a b", how="query", headers=named)
    refused = replace(signed, target=f"{signed.target[:-4]}0000&X-Amz-Security-Token=t0ken")
    answer = balanced.send(refused)
    line = logged(running, since, identifier := answer.headers["x-amz-request-id"])
    assert (answer.status, line["DownstreamStatus"], line["RequestMethod"]) == (403, 403, "GET")
    assert line["RequestPath"] == f"/{balanced.bucket('logged')}/a%20b"
    assert line["ClientHost"] == address_of_the_client(running)
    assert (line["request_Amz-Sdk-Invocation-Id"], line["request_User-Agent"]) == ("call-1", "our test")
    header = balanced.send(balanced.request("GET", "logged", "a", keys=balanced.keys.wrong(), headers=named))
    logged(running, since, header.headers["x-amz-request-id"])
    text = lines_of(running, "traefik", since)
    secrets = ("Signature", "Credential", "t0ken", "Authorization", "secret=cookie", balanced.keys.access)
    assert [word for word in secrets if word in text] == []
    assert in_memory_of_radosgw(running, identifier)


def in_memory_of_radosgw(running: Running, identifier: str) -> bool:
    """RadosGW knows what it did for this request, and no signature is in what it would write after a crash."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for node in GATEWAYS:
        name = f"s3-lb.container.{running.instance}.{node}.radosgw"
        argv = ("ceph", "daemon", "/var/lib/seter/radosgw/daemon.asok", "log", "dump")
        running.docker("exec", "--user", "ceph", name, *argv)
    time.sleep(1.0)
    text = lines_of(running, "radosgw", since)
    assert "X-Amz-Signature" not in text and "X-Amz-Credential" not in text
    return identifier in text


def test_what_succeeds_quickly_is_not_logged_and_what_is_slow_is(running: Running, both: tuple[Side, Side]) -> None:
    _, balanced = both
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    assert balanced.ask("PUT", "slow").status == 200
    slow = upload_slowly(balanced, b"slow", seconds=3.0)
    assert slow.status == 200 and float(str(logged(running, since, slow.headers["x-amz-request-id"])["Duration"])) > 2e9


def upload_slowly(side: Side, body: bytes, seconds: float) -> Answer:
    """A byte at a time, equally spread over so many seconds."""
    request = side.request("PUT", "slow", "a", body=body, how="unsigned")
    with side.way.connect(120) as sock, sock.makefile("rb") as stream:
        sock.sendall(request.head())
        for position in range(len(body)):
            time.sleep(seconds / len(body))
            sock.sendall(body[position : position + 1])
        return receive(stream, "PUT")


def download_slowly(side: Side, key: str, seconds: float) -> tuple[Answer, str]:
    """A piece at a time, over so many seconds; the answer without its body, and the digest of that."""
    request = side.request("GET", "slow", key)
    digest = hashlib.sha256()
    with side.way.connect(120, 8192) as sock, sock.makefile("rb", buffering=0) as stream:
        sock.sendall(request.head())
        head = receive(stream, "HEAD")
        left = int(head.headers["content-length"])
        piece = max(1, left // int(seconds * 10))
        while left and (data := stream.read(min(piece, left))):
            digest.update(data)
            left -= len(data)
            time.sleep(0.1 * len(data) / piece)
    return head, digest.hexdigest()


@pytest.mark.parametrize("seconds", [4.0, pytest.param(95.0, marks=pytest.mark.long)])
def test_slow_clients_are_waited_for(both: tuple[Side, Side], seconds: float) -> None:
    """95 s is longer than each default of Traefik and RadosGW (60 s and 65 s)."""
    _, balanced = both
    assert balanced.ask("PUT", "slow").status == 200
    body = os.urandom(40)
    answer = upload_slowly(balanced, body, seconds)
    assert (answer.status, balanced.ask("GET", "slow", "a").body) == (200, body)
    content = os.urandom(1 << 20)
    assert balanced.ask("PUT", "slow", "large", body=content).status == 200
    began = time.monotonic()
    head, digest = download_slowly(balanced, "large", seconds)
    assert head.status == 200 and digest == hashlib.sha256(content).hexdigest()
    assert time.monotonic() - began > 0.7 * seconds


def test_an_upload_whose_radosgw_goes_meanwhile_is_stored_whole_or_refused(
    both: tuple[Side, Side], running: Running
) -> None:
    """Traefik's fast way had said 200 to these and stored objects without content: it wrote to a connection that was
    closed by then, found that nothing had been written, and sent the request anew without its body."""
    _, balanced = both
    assert balanced.ask("PUT", "meanwhile").status == 200
    body = os.urandom(40)
    begun, gone = threading.Barrier(13), threading.Event()

    def upload(key: str) -> int:
        request = balanced.request("PUT", "meanwhile", key, body=body, how="unsigned")
        with balanced.way.connect(60) as sock, sock.makefile("rb") as stream:
            sock.sendall(request.head())
            begun.wait()
            gone.wait(60)
            sock.sendall(body)
            return receive(stream, "PUT").status

    places = [f"s3-lb.container.{running.instance}.{node}.radosgw" for node in ("gw1", "gw2", "gw3")]
    with ThreadPoolExecutor(12) as threads:
        asked = {key: threads.submit(upload, key) for key in map(str, range(12))}
        begun.wait(60)
        time.sleep(1)  # they have reached Traefik, and have connections to servers
        running.docker("restart", "--time", "0", *places)
        soon(lambda: balanced.ask("HEAD", "meanwhile").status == 200, 60, "all is back")
        gone.set()
        said = {key: each.result() for key, each in asked.items()}
    for key, status in said.items():
        answer = balanced.ask("GET", "meanwhile", key)
        if status == 200:
            assert (answer.status, answer.body) == (200, body), f"{key} was stored otherwise, and 200 was said"
        else:
            assert status in (0, 400, 408, 502, 503, 504), said
            assert answer.status == 404, f"{key} was refused with {status}, and stored"


def test_a_small_answer_takes_no_40_ms(both: tuple[Side, Side]) -> None:
    """As it does where one side waits for an acknowledgement that the other one delays (Nagle; RFC 9293, 3.7.4)."""
    _, balanced = both
    assert balanced.ask("PUT", "quick").status == 200
    assert balanced.ask("PUT", "quick", "a", body=b"q" * 1000).status == 200
    request = balanced.request("GET", "quick", "a")
    took = []
    with balanced.way.connect() as sock, sock.makefile("rb") as stream:
        for _ in range(100):
            began = time.monotonic()
            sock.sendall(request.head())
            assert receive(stream, "GET").body == b"q" * 1000
            took.append(time.monotonic() - began)
    assert sorted(took)[20] < 0.03


def test_a_good_upload_is_asked_for_at_once(both: tuple[Side, Side]) -> None:
    """Expect: 100-continue costs no waiting, and what was refused leaves nothing behind on a connection to RadosGW."""
    _, balanced = both
    assert balanced.ask("PUT", "expect").status == 200
    took = []
    for number in range(20):
        refused = balanced.request("PUT", "nowhere", "a", body=b"b", headers=(("Expect", "100-continue"),))
        assert balanced.send(refused, wait=10.0).status == 404
        good = balanced.request("PUT", "expect", f"{number}", body=b"good", headers=(("Expect", "100-continue"),))
        began = time.monotonic()
        answer = balanced.send(good, wait=10.0)
        took.append(time.monotonic() - began)
        assert (answer.status, answer.interim) == (200, (100,))
    assert sorted(took)[5] < 0.5
