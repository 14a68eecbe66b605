"""What an artefact with the guard of Traefik's configuration has to be."""

from __future__ import annotations

import json

from smie.checks.fixtures import AsUser

SETTINGS = {
    "etcd": "127.0.0.1:2379",
    "secrets": "/tmp",
    "folder": "/tmp",
    "metrics_port": 9554,
    "metrics_address": "127.0.0.1",
    "always": {},
}
CHECK = "echo '%s' >$1/c.json; exec /usr/local/lib/seter/traefik-guard --config $1/c.json check-config"


def test_settings_are_accepted_and_faults_in_them_refused(as_user: AsUser, folder: str) -> None:
    good = as_user(CHECK % json.dumps(SETTINGS), folder)
    assert good.rc == 0, good.stderr
    assert as_user(CHECK % json.dumps(SETTINGS | {"etcd": "nowhere"}), folder).rc == 2
