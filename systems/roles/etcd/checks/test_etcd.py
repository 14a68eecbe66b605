"""What an artefact with etcd has to be."""

from __future__ import annotations

from testinfra.host import Host

from smie.checks.facts import RoleFacts
from smie.checks.fixtures import AsUser

CLIENTS, PEERS = "http://127.0.0.1:12379", "http://127.0.0.1:12380"  # of nobody, also where a member runs
START = f"""
    etcd --name check --data-dir $1/data --listen-client-urls {CLIENTS} --advertise-client-urls {CLIENTS} \
      --listen-peer-urls {PEERS} --initial-advertise-peer-urls {PEERS} --initial-cluster check={PEERS} \
      --max-txn-ops 2048 --log-level error 2>$1/log & process=$!
    for n in $(seq 80); do
      etcdctl --endpoints {CLIENTS} put key value 2>/dev/null && break
      kill -0 $process || break
      sleep 0.1
    done
    etcdctl --endpoints {CLIENTS} get key && ps -o user= -p $process
    kill $process; cat $1/log
"""


def test_etcd_and_its_client_are_there_in_the_version_of_the_package(host: Host, role: RoleFacts) -> None:
    said = host.check_output("etcd --version; etcdctl version").split()
    assert said.count(role.version.partition("-")[0]) == 2


def test_etcd_starts_as_its_user_and_keeps_what_it_is_told(as_user: AsUser, folder: str) -> None:
    assert as_user(START, folder).stdout.split()[:4] == ["OK", "key", "value", "etcd"]


def test_etcd_status_says_in_json_that_nobody_answers(host: Host) -> None:
    said = host.run("/usr/local/lib/seter/etcd-status")
    assert said.rc in (0, 1) and '"ok":' in said.stdout, said.stderr
