"""What a server counts, limits and writes down."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from common.errors import Denied
from naust.serve.audit import Audit
from naust.serve.metrics import Metrics
from naust.serve.rate import Rate


def test_a_client_that_asks_too_often_has_to_wait() -> None:
    now = [100.0]
    rate = Rate(2, lambda: now[0])
    assert [rate.wait("a") for _ in range(9)] == [0] * 8 + [1]
    assert rate.wait("b") == 0
    now[0] += 1
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 1]
    assert not any(Rate(0).wait("a") for _ in range(100))


def test_the_memory_of_clients_is_bounded() -> None:
    rate = Rate(1, lambda: 0.0)
    for number in range(30_000):
        rate.wait(str(number))
    assert len(rate._buckets) <= 10_001


def test_the_numbers_are_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.gauge("naust_x", "A number.", lambda: 7)
    metrics.count("GET", 200, 10, 1000, 0.02)
    metrics.count("BREW", 404, 5, 0, 1000)
    lines = metrics.text().splitlines()
    for line in lines:
        assert re.fullmatch(r'# (HELP|TYPE) naust_\w+ .+|naust_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.]+', line)
    assert 'naust_requests_total{method="GET",status="2xx"} 1' in lines
    assert 'naust_requests_total{method="other",status="4xx"} 1' in lines
    assert 'naust_request_seconds_bucket{le="0.025"} 1' in lines
    assert 'naust_request_seconds_bucket{le="600"} 1' in lines
    assert 'naust_request_seconds_bucket{le="+Inf"} 2' in lines
    assert "naust_request_seconds_count 2" in lines
    assert "naust_sent_bytes_total 1000" in lines
    assert "naust_x 7" in lines


def note(audit: Audit, method: str, status: int) -> None:
    audit.note(
        who="ci", address="192.0.2.1", method=method, path="/v2/", status=status, received=1, sent=2, seconds=0.1
    )


def test_changes_and_denials_are_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit = Audit(tmp_path / "log")
    for method, status in (("GET", 200), ("PUT", 201), ("GET", 403), ("DELETE", 202), ("HEAD", 404)):
        note(audit, method, status)
    (tmp_path / "log").rename(tmp_path / "old")
    audit.reopen()
    note(audit, "POST", 202)
    audit.close()
    lines = [json.loads(line) for line in (tmp_path / "old").read_text().splitlines()]
    assert [(line["method"], line["status"]) for line in lines] == [("PUT", 201), ("GET", 403), ("DELETE", 202)]
    assert set(lines[0]) == {"time", "who", "address", "method", "path", "status", "received", "sent", "seconds"}
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Denied):
        Audit(tmp_path / "none" / "log")
