"""What the roles of the services write, to the byte. `SETER_GOLDEN=write` writes the files anew; read the diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ceph_launch
import prometheus_reload
import pytest
import s3_user
import traefik_schema
import traefik_tree
import yaml

from common.catalog import Catalog
from tests.golden.systems.test_data_plane_files import ROLES, VIPS, node, rendered, same
from tests.unit.systems.traefik_trees import CERTIFICATE, KEY

STORAGE = [node("st1", "storage", 1, "fabric")]
GATEWAYS = [{**node(f"gw{index}", "gateways", 1 + index, "fabric"), "index": index} for index in (1, 2, 3)]
CEPH = ("ceph-mon", "ceph-mgr", "ceph-osd", "radosgw")
TRAEFIK: dict[str, Any] = {
    "traefik_dns_name": "s3.example.test",
    "traefik_vips": VIPS,
    "traefik_services": [],
    "traefik_backends": GATEWAYS,
    "traefik_local_weight": 10,
    "traefik_strategy": "wrr",
    "traefik_attempts": 5,
    "traefik_remote_weight": 1,
    "traefik_longest_upload": 43200,
    "traefik_access_log": "errors",
    "traefik_slow": 2,
    "traefik_probe_interval": 0.25,
    "traefik_connect_within": 0.3,
    "traefik_backend_idle": 65,
    "traefik_client_idle": 180,
    "traefik_client_keep": 15,
    "traefik_api_from": [],
    "traefik_drain": 2,
    "traefik_grace": 20,
}


def written(role: str, name: str, me: dict[str, Any], **variables: object) -> str:
    given = {"node": me, "deployment": "s3-lb/container/main", **variables}
    return rendered(ROLES / role / "templates" / f"{name}.j2", given)


def ceph_conf(role: str, monitors: list[dict[str, Any]] = STORAGE, **changes: object) -> str:
    variables: dict[str, object] = {
        "ceph_role": role,
        "ceph_monitors": monitors,
        "ceph_mon_replicas": 1,
        "ceph_mon_placement_groups": 8,
        "ceph_osd_backend": "bluestore",
        "ceph_osd_size": 6 << 30,
        "ceph_osd_memory": 1 << 30,
        "ceph_osd_watch_timeout": 15.0,
        "radosgw_dns_name": "s3.example.test",
        "radosgw_backend_idle": 65,
        "radosgw_mon_host": [],
        "radosgw_fsid": "",
        "radosgw_client": "client.rgw",
        "radosgw_tenant": "",
        "radosgw_swift": False,
    }
    me = GATEWAYS[0] if role == "radosgw" else STORAGE[0]
    return written("ceph-common", "ceph.conf", me, **variables | changes)


def tree(**changes: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written("traefik", "tree.json", GATEWAYS[0], **TRAEFIK | changes))
    return found


def read_in(found: dict[str, Any]) -> dict[str, str]:
    """The tree with certificates in place of the names of their files."""
    folder = "/etc/seter/secrets/traefik"
    pem = {f"{folder}/s3.crt": CERTIFICATE, f"{folder}/s3.key": KEY, f"{folder}/ca.crt": CERTIFICATE}
    return {key: pem[value["file"]] if isinstance(value, dict) else value for key, value in found.items()}


@pytest.mark.parametrize("role", CEPH)
def test_each_ceph_daemon_has_its_own_section(role: str) -> None:
    same(f"{role}.conf", ceph_conf(role))


@pytest.mark.parametrize("role", CEPH)
def test_the_launcher_understands_what_is_written_for_it(role: str, tmp_path: Path) -> None:
    conf = tmp_path / "ceph.conf"
    conf.write_text(ceph_conf(role))
    launch = ceph_launch.read_launch(conf)
    assert (launch.role, launch.index) == (role, 1)
    assert launch.monitors == ((("st1", "10.213.1.1"),) if role == "ceph-mon" else ())


def test_a_cluster_of_another_team_is_named_by_address(tmp_path: Path) -> None:
    fsid, conf = "6f8d7b1e-4c2a-4f0e-9b60-2f1d3c4b5a69", tmp_path / "ceph.conf"
    theirs = {"mon_host": ["10.9.0.1", "[v2:10.9.0.2:3300]"], "fsid": fsid, "client": "client.rgw.lb", "tenant": "lb"}
    conf.write_text(ceph_conf("radosgw", [], **{f"radosgw_{name}": value for name, value in theirs.items()}))
    lines = conf.read_text().splitlines()
    assert {f"fsid = {fsid}", "mon host = 10.9.0.1,[v2:10.9.0.2:3300]", "[client.rgw.lb]"} <= set(lines)
    assert ceph_launch.read_launch(conf).client == "client.rgw.lb"
    assert s3_user.Who.read(conf) == s3_user.Who("client.rgw.lb", "lb")
    assert s3_user.Who.read(conf).user == "lb$seter"


def test_three_monitors_are_all_named(tmp_path: Path) -> None:
    monitors = [node(f"st{index}", "storage", index, "fabric") for index in (1, 2, 3)]
    conf = tmp_path / "ceph.conf"
    conf.write_text(ceph_conf("ceph-mon", monitors, ceph_mon_replicas=3))
    assert [name for name, _ in ceph_launch.read_launch(conf).monitors] == ["st1", "st2", "st3"]
    lines = conf.read_text().splitlines()
    assert "mon host = [v2:10.213.1.1:3300],[v2:10.213.1.2:3300],[v2:10.213.1.3:3300]" in lines
    assert "osd pool default min size = 2" in lines
    assert "osd crush chooseleaf type = 1" in lines


def test_a_gateway_s_plain_http_is_not_on_the_virtual_ips() -> None:
    (line,) = [line for line in ceph_conf("radosgw").splitlines() if line.startswith("rgw frontends")]
    assert [word for word in line.split() if "endpoint=" in word] == [
        "endpoint=127.0.0.1:7480",
        "ssl_endpoint=10.213.1.2:7443",
    ]


def test_etcd_s_members_find_each_other_over_mutual_tls() -> None:
    text = written(
        "etcd", "etcd.yml", GATEWAYS[0],
        etcd_members=GATEWAYS, etcd_heartbeat=0.25, etcd_election=2.5, etcd_quota=512 << 20,
    )  # fmt: skip
    same("etcd.yml", text)
    found = yaml.safe_load(text)
    assert not any(key.startswith("initial-cluster") for key in found), "that is etcd-launch's to say"
    text = written("etcd", "cluster.json", GATEWAYS[0], etcd_members=GATEWAYS)
    same("etcd-cluster.json", text)
    assert json.loads(text)["members"] == {gateway["name"]: gateway["address"] for gateway in GATEWAYS}
    for side in ("client-transport-security", "peer-transport-security"):
        assert found[side]["client-cert-auth"] is True
    urls = [url for key in ("listen-peer-urls", "listen-client-urls") for url in found[key].split(",")]
    assert all(url.startswith("https://") for url in urls)


def test_traefik_s_static_configuration() -> None:
    text = written("traefik", "traefik.yml", GATEWAYS[0], **TRAEFIK)
    same("traefik.yml", text)
    found = yaml.safe_load(text)
    assert found["entryPoints"]["traefik"]["address"] == "127.0.0.1:8080"
    assert found["entryPoints"]["https"]["transport"]["lifeCycle"] == {
        "requestAcceptGraceTimeout": "2s",
        "graceTimeOut": "20s",
    }
    assert found["accessLog"]["fields"]["queryParameters"] == {"defaultMode": "drop"}, "a signed URL is a key"
    assert found["accessLog"]["filters"]["minDuration"] == "2s"
    every = yaml.safe_load(written("traefik", "traefik.yml", GATEWAYS[0], **TRAEFIK | {"traefik_access_log": "all"}))
    assert "filters" not in every["accessLog"]


def test_traefik_s_own_certificate_is_never_shown() -> None:
    text = written("traefik-guard", "traefik-guard.json", GATEWAYS[0], traefik_guard_api_from=[])
    same("traefik-guard.json", text)
    assert json.loads(text)["always"]["tls"]["stores"]["default"]["defaultCertificate"] == {
        "certFile": "/etc/seter/secrets/traefik/s3.crt",
        "keyFile": "/etc/seter/secrets/traefik/s3.key",
    }


def test_the_api_is_for_named_addresses() -> None:
    named = ["10.9.0.7/32", "2001:db8:9::/64"]
    found = yaml.safe_load(written("traefik", "traefik.yml", GATEWAYS[0], **TRAEFIK | {"traefik_api_from": named}))
    assert found["entryPoints"]["api"]["address"] == "10.213.1.2:8083"
    assert "api" not in yaml.safe_load(written("traefik", "traefik.yml", GATEWAYS[0], **TRAEFIK))["entryPoints"]
    guard = written("traefik-guard", "traefik-guard.json", GATEWAYS[0], traefik_guard_api_from=named)
    always = json.loads(guard)["always"]
    assert always["http"]["middlewares"]["named"]["ipAllowList"]["sourceRange"] == named
    assert always["http"]["routers"]["api"]["entryPoints"] == ["api"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"traefik_grace": 24}, "drain and grace"),
        ({"traefik_client_idle": 75}, "client_idle"),
        ({"traefik_backend_idle": 3}, "backend_idle"),
    ],
)
def test_timeouts_follow_one_another(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    file = tmp_path / "timeouts.json"
    file.write_text(written("traefik", "timeouts.json", GATEWAYS[0], **TRAEFIK | changes))
    found = traefik_tree.order_problems(file)
    assert [told in line for line in found] == ([True] if told else []), found


def test_the_time_to_stop_in_the_chain_is_the_process_s_own() -> None:
    process = Catalog.open(ROLES.parent).role("traefik").process
    assert process is not None
    found = json.loads(written("traefik", "timeouts.json", GATEWAYS[0], **TRAEFIK))
    assert [pair["then"] for pair in found if "killed" in pair["why"]] == [process.stop_within.total_seconds()]


def test_who_orders_certificates_is_told_of_all_gateways_and_of_the_wildcard() -> None:
    told: dict[str, Any] = yaml.safe_load((ROLES / "acme" / "defaults" / "main.yml").read_text())
    told |= {"acme_members": GATEWAYS, "acme_dns_name": "s3.example.test", "acme_dns_server": "192.0.2.53"}
    text = written("acme", "acme.json", GATEWAYS[0], **told)
    same("acme.json", text)
    assert json.loads(text)["names"] == ["s3.example.test", "*.s3.example.test"]
    both = written("acme", "acme.json", GATEWAYS[0], **told | {"acme_services": [{"dns_name": "archive.test"}]})
    assert json.loads(both)["names"][2:] == ["archive.test", "*.archive.test"]


def test_those_who_ask_as_clients_do_ask_for_each_service_by_its_name() -> None:
    for role in ("health", "s3-client"):
        told: dict[str, Any] = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text())
        prefix = role.replace("-", "_")
        told |= {f"{prefix}_dns_name": "s3.example.test", f"{prefix}_vips": VIPS, f"{prefix}_services": [ARCHIVE]}
        services = json.loads(written(role, f"{role}.json", GATEWAYS[0], **told))["services"]
        assert [(each["name"], each["dns_name"]) for each in services] == [
            ("main", "s3.example.test"),
            ("archive", "archive.example.test"),
        ]
        if role == "health":
            assert [each["protocols"] for each in services] == [["vip4", "vip6"], ["vip4_archive", "vip6_archive"]]


def test_the_tree_of_dynamic_configuration() -> None:
    same("tree.json", written("traefik", "tree.json", GATEWAYS[0], **TRAEFIK))


@pytest.mark.parametrize("backends", [1, 2, 3, 9, 10, 11, 60])
@pytest.mark.parametrize(("local", "remote"), [(10, 1), (1, 1), (1, 2)])
@pytest.mark.parametrize("vips", [[], ["192.0.2.10"], VIPS])
def test_every_tree_that_the_role_writes_passes_its_own_check(
    backends: int, local: int, remote: int, vips: list[str]
) -> None:
    nodes = [node(f"gw{number}", "gateways", number, "fabric") for number in range(1, backends + 1)]
    found = tree(traefik_backends=nodes, traefik_local_weight=local, traefik_remote_weight=remote, traefik_vips=vips)
    assert traefik_schema.problems(read_in(found)) == []


@pytest.mark.parametrize("strategy", ["wrr", "p2c", "hrw", "leasttime"])
@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_every_strategy_that_may_be_asked_for_is_one_that_traefik_knows(strategy: str, attempts: int) -> None:
    found = tree(traefik_strategy=strategy, traefik_attempts=attempts)
    assert traefik_schema.problems(read_in(found)) == []
    assert {value for key, value in found.items() if key.endswith("/strategy")} == {strategy}
    assert found["http/middlewares/again/retry/attempts"] == str(max(1, attempts))
    assert found["http/middlewares/elsewhere/retry/attempts"] == str(min(max(1, attempts), 2))


def test_a_node_s_own_radosgw_gets_ten_times_the_share_of_another() -> None:
    found = tree()
    servers = {key.rsplit("/", 1)[0] for key in found if "/servers/" in key}
    weights = {found[f"{server}/url"]: int(found[f"{server}/weight"]) for server in servers}
    for gateway in GATEWAYS:
        own = f"https://{gateway['address']}:7443"
        assert weights["http://127.0.0.1:7480"] + weights[own] == 10
        assert [weight for url, weight in weights.items() if url not in (own, "http://127.0.0.1:7480")] == [1, 1]


ARCHIVE = {
    "name": "archive",
    "dns_name": "archive.example.test",
    "vips": ["192.0.2.20", "2001:db8::20"],
    "backends": [node("ar1", "archive", 8, "fabric")],
    "local_weight": 10,
    "remote_weight": 1,
}


def test_another_service_has_routers_and_a_pool_of_its_own() -> None:
    alone, found = tree(), tree(traefik_services=[ARCHIVE])
    assert traefik_schema.problems(read_in(found)) == []
    assert alone.items() <= found.items(), "the first service is as it was"
    more = {key: found[key] for key in found.keys() - alone.keys()}
    routers = {key.split("/")[2] for key in alone if key.startswith("http/routers/")}
    assert {key.split("/")[2] for key in more if key.startswith("http/routers/")} == {
        f"archive-{one}" for one in routers
    }
    rules = [value for key, value in more.items() if key.endswith("/rule")]
    assert all("archive.example.test" in rule and "192.0.2.20" in rule for rule in rules)
    assert not any("Host(`s3.example.test`)" in rule or "192.0.2.10`" in rule for rule in rules)
    assert {value for key, value in more.items() if key.endswith("/service")} == {
        "radosgw-archive",
        "apart-archive",
    }
    urls = [value for key, value in more.items() if key.endswith("/url")]
    assert urls == 2 * ["https://10.213.1.8:7443"], "none of its RadosGW is on a gateway"


def test_two_services_of_the_same_radosgw_both_prefer_the_one_of_the_node() -> None:
    found = tree(traefik_services=[ARCHIVE | {"backends": GATEWAYS}])
    servers = "http/services/radosgw-archive/loadBalancer/servers/00"
    assert (found[f"{servers}/url"], found[f"{servers}/weight"]) == ("http://127.0.0.1:7480", "9")


def test_the_tree_is_the_same_on_every_node() -> None:
    assert len({written("traefik", "tree.json", me, **TRAEFIK) for me in GATEWAYS}) == 1


def test_the_tree_names_files_of_secrets_and_holds_none() -> None:
    found = tree()
    assert found["tls/certificates/00/keyFile"] == {"file": "/etc/seter/secrets/traefik/s3.key"}
    assert "PRIVATE" not in json.dumps(found)


RULES: dict[str, Any] = {
    "prometheus_errors_per_million": 1000,
    "prometheus_slow_per_million": 10000,
    "prometheus_patience": 60,
    "prometheus_alertmanagers": [node("mo1", "monitoring", 9, "fabric")],
}


def test_the_rules_of_prometheus() -> None:
    text = written("prometheus", "rules.yml", STORAGE[0], **RULES)
    same("rules.yml", text)
    groups = yaml.safe_load(text)["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert all({"summary", "action"} == set(alert["annotations"]) for alert in alerts)
    assert {alert["labels"]["severity"] for alert in alerts} == {"page", "ticket"}


def test_without_an_alertmanager_there_is_no_rule_for_it() -> None:
    text = written("prometheus", "rules.yml", STORAGE[0], **RULES | {"prometheus_alertmanagers": []})
    assert "alertmanager" not in text and "NodeGone" in text


def test_patience_is_how_long_an_alert_waits() -> None:
    text = written("prometheus", "rules.yml", STORAGE[0], **RULES | {"prometheus_patience": 10})
    waits = {
        rule["alert"]: rule.get("for")
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert (waits["GatewayOut"], waits["NodeGone"], waits["TreesDiffer"]) == ("10s", "10s", "15s")


def test_prometheus_asks_every_target_that_is_in_its_file() -> None:
    targets = [
        {"job": job, "node": gateway["name"], "address": gateway["address"], "port": port}
        for gateway in GATEWAYS
        for job, port in (("traefik", 8082), ("etcd", 2381))
    ]
    text = written("prometheus", "targets.json", STORAGE[0], metrics_targets=targets)
    same("targets.json", text)
    assert written("prometheus", "targets.json", STORAGE[0], metrics_targets=list(reversed(targets))) == text
    found = json.loads(text)
    assert [(one["labels"]["job"], one["labels"]["node"]) for one in found] == sorted(
        (target["job"], target["node"]) for target in targets
    )
    assert found[0]["targets"] == [f"{GATEWAYS[0]['address']}:2381"]


def test_a_new_target_changes_nothing_but_that_file() -> None:
    given = {"prometheus_interval": 5, "prometheus_alertmanagers": RULES["prometheus_alertmanagers"]}
    texts = {written("prometheus", "prometheus.yml", STORAGE[0], metrics_targets=some, **given) for some in ([], [1])}
    assert len(texts) == 1
    same("prometheus.yml", texts.pop())


def test_prometheus_gets_its_limits_as_options() -> None:
    text = written("prometheus", "flags", STORAGE[0], prometheus_keep_for=1296000, prometheus_keep_bytes=2 << 30)
    same("prometheus.flags", text)
    wanted = prometheus_reload.options(text.splitlines())
    # As /api/v1/status/flags has them.
    running = {**wanted, "storage.tsdb.retention.time": "15d", "storage.tsdb.retention.size": "2GiB"}
    assert prometheus_reload.differing(wanted, running) == []
    assert prometheus_reload.differing(wanted, running | {"storage.tsdb.retention.size": "3GiB"}) == [
        "storage.tsdb.retention.size"
    ]


MONITORING = [node(f"mo{number}", "monitoring", number, "fabric") for number in (1, 2, 3)]
TOLD: dict[str, Any] = {
    "alertmanager_members": MONITORING[:1],
    "alertmanager_pages": "https://pager.example.test/hook",
    "alertmanager_tickets": "",
    "alertmanager_pages_file": "",
    "alertmanager_tickets_file": "/etc/tickets-url",
    "alertmanager_mail_to": "",
    "alertmanager_mail_from": "",
    "alertmanager_smarthost": "",
    "alertmanager_mail_user": "",
    "alertmanager_mail_login_file": "",
    "alertmanager_page_wait": 5,
    "alertmanager_page_updates": 30,
    "alertmanager_page_again": 3600,
}


def test_who_is_told_what() -> None:
    text = written("alertmanager", "alertmanager.yml", MONITORING[0], **TOLD)
    same("alertmanager.yml", text)
    receivers = {one["name"]: one["webhook_configs"][0] for one in yaml.safe_load(text)["receivers"]}
    assert receivers["pages"]["url"] == "https://pager.example.test/hook"
    assert receivers["tickets"]["url_file"] == "/etc/tickets-url" and "url" not in receivers["tickets"]


def test_mail_goes_over_tls_with_a_password_that_is_in_no_setting() -> None:
    mail = {"mail_to": "ops@x.test", "mail_from": "lb@x.test", "smarthost": "mx:587", "mail_user": "lb"}
    mail |= {"mail_login_file": "/etc/mail-password", "pages": "", "tickets_file": ""}
    changes = {f"alertmanager_{name}": value for name, value in mail.items()}
    found = yaml.safe_load(written("alertmanager", "alertmanager.yml", MONITORING[0], **TOLD | changes))
    assert found["global"]["smtp_auth_password_file"] == "/etc/mail-password"
    assert found["global"]["smtp_require_tls"] is True and "smtp_auth_password" not in found["global"]
    assert [sorted(one) for one in found["receivers"]] == [["email_configs", "name"]] * 2


def test_with_nobody_to_tell_alertmanager_has_settings_all_the_same() -> None:
    changes = {"alertmanager_pages": "", "alertmanager_tickets_file": ""}
    found = yaml.safe_load(written("alertmanager", "alertmanager.yml", MONITORING[0], **TOLD | changes))
    assert found["receivers"] == [{"name": "pages"}, {"name": "tickets"}]


def test_one_alertmanager_speaks_to_nobody_and_three_to_each_other_over_tls() -> None:
    alone = written("alertmanager", "flags", MONITORING[0], **TOLD)
    same("alertmanager.flags", alone)
    assert "--cluster.listen-address=" in alone.splitlines() and "peer" not in alone
    three = written("alertmanager", "flags", MONITORING[1], **TOLD | {"alertmanager_members": MONITORING}).splitlines()
    assert [line for line in three if "peer" in line] == [
        "--cluster.peer=10.213.1.1:9094",
        "--cluster.peer=10.213.1.3:9094",
    ]
    assert "--cluster.tls-config=/etc/seter/now/alertmanager/members.yml" in three
    found = yaml.safe_load(written("alertmanager", "members.yml", MONITORING[1], **TOLD))
    assert found["tls_server_config"]["client_auth_type"] == "RequireAndVerifyClientCert"


@pytest.mark.parametrize("disks", [False, True])
def test_a_node_is_looked_at_by_its_own_address_alone(disks: bool) -> None:
    text = written("node-exporter", "flags", GATEWAYS[0], node_exporter_disks=disks)
    assert [line for line in text.splitlines() if "listen" in line] == [
        "--web.listen-address=127.0.0.1:9100",
        "--web.listen-address=10.213.1.2:9100",
    ]
    assert ("--collector.diskstats" in text) is disks
    assert disks or same("node-exporter.flags", text) is None


def test_exporters_know_where_to_ask_and_to_answer() -> None:
    found = json.loads(written("bird-exporter", "bird-exporter.json", GATEWAYS[0], bird_exporter_expects=VIPS))
    assert found["expects"] == VIPS and found["metrics_address"] == "10.213.1.2"
    found = json.loads(written("radosgw-exporter", "radosgw-exporter.json", GATEWAYS[0]))
    assert found["socket"] == "/var/lib/seter/radosgw/daemon.asok" and found["metrics_address"] == "10.213.1.2"
