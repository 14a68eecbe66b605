"""Gateways add up: three whose links are narrow carry nearly three times what one does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Running
from tests.integration.test_roles_data_plane import agent, counts
from tests.integration.test_roles_services import GATEWAYS, container, run
from tests.lab.waiting import soon

LINK = ("rate", "200mbit", "burst", "64kb", "latency", "50ms")  # of each gateway
SECONDS = 8
# Reads an object of 4 MiB over 48 connections to the first virtual IP, again and again; prints bytes a second.
READ = """
import http.client, socket, sys, threading, time
from urllib.parse import urlsplit
sys.path.insert(0, "/usr/local/lib/seter")
from s3_round_trip import ensure_bucket
from s3_service import Service, resolved
service, seconds = Service.read("/etc/seter/now/s3-client/s3-client.json"), float(sys.argv[1])
vip, context, counts = service.vips[0], service.tls(), []
with resolved(service.dns_name, vip):
    client = service.client()
    ensure_bucket(client, "flows")
    client.put_object(Bucket="flows", Key="large", Body=b"x" * (4 << 20))
    url = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": "flows", "Key": "large"}))
end = time.monotonic() + seconds
def read():
    connection = http.client.HTTPSConnection(service.dns_name, context=context)
    connection.sock = context.wrap_socket(socket.create_connection((vip, 443), 10), server_hostname=service.dns_name)
    count = 0
    while time.monotonic() < end:
        connection.request("GET", f"{url.path}?{url.query}")
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        while part := answer.read(1 << 16):
            count += len(part) if time.monotonic() < end else 0
    counts.append(count)
threads = [threading.Thread(target=read) for _ in range(48)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(counts) == 48
print(sum(counts) / seconds)
"""


@contextmanager
def narrow(running: Running) -> Iterator[None]:
    """The gateways' links carry so much and no more."""
    places = [container(running, node, "network").removesuffix(".network") for node in GATEWAYS]
    pids = [running.docker("inspect", "--format", "{{.State.Pid}}", place) for place in places]
    try:
        for pid in pids:
            shape(pid, "replace", "tbf", *LINK)
        yield
    finally:
        for pid in pids:
            shape(pid, "del")


def shape(pid: str, *words: str) -> None:
    act, *rest = words
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", "tc", "qdisc", act, "dev", "eth0", "root", *rest]
    subprocess.run(argv, check=True, capture_output=True, timeout=30)


@pytest.mark.long
def test_three_gateways_carry_at_least_2_7_times_what_one_does(running: Running) -> None:
    def carried() -> float:
        return float(run(running, "cl1", "s3-client", "python3", "-c", READ, str(SECONDS), user="s3-client"))

    with narrow(running):
        three = carried()
        try:
            for node in GATEWAYS[1:]:
                agent(running, node, "withdraw")
            soon(lambda: counts(running) == [1] * 4, 10, "one is left")
            one = carried()
        finally:
            for node in GATEWAYS[1:]:
                agent(running, node, "admit")
    soon(lambda: counts(running) == [3] * 4, 30, "all are back")
    assert one > 10e6, f"{one / 1e6:.1f} MB/s through one gateway"
    assert three / one >= 2.7, f"{three / 1e6:.1f} MB/s through three, {one / 1e6:.1f} through one"
