"""What an artefact with Alertmanager has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.facts import RoleFacts
from smie.checks.fixtures import AsUser

PORT = 19093  # of nobody
START = f"""
    printf '%s\n' 'route: {{receiver: none}}' 'receivers: [{{name: none}}]' >$1/alertmanager.yml
    printf '%s\n' --config.file=$1/alertmanager.yml --storage.path=$1/data --log.level=error \
      --cluster.listen-address= --web.listen-address=127.0.0.1:{PORT} >$1/flags
    prometheus-alertmanager @$1/flags 2>$1/log & process=$!
    for n in $(seq 100); do
      curl -sf http://127.0.0.1:{PORT}/-/ready && break
      kill -0 $process || break
      sleep 0.1
    done
    kill $process; cat $1/log
"""


def test_alertmanager_is_there_in_the_version_of_the_package(host: Host, role: RoleFacts) -> None:
    wanted = role.version.partition("+")[0]
    assert wanted in host.check_output("prometheus-alertmanager --version 2>&1")


def test_alertmanager_starts_as_its_user_and_is_ready(as_user: AsUser, folder: str) -> None:
    said = as_user(START, folder).stdout
    assert "OK" in said, said


def test_settings_with_a_fault_are_refused(as_user: AsUser, folder: str) -> None:
    assert as_user("echo 'route: {receiver: nobody}' >$1/c; exec amtool check-config $1/c", folder).rc != 0


def test_status_says_that_nobody_answers(host: Host) -> None:
    said = host.run("/usr/local/lib/seter/alertmanager-status")
    assert said.rc in (0, 1) and said.stdout.startswith("{"), said.stderr
