"""What an artefact that guards a node has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.fixtures import AsUser

OPENING = {"role": "traefik", "name": "clients", "protocol": "tcp", "ports": ["80", "443"], "from": ["anyone"]}
SETTINGS = {"openings": [OPENING], "new_per_second": 0, "metrics_port": 9558, "metrics_address": "127.0.0.1"}
CHECK = "echo '%s' >$1/c.json; exec /usr/local/lib/seter/firewall --config $1/c.json check-config"


def test_settings_are_accepted_and_faults_in_them_refused(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stderr
    bad = SETTINGS | {"openings": [OPENING | {"ports": ["http"]}]}
    assert as_user(CHECK % json.dumps(bad), folder).rc == 2


def test_its_programs_are_there(host: Host) -> None:
    assert host.run("nft --version").rc == 0
