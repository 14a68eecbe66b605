"""What is watched, and who is told: exporters, Prometheus, its pages, Alertmanager. One deployment serves all."""

from __future__ import annotations

import html.parser
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from common.catalog import Catalog
from tests.conftest import ROOT, Running
from tests.integration.test_roles_alerts import asked
from tests.integration.test_roles_services import PROGRAMS, container, run, says
from tests.lab.waiting import soon

VIPS = ("192.0.2.10", "2001:db8::10")
# Says which of these ports of an address answer, all at once: a firewall lets those wait whom it does not let in.
KNOCK = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def answers(port):
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=3).close()
        return True
    except OSError:
        return False

ports = sys.argv[2:]
with ThreadPoolExecutor(len(ports)) as knocking:
    print(*(port for port, open in zip(ports, knocking.map(answers, ports)) if open))
"""


def value(running: Running, query: str) -> float:
    (sample,) = asked(running, query)
    return float(sample["value"][1])


def test_every_node_tells_of_itself_and_its_roles(running: Running) -> None:
    soon(lambda: says(running, "mo1", "prometheus", "prometheus-targets")["ok"], 60, "all targets")
    found = {
        job: {str(one["metric"]["node"]) for one in asked(running, f'up{{job="{job}"}} == 1')}
        for job in ("node-exporter", "bird-exporter", "radosgw-exporter", "alertmanager")
    }
    gateways, routers = {"gw1", "gw2", "gw3"}, {"rt1", "rt2"}
    assert found["radosgw-exporter"] == gateways and found["bird-exporter"] == gateways | routers
    assert found["node-exporter"] == gateways | routers | {"st1", "mo1"} and found["alertmanager"] == {"mo1"}


def test_routers_tell_of_each_session_and_of_a_way_over_each_gateway(running: Running) -> None:
    # Two routers, three gateways, two families, both sides. What another test broke may just have come back.
    soon(lambda: value(running, "sum(bird_bgp_up)") == 24, 60, "all sessions")
    soon(lambda: {one["value"][1] for one in asked(running, "bird_expected_prefix_ways")} == {"3"}, 60, "all ways")


def test_metrics_are_not_at_the_virtual_ips(running: Running) -> None:
    """Who reaches those is anybody."""
    roles = Catalog.open(ROOT / "systems").roles()
    ports = sorted({str(role.metrics) for role in roles if role.metrics})
    assert len(ports) > 8
    for vip in VIPS:
        argv = ("python3", "-c", KNOCK, vip)
        assert run(running, "cl1", "s3-client", *argv, "443", *ports) == "443"


@contextmanager
def listening(running: Running, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """A receiver where the lab's Alertmanager sends to."""
    argv = ["docker", "exec", "--user", "alertmanager", container(running, "mo1", "alertmanager")]
    argv += [f"{PROGRAMS}/alert-listen", "--seconds", str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
        try:
            yield listener
        finally:
            listener.terminate()
            run(running, "mo1", "alertmanager", "pkill", "-f", "alert-listen", user="alertmanager", check=False)


def heard(listener: subprocess.Popen[str], alertname: str, status: str) -> dict[str, str]:
    """The next message of this name and status; what else comes is passed over."""
    assert listener.stdout is not None
    for line in listener.stdout:
        alert: dict[str, str] = json.loads(line)
        assert alert["alertname"] != "FewerRoutes", "it follows from another"
        if (alert["alertname"], alert["status"]) == (alertname, status):
            return alert
    raise AssertionError(f"nothing was heard of {alertname}")


def test_whoever_is_on_call_is_told_of_a_gateway_whose_traefik_died(running: Running) -> None:
    begun = time.monotonic()
    with listening(running, 150) as listener:
        running.docker("stop", "-t", "0", container(running, "gw3", "traefik"))
        try:
            alert = heard(listener, "GatewayOut", "firing")
            took = time.monotonic() - begun
        finally:
            running.docker("start", container(running, "gw3", "traefik"))
        assert heard(listener, "GatewayOut", "resolved")["node"] == "gw3"
    assert (alert["to"], alert["node"], alert["severity"]) == ("/pages", "gw3", "page")
    assert alert["deployment"] == f"s3-lb/container/{running.instance}"
    assert "gw3 does not serve" in alert["summary"] and alert["action"]
    assert took < 80
    soon(lambda: value(running, "sum(health_announced)") == 3, 60, "gw3 serves again")
    soon(lambda: value(running, "min(bird_expected_prefix_ways)") == 3, 60, "routers know it")


def test_a_message_without_the_token_is_not_taken(running: Running) -> None:
    with listening(running, 20):
        ask = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", '{"alerts": []}', "http://127.0.0.1:9599/x")
        soon(lambda: run(running, "mo1", "alertmanager", *ask, check=False) == "401", 15, "a refusal")


def test_no_secret_is_in_what_alertmanager_reads(running: Running) -> None:
    secret = run(
        running, "mo1", "alertmanager", "cat", "/etc/seter/secrets/alertmanager/webhook-token", user="alertmanager"
    )
    shown = run(running, "mo1", "alertmanager", "sh", "-c", "cat /etc/seter/now/alertmanager/* /proc/*/cmdline")
    assert len(secret) > 20 and "credentials_file" in shown and secret not in shown
    checked = run(
        running, "mo1", "alertmanager", "amtool", "check-config", "/etc/seter/now/alertmanager/alertmanager.yml"
    )
    assert "SUCCESS" in checked


def test_prometheus_takes_new_files_without_a_gap(running: Running) -> None:
    started = value(running, 'process_start_time_seconds{job="prometheus"}')
    run(running, "mo1", "prometheus", f"{PROGRAMS}/prometheus-reload", user="prometheus")
    assert value(running, "prometheus_config_last_reload_successful") == 1
    soon(lambda: says(running, "mo1", "prometheus", "prometheus-targets")["ok"], 30, "all targets")
    assert value(running, 'process_start_time_seconds{job="prometheus"}') == started


class Tables(html.parser.HTMLParser):
    """The texts of the cells of each table, row by row, by the table's id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self._table = ""
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._table = dict(attrs)["id"] or ""
            self.rows[self._table] = []
        elif tag == "tr":
            self.rows[self._table].append([])
        self._in_cell = tag == "td"
        if self._in_cell:
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[self._table][-1][-1] += data.strip()


def page(running: Running, name: str) -> dict[str, list[list[str]]]:
    found = run(running, "mo1", "prometheus", "curl", "-sf", f"http://127.0.0.1:9090/consoles/{name}.html")
    assert "error executing template" not in found and found.rstrip().endswith("</html>")
    return {table: [row for row in rows if row] for table, rows in Tables(found).rows.items()}


def test_the_pages_of_prometheus_show_nodes_routes_and_certificates(running: Running) -> None:
    found = page(running, "index")
    nodes = {row[0]: row[1:] for row in found["nodes"]}
    up, _, known = nodes["gw1"][0].partition(" of ")
    assert up == known and int(known) >= 8
    assert nodes["gw1"][1:5] == ["yes", "yes", "as in etcd", "has a leader"]
    assert set(nodes) >= {"st1", "rt1", "rt2", "gw1", "gw2", "gw3", "mo1"} and nodes["rt1"][0] == "2 of 2"
    assert all("B" in cell for cell in nodes["gw1"][6:])
    ways = {(row[0], row[1]): row[2:] for row in found["routes"]}
    assert ways == {
        (router, f"{vip}/{32 if '.' in vip else 128}"): ["3", "3"] for router in ("rt1", "rt2") for vip in VIPS
    }
    assert {row[0] for row in found["certificates"]} == set(VIPS)
    assert all(90 < float(row[2].removesuffix("%")) <= 100 for row in found["certificates"])


@pytest.mark.parametrize(("name", "table", "keys"), [
    ("traffic", "objectives", {"5m", "1h", "6h", "1d", "3d"}),
    ("traffic", "gateways", {"gw1", "gw2", "gw3"}),
    ("traffic", "canary", set(VIPS)),
    ("storage", "radosgw", {"gw1", "gw2", "gw3"}),
    ("storage", "etcd", {"gw1", "gw2", "gw3"}),
    ("storage", "osds", {"osd.0"}),
])  # fmt: skip
def test_the_pages_of_prometheus_have_values_in_every_row(
    running: Running, name: str, table: str, keys: set[str]
) -> None:
    def whole() -> bool:
        rows = {row[0]: row[1:] for row in page(running, name)[table]}
        return set(rows) == keys and all(row and "-" not in row[:2] for row in rows.values())

    soon(whole, 60, f"values of {table}")


def queries() -> list[tuple[str, str, str]]:
    """Dashboard, panel, query; variables as Grafana fills them in for a look at one gateway."""
    found = []
    for path in sorted((ROOT / "systems" / "s3-lb" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m").replace("$node", "gw1")
                found.append((path.stem, panel["title"], query))
    return found


def test_every_query_of_the_dashboards_returns_data(running: Running) -> None:
    """All at once, a line each: a shell in the container asks, so the lab is not entered a hundred times."""
    wanted = queries()
    assert len(wanted) > 60

    def empty() -> list[tuple[str, str, str]]:
        script = 'while read -r query; do curl -s --data-urlencode "query=$query" $0 || exit 1; echo; done'
        argv = ["docker", "exec", "-i", container(running, "mo1", "prometheus"), "sh", "-c", script]
        ended = subprocess.run(
            [*argv, "http://127.0.0.1:9090/api/v1/query"],
            input="".join(f"{query}\n" for _, _, query in wanted), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        answers = [json.loads(line) for line in ended.stdout.splitlines() if line]
        pairs = zip(wanted, answers, strict=True)
        return [one for one, answer in pairs if not (answer["status"] == "success" and answer["data"]["result"])]

    deadline = time.monotonic() + 90
    while missing := empty():
        assert time.monotonic() < deadline, missing
        time.sleep(2)


@pytest.mark.parametrize(
    ("node", "role"),
    [("gw1", "node-exporter"), ("rt1", "bird-exporter"), ("gw1", "radosgw-exporter"), ("mo1", "alertmanager")],
)
def test_whoever_watches_may_nothing_but_look(running: Running, node: str, role: str) -> None:
    process = Catalog.open(ROOT / "systems").role(role).process
    assert process is not None
    lines = run(running, node, role, "cat", "/proc/1/status").splitlines()
    status = {key: words.split() for key, _, words in (line.partition(":") for line in lines)}
    assert status["Uid"] == [str(process.uid)] * 4 and status["NoNewPrivs"] == ["1"]
    assert {int(status[name][0], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}


# Two more, with the settings and the certificate of the one that runs; prints whom the first one knows.
SECOND_PAIR = """
mkdir /tmp/two; cd /tmp/two
for n in 1 2; do
  prometheus-alertmanager --config.file=/etc/seter/now/alertmanager/alertmanager.yml --storage.path=/tmp/two/$n \
    --web.listen-address=127.0.0.1:1909$n --cluster.tls-config=$0 --cluster.peer=127.0.0.1:1919$((3-n)) \
    --cluster.listen-address=127.0.0.1:1919$n --cluster.advertise-address=127.0.0.1:1919$n 2>/dev/null &
done
for n in $(seq 60); do
  peers=$(curl -s http://127.0.0.1:19091/api/v2/status | grep -o '"address":"[^"]*"' | sort -u)
  test "$(echo "$peers" | wc -l)" = 2 && break
  sleep 0.5
done
echo "$peers"; kill $(jobs -p); rm -rf /tmp/two
"""


def test_alertmanagers_find_each_other_over_mutual_tls(running: Running) -> None:
    argv = ("bash", "-c", SECOND_PAIR, "/etc/seter/now/alertmanager/members.yml")
    found = run(running, "mo1", "alertmanager", *argv, user="alertmanager")
    assert found.split() == ['"address":"127.0.0.1:19191"', '"address":"127.0.0.1:19192"']
