from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import cast

import pytest
import s3_client
import s3_flows
import s3_upload
from s3_load import Answer, Failure, Getter, Log, as_text, load, report
from s3_round_trip import BLOCK, PART, Pattern, Sink, digest_of
from s3_service import Service, resolved


def test_an_object_s_content_repeats_no_block_and_reads_the_same_twice() -> None:
    size = 3 * BLOCK + 17
    content = io.BufferedReader(Pattern(size))
    whole = content.read()
    assert len(whole) == size
    blocks = [whole[start : start + BLOCK] for start in range(0, size, BLOCK)]
    assert len(set(blocks)) == 4
    content.seek(0)
    assert digest_of(content) == hashlib.sha256(whole).hexdigest() == hashlib.sha256(content.read()).hexdigest()


def test_a_part_of_an_upload_is_read_whole() -> None:
    content = io.BufferedReader(Pattern(2 * PART + 1))
    assert [len(content.read(PART)) for _ in range(3)] == [PART, PART, 1]


def test_swapped_parts_show() -> None:
    whole = io.BufferedReader(Pattern(2 * PART)).read()
    sink = Sink()
    sink.write(whole[PART:])
    sink.write(whole[:PART])
    assert sink.size == len(whole) and sink.digest.hexdigest() != hashlib.sha256(whole).hexdigest()


def test_requests_start_when_they_are_due_although_earlier_ones_hang() -> None:
    started: list[float] = []

    def get(_vip: str) -> None:
        started.append(time.monotonic())
        time.sleep(0.4)

    found = load(get, ("192.0.2.10", "2001:db8::10"), seconds=0.5, rate=20)
    assert found["requests"] == 10 and found["failed"] == 0
    assert max(started) - min(started) < 0.8  # one after the other they would take 4 s


def test_virtual_ips_take_turns() -> None:
    asked: list[str] = []
    load(asked.append, ("192.0.2.10", "2001:db8::10"), seconds=0.2, rate=50)
    assert Counter(asked) == {"192.0.2.10": 5, "2001:db8::10": 5}


def test_every_failure_is_told_with_the_time_at_which_it_was_due() -> None:
    def get(vip: str) -> None:
        if ":" in vip:
            raise ConnectionResetError(104, "reset")

    found = load(get, ("192.0.2.10", "2001:db8::10"), seconds=0.4, rate=10)
    assert (found["requests"], found["failed"]) == (4, 2)
    assert (found["first_failure"], found["last_failure"]) == (0.1, 0.3)
    assert "ConnectionResetError" in as_text(found)


def test_a_load_without_a_failure_has_no_first_one() -> None:
    log = Log()
    log.add(Answer(0.0, 0.25))
    assert report(log)["first_failure"] is None and report(log)["worst_seconds"] == 0.25


def test_failures_are_listed_in_the_order_in_which_they_were_due() -> None:
    log = Log()
    for planned in (0.3, 0.1, 0.2):
        log.add(Failure(planned, 2.0, "192.0.2.10", "TimeoutError"))
    assert [failure["planned"] for failure in report(log)["failures"]] == [0.1, 0.2, 0.3]


def test_a_name_is_found_at_the_virtual_ip_and_others_where_they_are() -> None:
    with resolved("s3.example.test", "192.0.2.10"):
        assert socket.getaddrinfo("s3.example.test", 443)[0][4][0] == "192.0.2.10"
        assert socket.getaddrinfo("127.0.0.1", 443)[0][4][0] == "127.0.0.1"
    with resolved("s3.example.test", "2001:db8::10"):
        assert socket.getaddrinfo("s3.example.test", 443)[0][0] == socket.AF_INET6


@pytest.mark.parametrize(("text", "size"), [("1024", 1024), ("1KiB", 1024), ("64MiB", 67108864), ("0", 0)])
def test_sizes_are_read_as_operators_write_them(text: str, size: int) -> None:
    assert s3_client.size_of(text) == size


