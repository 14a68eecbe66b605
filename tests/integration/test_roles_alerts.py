"""What Prometheus computes and when somebody is called: promtool's tests of the rules, and the rules in the lab."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.conftest import ROOT, Running
from tests.integration.test_roles_services import container, run
from tests.lab.waiting import soon

GOLDEN = ROOT / "tests" / "golden" / "systems"
NAMES = re.compile(r"[a-z][a-zA-Z0-9_:]*")
DEPLOYED = "/etc/seter/now/prometheus/rules.yml"


def judged(running: Running, rules: str) -> subprocess.CompletedProcess[str]:
    """What promtool says of rules, by our tests of them."""
    argv = ["docker", "exec", "-i", container(running, "mo1", "prometheus"), "sh", "-c"]
    for name, text in (("rules.yml", rules), ("rules_test.yml", (GOLDEN / "rules_test.yml").read_text())):
        subprocess.run([*argv, f"cat >/tmp/{name}"], input=text, text=True, check=True, timeout=60)
    test = [*argv, "promtool test rules /tmp/rules_test.yml 2>&1"]
    return subprocess.run(test, capture_output=True, text=True, timeout=120)


def test_the_deployed_rules_call_for_what_they_should_and_for_nothing_else(running: Running) -> None:
    rules = run(running, "mo1", "prometheus", "cat", DEPLOYED)
    ended = judged(running, rules)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("> 14.4 * 0.001", "> 144 * 0.001"),
        ("< on (prefix) group_left () count", "> on (prefix) group_left () count"),
        ("() 0.5 * max", "() 0.01 * max"),
        ("/ 2) + 1 <", "/ 2) <"),
        ("max by (node) (up)", "min by (node) (up)"),
    ],
)
def test_rules_that_are_wrong_do_not_pass_these_tests(running: Running, before: str, after: str) -> None:
    rules = (GOLDEN / "rules.yml").read_text()
    assert before in rules
    assert judged(running, rules.replace(before, after)).returncode == 1


def asked(running: Running, query: str) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:9090/api/v1/query?query={quote(query)}"
    found: list[dict[str, Any]] = json.loads(run(running, "mo1", "prometheus", "curl", "-sg", url))["data"]["result"]
    return found


# Metrics whose name in a rule is followed by labels, with those that have to be there.
LABELLED = (
    'traefik_service_requests_total{service="radosgw@file"}',
    'traefik_service_request_duration_seconds_bucket{service="radosgw@file",method="GET",le="1.2"}',
    'node_filesystem_avail_bytes{mountpoint="/var/lib/seter"}',
    's3_client_rounds_total{outcome="bad"}',
)
# Told while ACME is on, which it is not in this lab.
ELSEWHERE = {"acme_failures"}


def test_every_metric_that_a_rule_reads_is_there_in_the_lab(running: Running) -> None:
    """An alert on a metric that nobody has never comes."""
    rules = [rule for group in yaml.safe_load((GOLDEN / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    words = {word for rule in rules for word in NAMES.findall(re.sub(r"\{[^}]*\}", "", rule["expr"]))}
    names = {word for word in words if "_" in word} - {"group_left", "min_over_time"} - ELSEWHERE | {"up"}
    assert len(names) > 30
    soon(lambda: missing(running, names | set(LABELLED)) == [], 60, "all metrics")


def missing(running: Running, names: set[str]) -> list[str]:
    found = {str(one["metric"].get("__name__")) for one in asked(running, 'group by (__name__) ({__name__!=""})')}
    return [name for name in names if name not in found and ("{" not in name or not asked(running, name))]


def test_nothing_calls_for_anybody_where_all_is_well(running: Running) -> None:
    alerts = [
        rule["alert"]
        for group in yaml.safe_load((GOLDEN / "rules.yml").read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(alerts) > 30
    soon(lambda: asked(running, 'ALERTS{severity="page",alertstate="firing"}') == [], 60, "no page")
