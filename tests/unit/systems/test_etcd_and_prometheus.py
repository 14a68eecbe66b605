"""What the status programs of etcd and Prometheus make of answers."""

from __future__ import annotations

from pathlib import Path

import etcd_status
import prometheus_targets
import pytest

METRICS = """# HELP etcd_server_has_leader Whether or not a leader exists.
# TYPE etcd_server_has_leader gauge
etcd_server_has_leader 1
etcd_server_is_leader 0
etcd_server_quota_backend_bytes 5.36870912e+08
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 5
"""


def test_the_numbers_of_a_member_are_read_from_its_metrics() -> None:
    assert etcd_status.numbers(METRICS) == {"has_leader": 1, "is_leader": 0, "quota": 536870912}


@pytest.mark.parametrize(
    ("fault", "found", "summary"),
    [
        ("", {"has_leader": 1, "is_leader": 1}, "leads"),
        ("", {"has_leader": 1, "is_leader": 0}, "follows"),
        ("", {"has_leader": 1, "is_leader": 0, "is_learner": 1}, "learns"),
        ("RAFT NO LEADER", {"has_leader": 0, "is_leader": 0}, "has no leader, RAFT NO LEADER"),
        ("ALARM NOSPACE", {"has_leader": 1}, "follows, ALARM NOSPACE: full, takes no writes; run seter maintain"),
    ],
)
def test_a_member_says_its_place(fault: str, found: dict[str, int], summary: str) -> None:
    assert etcd_status.member_summary(fault, found) == {"ok": not fault, "summary": summary, **found}


def test_health_is_what_etcd_calls_so() -> None:
    assert etcd_status.unhealthy('{"health":"true","reason":""}') == ""
    assert etcd_status.unhealthy('{"health":"false","reason":"RAFT NO LEADER"}') == "RAFT NO LEADER"
    assert etcd_status.unhealthy('{"health":"false"}') == "not healthy"


def test_nobody_answering_is_no_good_member(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_status, "PLAIN", "http://127.0.0.1:1")
    monkeypatch.setattr(etcd_status, "become", lambda user: None)
    assert etcd_status.main([]) == 1
    assert '"ok": false' in capsys.readouterr().out
    assert etcd_status.main(["--nonsense"]) == 2


def test_a_member_that_waits_says_for_what(tmp_path: Path) -> None:
    assert etcd_status.absent("refused", tmp_path) == {"ok": False, "error": "refused"}
    (tmp_path / "waiting").write_text("gw2 must say first")
    assert etcd_status.absent("refused", tmp_path)["summary"] == "waits: gw2 must say first"


def target(health: str, error: str = "") -> dict[str, object]:
    return {"labels": {"job": "etcd", "node": "gw1"}, "health": health, "lastError": error}


def test_all_targets_must_answer() -> None:
    assert prometheus_targets.summary([target("up")]) == {"ok": True, "summary": "1 of 1 targets up", "down": {}}
    down = prometheus_targets.summary([target("up"), target("down", "refused")])
    assert down == {"ok": False, "summary": "1 of 2 targets up", "down": {"etcd on gw1": "refused"}}


def test_no_target_at_all_is_not_good() -> None:
    assert prometheus_targets.summary([])["ok"] is False
