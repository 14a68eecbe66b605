"""What an artefact with node-exporter has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.facts import RoleFacts
from smie.checks.fixtures import AsUser

PORT = 19100  # of nobody
START = f"""
    printf '%s\n' --web.listen-address=127.0.0.1:{PORT} --collector.disable-defaults --collector.netdev \
      --collector.filesystem --log.level=error >$1/flags
    prometheus-node-exporter @$1/flags 2>$1/log & process=$!
    for n in $(seq 50); do
      curl -sf http://127.0.0.1:{PORT}/metrics && break
      kill -0 $process || break
      sleep 0.1
    done
    kill $process; cat $1/log
"""


def test_node_exporter_is_there_in_the_version_of_the_package(host: Host, role: RoleFacts) -> None:
    wanted = role.version.partition("-")[0]
    assert wanted in host.check_output("prometheus-node-exporter --version 2>&1")


def test_it_tells_what_it_is_asked_for_alone(as_user: AsUser, folder: str) -> None:
    said = as_user(START, folder).stdout
    assert "node_network_receive_bytes_total" in said and "node_cpu_seconds_total" not in said, said
