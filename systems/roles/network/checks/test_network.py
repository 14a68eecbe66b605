"""What an artefact that sets up a node's addresses has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.fixtures import AsUser

SETTINGS = {"addresses": ["192.0.2.10"], "routes": {"to": ["192.0.2.20"], "via": ["10.0.0.1"], "via6": []}}
CHECK = "echo '%s' >$1/network.json; exec /usr/local/lib/seter/network check $1/network.json"


def test_ip_is_there_and_speaks_json(host: Host) -> None:
    assert any(link["ifname"] == "lo" for link in json.loads(host.check_output("ip -json link show")))


def test_settings_are_accepted_and_faults_in_them_refused(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stdout + good.stderr
    assert as_user(CHECK % json.dumps(SETTINGS | {"addresses": ["nowhere"]}), folder).rc != 0
