"""The load generator of the role s3-client against real S3 servers: it keeps to its plan, and misses nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from s3_drive import Way, drive
from s3_hdr import Histogram
from s3_profile import Profile, Sizes
from s3_service import PORT, Service
from s3_tally import document

from tests.lab.s3tls import NAME, service_at, versitygw_with_tls

ADDRESS, FALSE = "127.66.0.2", "127.66.0.3"
MIX = {"GET": 60.0, "PUT": 25.0, "HEAD": 5.0, "DELETE": 5.0, "LIST": 4.0, "MULTIPART": 1.0, "BUCKET": 1.0}
ROLES = Path(__file__).parents[2] / "systems" / "roles"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, subprocess.Popen[bytes], Path]]:
    folder = tmp_path_factory.mktemp("versitygw")
    with versitygw_with_tls(folder, ADDRESS) as (service, process):
        yield service, process, folder


def driven(way: Way, profile: Profile, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(*drive(way, profile, seconds, 1.0, stream=False))))
    return found


def the(found: object, *names: str) -> float:
    for name in names:
        assert isinstance(found, dict)
        found = found[name]
    assert isinstance(found, int | float)
    return found


@pytest.fixture
def undisturbed() -> Iterator[None]:
    """What others do on this machine comes after us, where we may say so: a client's machine has nothing else to do."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    yield
    os.sched_setscheduler(0, *before)


def kept(folder: Path) -> list[Path]:
    """Objects of drives that are still there."""
    return [
        path for path in (folder / "buckets" / "drive").rglob("*") if path.is_file() and ".sgwtmp" not in path.parts
    ]


def test_a_mix_of_all_operations_is_carried_out_verified_and_removed(
    server: tuple[Service, subprocess.Popen[bytes], Path],
) -> None:
    profile = Profile(rate=60, objects=30, operations=MIX, sizes=(Sizes(1, 70_000, 9.0), Sizes(200_000, 400_000, 1.0)))
    found = driven(Way(server[0], (ADDRESS,), {ADDRESS: "gw1"}), profile, 7.0)
    assert (found["failed"], found["failures"]) == (0, [])
    assert found["operations"].keys() == MIX.keys()
    assert the(found, "ok") == found["planned"] == the(found, "latency", "count") == the(found, "gateways", "gw1", "ok")
    assert sum(each["planned"] for each in found["timeline"]) == found["planned"]
    assert kept(server[2]) == []
    assert [path.name for path in (server[2] / "buckets").iterdir() if path.name.startswith("drive")] == ["drive"]


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("connections", ["kept", "new"])
def test_what_is_planned_is_sent_when_it_is_due(
    server: tuple[Service, subprocess.Popen[bytes], Path], connections: str
) -> None:
    """How many a core carries is for tests/bench/driving.py to measure; these any can."""
    profile = Profile(
        rate=100, connections=connections, operations={"GET": 70.0, "PUT": 20.0, "HEAD": 5.0, "DELETE": 5.0}
    )
    found: dict[str, object] = {}
    for _ in range(8):  # others may take the core: then the run says that it is not valid
        found = driven(Way(server[0], (ADDRESS,)), profile, 3.0)
        assert (found["failed"], found["sent"]) == (0, found["planned"])
        if found["valid"]:
            break
    assert found["valid"], found["invalid"]
    assert the(found, "throughput") == pytest.approx(100, rel=0.2)


@pytest.mark.usefixtures("undisturbed")
def test_a_server_that_stands_still_for_a_second_is_seen_by_all_whose_time_it_was(
    server: tuple[Service, subprocess.Popen[bytes], Path],
) -> None:
    """One in five requests of five seconds was due within that second. A loop that waits would have counted a few."""
    stops = threading.Timer(3.0, os.kill, (server[1].pid, signal.SIGSTOP))
    goes_on = threading.Timer(4.0, os.kill, (server[1].pid, signal.SIGCONT))
    profile = Profile(rate=100, arrival="constant", objects=10, operations={"GET": 1.0})
    try:
        stops.start()
        goes_on.start()
        found = driven(Way(server[0], (ADDRESS,)), profile, 6.0)
    finally:
        stops.cancel()
        goes_on.cancel()
        os.kill(server[1].pid, signal.SIGCONT)
    assert found["failed"] == 0
    latency = found["latency"]
    assert isinstance(latency, dict)
    assert the(latency, "p999") > 0.9 and the(latency, "p50") < 0.2
    histogram = Histogram.decoded(str(latency["histogram"]))
    slow = sum(1 for share in range(1, 601) if (histogram.percentile(share / 6) or 0) > 0.25)
    assert slow >= 60, f"{slow} of 600 waited more than 0.25 s; those due in 0.75 s of the second did"