@pytest.mark.parametrize("text", ["", "1kb", "-1", "1.5MiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        s3_client.size_of(text)


def test_the_canary_is_good_when_its_last_round_over_every_virtual_ip_was() -> None:
    canary = s3_client.Canary()
    assert not canary.report()["ok"]
    canary.hear("192.0.2.10", {"ok": True, "seconds": 0.1})
    canary.hear("2001:db8::10", {"ok": False, "seconds": 5.0, "error": "TimeoutError"})
    assert not canary.report()["ok"]
    canary.hear("2001:db8::10", {"ok": True, "seconds": 0.1})
    assert canary.report()["ok"]
    assert 's3_client_rounds_total{vip="2001:db8::10",outcome="bad"} 1' in canary.metrics()


def test_the_keys_never_show_in_what_is_printed_of_the_service(tmp_path: Path) -> None:
    file = tmp_path / "s3-client.json"
    file.write_text(
        '{"services": [{"name": "main", "dns_name": "s3.example.test", "vips": ["192.0.2.10"]}], '
        '"interval": 1, "ca": "/ca", '
        '"access_key": "/access", "secret_key": "/secret", "metrics_port": 9552, "metrics_address": "127.0.0.1"}'
    )
    assert "secret" not in repr(Service.read(str(file)))
    assert s3_client.main(["--config", str(file), "check-config"]) == 0


def test_a_configuration_that_lacks_something_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s3-client.json"
    file.write_text("{}")
    assert s3_client.main(["--config", str(file), "check-config"]) == 2
    assert "services" in capsys.readouterr().err


def test_a_header_that_proxies_remove_is_not_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature over Connection held against RadosGW itself and got 403 behind Traefik, which removes the header."""
    monkeypatch.setattr(Service, "keys", lambda self: ("access", "secret"))
    monkeypatch.setattr(Service, "tls", lambda self: None)
    service = Service("s3.example.test", ("192.0.2.10",), 1.0, tmp_path, tmp_path, tmp_path, 9552, "")
    headers = {name.lower(): value for name, value in Getter(service, b"")._headers().items()}
    assert headers["connection"] == "close"
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert "connection" not in signed
    assert "host" in signed


class Slow:
    """Transfers of a moment, of which each third upload breaks."""

    def __init__(self) -> None:
        self.uploads = 0

    def upload(self, vip: str, number: int) -> float:
        time.sleep(0.1)
        self.uploads += 1
        if self.uploads % 3 == 0:
            raise ConnectionResetError("reset")
        return 0.0

    def download(self, vip: str, number: int) -> float:
        time.sleep(0.1)
        return 0.25


def test_slow_flows_are_counted_with_those_that_broke() -> None:
    found = s3_flows.flows(
        cast(s3_flows.Transfers, Slow()), ("192.0.2.10", "2001:db8::10"), 8, 0.5, 0.1, threading.Event()
    )
    assert found["transfers"] >= 8 * 3 and found["longest_gap"] == 0.25
    assert found["broken"] == len(found["failures"]) > 0
    assert {(one["kind"], one["error"]) for one in found["failures"]} == {("upload", "ConnectionResetError: reset")}
    assert {one["vip"] for one in found["failures"]} <= {"192.0.2.10", "2001:db8::10"}
    assert f"{found['broken']} broken" in s3_flows.as_text(found).splitlines()[0]


def test_flows_that_take_all_the_time_are_made_once() -> None:
    found = s3_flows.flows(cast(s3_flows.Transfers, Slow()), ("192.0.2.10",), 4, 0.1, 0.1, threading.Event())
    assert found["transfers"] == 4


def test_flows_end_when_they_are_told_to() -> None:
    ending = threading.Event()
    threading.Timer(0.3, ending.set).start()
    started = time.monotonic()
    found = s3_flows.flows(cast(s3_flows.Transfers, Slow()), ("192.0.2.10",), 2, 60, 0.1, ending)
    assert time.monotonic() - started < 10 and found["transfers"] >= 4


def test_an_upload_lasts_as_long_as_its_file_is_touched_and_no_longer(tmp_path: Path) -> None:
    file = tmp_path / "waiting"
    watched = s3_upload.Watched(str(file))
    assert not watched.lasts()
    file.touch()
    assert watched.lasts()
    past = time.time() - s3_upload.STALE - 1
    os.utime(file, (past, past))
    with pytest.raises(OSError, match="nobody has touched"):
        watched.lasts()


def test_a_load_goes_before_what_it_measures_where_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []

    def schedule(pid: int, policy: int, how: os.sched_param) -> None:
        asked.append((pid, policy, how.sched_priority))
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", schedule)
    s3_client.go_first()
    assert asked == [(0, os.SCHED_RR, 1)]
