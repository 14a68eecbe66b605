"""What programs give to Prometheus, and what is made of the messages of Alertmanager."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import alert_listen
import alertmanager_status
import bird_exporter
import bird_status
import metrics_server
import prometheus_reload
import pytest
import radosgw_exporter
import s3_certificate
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.systems.bird_stand_in import stand_in
from tests.unit.systems.test_bird import BFD, PROTOCOLS

# As BIRD 2.17.6 prints it, without codes.
ROUTES = """\
Table master4:
192.0.2.10/32        unicast [gw1_v4 2026-11-29 17:49:06.693] * (100) [AS64513i]
	via 10.213.213.4 on eth1
                     unicast [gw3_v4 2026-11-29 17:49:06.701] (100) [AS64513i]
	via 10.213.213.6 on eth1
198.51.100.0/24      blackhole [rt1_v4 2026-11-29 17:49:06.701] * (100) [AS64512i]

Table master6:
2001:db8::10/128     unicast [gw2_v6 2026-11-29 17:49:06.701] * (100) [AS64513i]
	via fdee:6b9c:527d::5 on eth1
""".splitlines()
# A sample of the text format: name, labels whose values have no bare quote, backslash or new line, number.
SAMPLE = re.compile(
    r'[a-z_]+(?:\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z]+="(?:[^"\\\n]|\\["\\n])*")*\})? -?\d[-+.e\d]*'
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Two:
    """Something to tell."""

    def report(self) -> dict[str, Any]:
        return {"ok": True, "summary": "well"}

    def metrics(self) -> str:
        return "two 2\n"


def test_metrics_are_at_the_node_s_address_and_at_loopback_and_nowhere_else() -> None:
    port = free_port()
    metrics_server.serve(port, Two(), "127.0.0.2")
    for address in ("127.0.0.1", "127.0.0.2"):
        assert urllib.request.urlopen(f"http://{address}:{port}/metrics", timeout=5).read() == b"two 2\n"
    for address in ("127.0.0.3", "::1"):
        with pytest.raises(OSError):
            socket.create_connection((address, port), timeout=5)


def test_an_address_that_the_node_does_not_have_yet_is_no_reason_to_fail() -> None:
    port = free_port()
    metrics_server.serve(port, Two(), "192.0.2.200")
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read() == b"two 2\n"


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(("name", "prefix", "vip")), st.text()), st.floats(0, 1e15))
def test_any_label_is_written_so_that_it_can_be_read(labels: dict[str, str], value: float) -> None:
    about, kind, *samples = metrics_server.metric("a_b", "gauge", "What", [(labels, value)])
    assert (about, kind) == ("# HELP a_b What", "# TYPE a_b gauge")
    assert len(samples) == 1 and SAMPLE.fullmatch(samples[0])


def test_a_metric_without_samples_is_not_spoken_of() -> None:
    assert metrics_server.metric("a", "gauge", "What", []) == []


def test_an_exporter_runs_is_asked_and_refuses_what_it_cannot_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.json"

    def ended(*argv: str) -> int:
        return metrics_server.exporter("usage", config, argv, lambda _found: Two())

    assert (ended("nonsense"), ended("check-config")) == (2, 2)
    assert "cannot be used" in capsys.readouterr().err
    port = free_port()
    config.write_text(json.dumps({"metrics_port": port, "metrics_address": "127.0.0.1"}))
    assert (ended("check-config"), ended("status")) == (0, 1)
    metrics_server.serve(port, Two(), "127.0.0.1")
    assert ended("--config", str(config), "status") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"ok": True, "summary": "well"}


def test_ways_are_counted_for_each_prefix() -> None:
    assert bird_exporter.ways(ROUTES) == {"192.0.2.10/32": 2, "198.51.100.0/24": 1, "2001:db8::10/128": 1}


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(ROUTES), st.text())))
def test_whatever_bird_prints_ways_are_counted_or_left(lines: list[str]) -> None:
    assert all(count > 0 for count in bird_exporter.ways(lines).values())


def test_what_bird_says_is_told_with_what_should_be_there() -> None:
    found = {
        "protocols": bird_status.protocols(PROTOCOLS),
        "bfd": bird_status.bfd(BFD),
        "ways": bird_exporter.ways(ROUTES),
    }
    lines = bird_exporter.told(found, ["192.0.2.10/32", "203.0.113.1/32"])
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines)
    assert {
        'bird_protocol_up{name="vip4",protocol="Static"} 0',
        'bird_bgp_up{name="rt1_v4",neighbor="10.213.148.1",family="ipv4"} 1',
        'bird_bgp_up{name="rt2_v4",neighbor="10.213.148.2",family="ipv4"} 0',
        'bird_bfd_up{neighbor="fd5b:ef3:7f82::1",interface="eth0"} 0',
        'bird_exported_routes{name="rt1_v4",protocol="BGP"} 2',
        'bird_prefix_ways{prefix="2001:db8::10/128",family="ipv6"} 1',
        'bird_expected_prefix_ways{prefix="192.0.2.10/32",family="ipv4"} 2',
        'bird_expected_prefix_ways{prefix="203.0.113.1/32",family="ipv4"} 0',
    } <= set(lines)


def test_a_bird_that_is_away_is_told_and_one_without_bfd_is_asked_for_the_rest(tmp_path: Path) -> None:
    settings = {"socket": str(tmp_path / "ctl"), "expects": ["192.0.2.10", "2001:db8::10"]}
    exporter = bird_exporter.exporter_of(settings)
    assert exporter.metrics().splitlines()[-1] == "bird_up 0" and exporter.report()["ok"] is False
    with stand_in(tmp_path / "ctl", ("vip4", "all")):
        lines = exporter.metrics().splitlines()
        assert "bird_up 1" in lines
        assert 'bird_expected_prefix_ways{prefix="2001:db8::10/128",family="ipv6"} 0' in lines
        assert exporter.report() == {"ok": True, "summary": "0 of 0 BGP sessions up", "ways": {}}


DUMP = {
    "rgw": {"req": 334, "failed_req": 1, "get_initial_lat": {"avgcount": 3, "sum": 0.004}, "put": True},
    "objecter": {"op_laggy": 2, "op_latency": {"avgcount": 404}},
    "mempool": 5,
}  # fmt: skip


def test_counters_of_radosgw_are_told_and_those_that_are_missing_are_not() -> None:
    lines = radosgw_exporter.told(DUMP)
    assert [line for line in lines if not line.startswith("#")] == [
        "radosgw_requests_total 334",
        "radosgw_failed_requests_total 1",
        "radosgw_laggy_operations 2",
        "radosgw_get_wait_seconds_count 3",
        "radosgw_get_wait_seconds_sum 0.004",
        "radosgw_operation_seconds_count 404",
    ]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(("rgw", "objecter")), st.dictionaries(st.sampled_from(("req", "get")), JSON)))
def test_whatever_radosgw_answers_is_told_or_left(dump: Mapping[str, Any]) -> None:
    lines = radosgw_exporter.told(dump)
    assert all(line.startswith("# ") or SAMPLE.fullmatch(line) for line in lines)


def test_radosgw_is_asked_anew_for_each_scrape_and_its_silence_is_told(tmp_path: Path) -> None:
    path = tmp_path / "asok"
    exporter = radosgw_exporter.Exporter(path)
    assert exporter.metrics().splitlines()[-1] == "radosgw_up 0" and exporter.report()["ok"] is False
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                assert json.loads(connection.recv(1024).rstrip(b"\0")) == {"prefix": "perf dump"}
                text = json.dumps(DUMP).encode()
                connection.sendall(struct.pack("!I", len(text)) + text)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    assert "radosgw_requests_total 334" in exporter.metrics().splitlines()
    assert exporter.report() == {"ok": True, "summary": "334 requests", "requests": 334.0}
    thread.join(5)
    server.close()


def message(**changes: object) -> bytes:
    alert = {"status": "firing", "labels": {"alertname": "A", "node": "gw1"}, "annotations": {"summary": "s"}}
    return json.dumps({"version": "4", "alerts": [alert | changes]}).encode()


def test_a_message_of_alertmanager_is_one_line_an_alert() -> None:
    told = {"to": "/pages", "status": "firing", "alertname": "A", "node": "gw1", "summary": "s"}
    assert list(alert_listen.alerts("/pages", message())) == [told]


@settings(deadline=None)
@given(st.one_of(st.binary(), JSON.map(lambda found: json.dumps({"alerts": found}).encode())))
def test_what_is_no_message_is_refused(body: bytes) -> None:
    try:
        told = list(alert_listen.alerts("/", body))
    except ValueError:
        return
    assert all(alert["to"] == "/" for alert in told)


@pytest.mark.parametrize(("token", "body", "status"), [
    ("right", message(), 200), ("wrong", message(), 401), ("right", b"{}", 400), ("right", message(labels=5), 400),
])  # fmt: skip
def test_a_receiver_takes_good_messages_of_who_has_the_token(
    token: str, body: bytes, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    listener = alert_listen.Listener(0, "right")
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{listener.server_address[1]}/pages"
    request = urllib.request.Request(address, body, {"Authorization": f"Bearer {token}"})
    try:
        found = urllib.request.urlopen(request, timeout=5).status
    except urllib.error.HTTPError as fault:
        found = fault.code
    listener.shutdown()
    assert (found, listener.heard) == (status, status == 200)
    assert ("gw1" in capsys.readouterr().out) is (status == 200)


def test_alertmanager_s_state_names_what_cannot_wait() -> None:
    alerts = [
        {"status": {"state": state}, "labels": {"alertname": name, "severity": severity}}
        for name, severity, state in (("A", "page", "active"), ("B", "ticket", "active"), ("C", "page", "suppressed"))
    ]
    assert alertmanager_status.summary(alerts) == {"ok": True, "summary": "2 alerts", "pages": ["A"]}


def test_options_that_differ_need_a_new_start() -> None:
    wanted = prometheus_reload.options(["--a=1", "--storage.tsdb.retention.time=90s", "--b.size=1073741824B", "x"])
    assert wanted == {"a": "1", "storage.tsdb.retention.time": "90s", "b.size": "1073741824B"}
    running = {"a": "1", "storage.tsdb.retention.time": "1m30s", "b.size": "1GiB", "other": "x"}
    assert prometheus_reload.differing(wanted, running) == []
    assert prometheus_reload.differing(wanted, running | {"a": "2", "b.size": "2GiB"}) == ["a", "b.size"]


def test_a_certificate_says_how_long_it_holds() -> None:
    found = {"notBefore": "Nov 29 17:40:00 2026 GMT", "notAfter": "Dec 31 17:40:00 2027 GMT"}
    since, until = s3_certificate.dates(found)
    assert until - since == 397 * 86400
    with pytest.raises(OSError, match="how long"):
        s3_certificate.dates({})
