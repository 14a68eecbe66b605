"""What an artefact that keeps a node in the ring of gateways has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.fixtures import AsUser

SETTINGS = {
    "address": "10.0.0.1", "number": 1, "members": [1, 2, 3], "vips": ["192.0.2.10", "2001:db8::10"],
    "ports": [80, 443], "rate": 20000, "metrics_port": 9553,
}  # fmt: skip
CHECK = "echo '%s' >$1/c.json; exec /usr/local/lib/seter/second-chance --config $1/c.json check-config"


def test_settings_are_accepted_and_faults_in_them_refused(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stderr
    assert as_user(CHECK % json.dumps(SETTINGS | {"number": 4}), folder).rc == 2


def test_its_programs_are_there(host: Host) -> None:
    assert host.run("nft --version").rc == 0 and host.run("ip -Version").rc == 0
