"""What an artefact with Prometheus has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.facts import RoleFacts
from smie.checks.fixtures import AsUser

PORT = 19090  # of nobody, also where Prometheus runs
START = f"""
    printf '%s\n' 'global: {{scrape_interval: 5s}}' >$1/prometheus.yml
    printf '%s\n' --config.file=$1/prometheus.yml --storage.tsdb.path=$1/data --log.level=error \
      --web.listen-address=127.0.0.1:{PORT} >$1/flags
    prometheus @$1/flags 2>$1/log & process=$!
    for n in $(seq 100); do
      curl -sf http://127.0.0.1:{PORT}/-/ready && break
      kill -0 $process || break
      sleep 0.1
    done
    ps -o user= -p $process; kill $process; cat $1/log
"""


def test_prometheus_is_there_in_the_version_of_the_package(host: Host, role: RoleFacts) -> None:
    wanted = role.version.partition("-")[0]
    assert wanted.partition("+")[0] in host.check_output("prometheus --version 2>&1")


def test_prometheus_starts_as_its_user_and_is_ready(as_user: AsUser, folder: str) -> None:
    said = as_user(START, folder).stdout
    assert "Ready" in said and "prometh" in said, said


def test_settings_with_a_fault_are_refused(as_user: AsUser, folder: str) -> None:
    assert as_user("echo 'global: {nonsense: 1}' >$1/c; exec promtool check config $1/c", folder).rc != 0


def test_prometheus_targets_says_what_it_found_and_does_not_break(host: Host) -> None:
    said = host.run("/usr/local/lib/seter/prometheus-targets")
    assert said.rc in (0, 1) and said.stdout.startswith("{"), said.stderr
