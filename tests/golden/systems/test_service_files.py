"""What the roles of the services write, to the byte. `SETER_GOLDEN=write` writes the files anew; read the diff."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ceph_launch
import pytest
import traefik_schema
import yaml

from tests.golden.systems.test_data_plane_files import ROLES, VIPS, node, rendered, same
from tests.unit.systems.traefik_trees import CERTIFICATE, KEY

STORAGE = [node("st1", "storage", 1, "fabric")]
GATEWAYS = [{**node(f"gw{index}", "gateways", 1 + index, "fabric"), "index": index} for index in (1, 2, 3)]
CEPH = ("ceph-mon", "ceph-mgr", "ceph-osd", "radosgw")
TRAEFIK: dict[str, Any] = {
    "traefik_dns_name": "s3.example.test",
    "traefik_vips": VIPS,
    "traefik_backends": GATEWAYS,
    "traefik_local_weight": 10,
    "traefik_remote_weight": 1,
    "traefik_longest_upload": 43200,
    "traefik_probe_interval": 0.25,
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
        "radosgw_dns_name": "s3.example.test",
    }
    me = GATEWAYS[0] if role == "radosgw" else STORAGE[0]
    return written("ceph-common", "ceph.conf", me, **variables | changes)


def tree(**changes: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written("traefik", "tree.json", GATEWAYS[0], **TRAEFIK | changes))
    return found


def read_in(found: dict[str, Any]) -> dict[str, str]:
    """The tree with certificates in place of the names of their files."""
    pem = {"/etc/seter/secrets/traefik/s3.crt": CERTIFICATE, "/etc/seter/secrets/traefik/s3.key": KEY}
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
    assert [word for word in line.split() if word.startswith("endpoint=")] == [
        "endpoint=127.0.0.1:7480",
        "endpoint=10.213.1.2:7480",
    ]


def test_etcd_s_members_find_each_other_over_mutual_tls() -> None:
    text = written(
        "etcd", "etcd.yml", GATEWAYS[0],
        etcd_members=GATEWAYS, etcd_heartbeat=0.25, etcd_election=2.5, etcd_quota=512 << 20,
    )  # fmt: skip
    same("etcd.yml", text)
    found = yaml.safe_load(text)
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


def test_traefik_s_own_certificate_is_never_shown() -> None:
    text = written("traefik-guard", "traefik-guard.json", GATEWAYS[0])
    same("traefik-guard.json", text)
    assert json.loads(text)["always"]["tls"]["stores"]["default"]["defaultCertificate"] == {
        "certFile": "/etc/seter/secrets/traefik/s3.crt",
        "keyFile": "/etc/seter/secrets/traefik/s3.key",
    }


def test_who_orders_certificates_is_told_of_all_gateways_and_of_the_wildcard() -> None:
    told: dict[str, Any] = yaml.safe_load((ROLES / "acme" / "defaults" / "main.yml").read_text())
    told |= {"acme_members": GATEWAYS, "acme_dns_name": "s3.example.test", "acme_dns_server": "192.0.2.53"}
    text = written("acme", "acme.json", GATEWAYS[0], **told)
    same("acme.json", text)
    assert json.loads(text)["names"] == ["s3.example.test", "*.s3.example.test"]


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


def test_a_node_s_own_radosgw_gets_ten_times_the_share_of_another() -> None:
    found = tree()
    servers = {key.rsplit("/", 1)[0] for key in found if "/servers/" in key}
    weights = {found[f"{server}/url"]: int(found[f"{server}/weight"]) for server in servers}
    for gateway in GATEWAYS:
        own = f"http://{gateway['address']}:7480"
        assert weights["http://127.0.0.1:7480"] + weights[own] == 10
        assert [weight for url, weight in weights.items() if url not in (own, "http://127.0.0.1:7480")] == [1, 1]


def test_the_tree_is_the_same_on_every_node() -> None:
    assert len({written("traefik", "tree.json", me, **TRAEFIK) for me in GATEWAYS}) == 1


def test_the_tree_names_files_of_secrets_and_holds_none() -> None:
    found = tree()
    assert found["tls/certificates/00/keyFile"] == {"file": "/etc/seter/secrets/traefik/s3.key"}
    assert "PRIVATE" not in json.dumps(found)


def prometheus(targets: list[dict[str, Any]]) -> str:
    return written("prometheus", "prometheus.yml", STORAGE[0], prometheus_interval=5, metrics_targets=targets)


def test_the_rules_of_prometheus() -> None:
    given = {"prometheus_errors_per_million": 1000, "prometheus_slow_per_million": 10000}
    text = written("prometheus", "rules.yml", STORAGE[0], **given)
    same("rules.yml", text)
    groups = yaml.safe_load(text)["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert all({"summary", "action"} == set(alert["annotations"]) for alert in alerts)
    assert {alert["labels"]["severity"] for alert in alerts} == {"page", "ticket"}


def test_prometheus_asks_every_target_grouped_by_job() -> None:
    targets = [
        {"job": job, "node": gateway["name"], "address": gateway["address"], "port": port}
        for gateway in GATEWAYS
        for job, port in (("traefik", 8082), ("etcd", 2381))
    ]
    text = prometheus(targets)
    same("prometheus.yml", text)
    assert prometheus(list(reversed(targets))) == text
    jobs = {job["job_name"]: job["static_configs"] for job in yaml.safe_load(text)["scrape_configs"]}
    assert {name: len(entries) for name, entries in jobs.items()} == {"etcd": 3, "traefik": 3}


def test_prometheus_gets_its_limits_as_options() -> None:
    same(
        "prometheus.flags",
        written("prometheus", "flags", STORAGE[0], prometheus_keep_for=1296000, prometheus_keep_bytes=2 << 30),
    )
