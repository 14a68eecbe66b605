"""What an artefact with the health agent has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.fixtures import AsUser

SETTINGS = {
    "services": [{"name": "main", "dns_name": "s3.example.test", "vips": ["192.0.2.10"], "protocols": ["vip4"]}],
    "interval": 0.1, "timeout": 1.0, "connect_within": 0.3,
    "fall": 2, "rise": 2, "calm": 60.0, "most": 300, "fresh_every": 10,
    "ca": "/etc/seter/secrets/health/ca.crt", "bird": "/run/bird/bird.ctl", "folder": "/run/health",
    "metrics_port": 9551, "metrics_address": "127.0.0.1",
}  # fmt: skip
CHECK = "echo '%s' >$1/health.json; exec /usr/local/lib/seter/health --config $1/health.json check-config"


def test_the_agent_may_speak_to_bird(host: Host) -> None:
    assert "bird" in host.check_output("id -nG health").split()
    assert host.check_output("getent group bird").split(":")[2] == "950"


def test_the_agent_accepts_its_settings_and_refuses_others(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stderr
    assert as_user(CHECK % json.dumps(SETTINGS | {"interval": "often"}), folder).rc == 2


def test_the_agent_can_verify_certificates(as_user: AsUser) -> None:
    assert as_user("python3 -c 'import ssl; ssl.create_default_context()'").rc == 0
