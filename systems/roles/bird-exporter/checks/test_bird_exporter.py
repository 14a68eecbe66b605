"""What an artefact with the exporter of BIRD has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.fixtures import AsUser

SETTINGS = {"socket": "/nobody", "expects": [], "metrics_port": 19324, "metrics_address": "127.0.0.1"}
START = """
    printf %s "$2" >$1/c
    /usr/local/lib/seter/bird-exporter --config $1/c run & process=$!
    for n in $(seq 50); do python3 -c "
import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:19324/metrics').read().decode())" && break
      sleep 0.1
    done 2>/dev/null
    kill $process; wait $process; echo ended with $?
"""


def test_without_bird_it_says_so_and_ends_when_it_is_told_to(as_user: AsUser, folder: str) -> None:
    said = as_user(START, folder, json.dumps(SETTINGS)).stdout
    assert "bird_up 0" in said and "ended with 0" in said, said


def test_settings_with_a_fault_are_refused(host: Host) -> None:
    said = host.run("/usr/local/lib/seter/bird-exporter --config /dev/null check-config")
    assert said.rc == 2 and "cannot be used" in said.stderr