def test_ctrl_c_ends_it_with_a_report_that_is_not_valid_and_nothing_left(
    server: tuple[Service, subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    files = ":".join(str(ROLES / role / "files") for role in ("s3-client", "metrics"))
    script = "import sys, s3_client; s3_client.become_client = lambda: None; sys.exit(s3_client.main(sys.argv[1:]))"
    settings = tmp_path / "s3-client.json"
    settings.write_text(json.dumps({
        "services": [{"name": "main", "dns_name": NAME, "vips": [ADDRESS]}], "interval": 1.0,
        "ca": str(server[0].ca), "access_key": str(server[0].access_key_file),
        "secret_key": str(server[0].secret_key_file), "metrics_port": 9552, "metrics_address": "127.0.0.1",
    }))  # fmt: skip
    argv = [
        sys.executable,
        "-c",
        script,
        "--config",
        str(settings),
        "drive",
        "--seconds",
        "60",
        "--rate",
        "50",
        "--stream",
    ]
    with subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": files}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        *more, whole = map(json.loads, process.stdout.read().splitlines())
    assert process.returncode == 1
    assert [line["second"] for line in lines] == [1, 2, 3] and all(line["ok"] > 20 for line in lines)
    assert sum(line["ok"] for line in (*lines, *more)) == whole["ok"]
    assert whole["valid"] is False and "it was stopped after 3" in whole["invalid"][0]
    assert whole["planned"] == whole["sent"] == whole["ok"] < 400
    assert kept(server[2]) == []


class Falsifier:
    """Between a client and a server, both by TLS: every so many answers with a body, one byte of it is another one."""

    def __init__(self, folder: Path, server: str, every: int) -> None:
        self._server, self._every, self._answers, self.changed = server, every, 0, 0
        self._lock = threading.Lock()
        self._mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._mine.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._theirs = ssl.create_default_context(cafile=str(folder / "cert.pem"))
        self._listener = socket.create_server((FALSE, PORT))
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Falsifier:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._between, args=(client,), daemon=True).start()

    def _between(self, plain: socket.socket) -> None:
        """One request after the other, each small enough for one read of its head and body."""
        with suppress(OSError), self._mine.wrap_socket(plain, server_side=True) as client:
            onward = socket.create_connection((self._server, PORT))
            with self._theirs.wrap_socket(onward, server_hostname=NAME) as server:
                while request := self._message(client):
                    server.sendall(request)
                    head = request.startswith(b"HEAD ")
                    answer = self._message(server, body=not head)
                    client.sendall(answer if head else self._falsified(request, answer))

    def _message(self, side: ssl.SSLSocket, *, body: bool = True) -> bytes:
        found = b""
        while b"\r\n\r\n" not in found:
            if not (piece := side.recv(65536)):
                return b""
            found += piece
        head, _, rest = found.partition(b"\r\n\r\n")
        sizes = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while body and sizes and len(rest) < int(sizes[0]):
            rest += side.recv(65536)
        return head + b"\r\n\r\n" + rest

    def _falsified(self, request: bytes, answer: bytes) -> bytes:
        if not request.startswith(b"GET /drive/") or not answer.startswith(b"HTTP/1.1 200"):
            return answer
        with self._lock:
            self._answers += 1
            if self._answers % self._every:
                return answer
            self.changed += 1
        return answer[:-5] + bytes([answer[-5] ^ 1]) + answer[-4:]


def test_every_answer_with_a_wrong_byte_is_a_failure_with_its_place(
    server: tuple[Service, subprocess.Popen[bytes], Path],
) -> None:
    profile = Profile(rate=40, objects=10, operations={"GET": 9.0, "HEAD": 1.0}, sizes=(Sizes(500, 2000, 1.0),))
    with Falsifier(server[2], ADDRESS, every=7) as between:
        found = driven(Way(service_at(FALSE, server[2]), (FALSE,)), profile, 4.0)
        assert between.changed > 10
    assert found["failed"] == between.changed
    reasons = [each["reason"] for each in found["failures"]]
    assert all("has another content from byte" in reason for reason in reasons), reasons
