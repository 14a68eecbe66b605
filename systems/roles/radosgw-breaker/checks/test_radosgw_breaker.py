"""What an artefact that watches over a RadosGW has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.fixtures import AsUser

SETTINGS = {
    "node": "gw1", "etcd": "127.0.0.1:2379", "secrets": "/nobody", "radosgw": "http://127.0.0.1:7480",
    "drained": "/run/radosgw/drained", "interval": 1, "timeout": 2, "fall": 3, "rise": 10,
    "metrics_port": 9562, "metrics_address": "127.0.0.1",
}  # fmt: skip
CHECK = "echo '%s' >$1/c.json; exec /usr/local/lib/seter/radosgw-breaker --config $1/c.json check-config"


def test_settings_are_accepted_and_faults_in_them_refused(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stderr
    assert as_user(CHECK % json.dumps(SETTINGS | {"rise": 0}), folder).rc == 2


def test_curl_can_sign(host: Host) -> None:
    assert "--aws-sigv4" in host.check_output("curl --help all")
