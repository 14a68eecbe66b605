"""What an artefact that orders certificates has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.fixtures import AsUser

ZONE = {
    "server": "192.0.2.53", "port": 53, "name": "example.test", "key_name": "key", "key_file": "/nowhere",
    "algorithm": "hmac-sha256", "record": "", "wait": 10,
}  # fmt: skip
SETTINGS = {
    "node": "gw1", "etcd": "127.0.0.1:2379", "secrets": "/nowhere", "members": [], "directory": "https://ca.example.test/dir",
    "eab_kid": "customer", "eab_key": "/nowhere",
    "terms_agreed": True, "server_ca": "/nowhere", "contact": "", "names": ["s3.example.test", "*.s3.example.test"],
    "challenge": "http-01", "renew_at": 67, "retry_first": 600, "retry_most": 43200, "lease": 10, "zone": ZONE,
    "solver_port": 9561, "metrics_port": 9560, "metrics_address": "127.0.0.1",
}  # fmt: skip
CHECK = "echo '%s' >$1/c.json; exec /usr/local/lib/seter/acme --config $1/c.json check-config"


def test_settings_are_accepted_and_faults_in_them_refused(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stderr
    for fault, says in (({"terms_agreed": False}, "terms"), ({"zone": {**ZONE, "server": ""}}, "dns_server")):
        bad = as_user(CHECK % json.dumps({**SETTINGS, **fault}), folder)
        assert bad.rc == 2 and says in bad.stderr, bad.stderr


def test_it_runs_as_its_user_and_has_no_capability(as_user: AsUser, host: Host) -> None:
    assert host.package("python3-acme").version.startswith("4.")
    said = dict(line.split(":", 1) for line in as_user("cat /proc/self/status").stdout.splitlines())
    assert {int(said[name], 16) for name in ("CapEff", "CapAmb", "CapBnd")} == {0}
