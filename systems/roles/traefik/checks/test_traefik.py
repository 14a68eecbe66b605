"""What an artefact with Traefik has to be."""

from __future__ import annotations

import json

from testinfra.host import Host

from smie.checks.facts import RoleFacts
from smie.checks.fixtures import AsUser

PORT = 18082  # of nobody, also in a machine where Traefik runs
SETTINGS = f"""
ping: {{entryPoint: ping}}
entryPoints: {{ping: {{address: "127.0.0.1:{PORT}"}}}}
"""
START = f"""
    traefik --configFile=$1/traefik.yml >$1/log 2>&1 & process=$!
    for n in $(seq 100); do
      curl -sf http://127.0.0.1:{PORT}/ping && break
      kill -0 $process || break
      sleep 0.1
    done
    ps -o user= -p $process; kill $process; cat $1/log
"""
TREE = {
    "http/routers/s3/rule": "Host(`s3.example.test`)",
    "http/routers/s3/service": "radosgw",
    "http/routers/s3/tls": "true",
    "http/services/radosgw/loadBalancer/servers/0/url": "http://127.0.0.1:7480",
}
CHECK = "cat >$1/tree.json; exec /usr/local/lib/seter/traefik-tree check $1/tree.json"


def test_traefik_is_there_in_the_version_of_the_role(host: Host, role: RoleFacts) -> None:
    assert role.version in host.check_output("/usr/local/bin/traefik version").split()


def test_traefik_starts_as_its_user_and_answers(as_user: AsUser, folder: str) -> None:
    started = as_user(f"echo '{SETTINGS}' >$1/traefik.yml\n{START}", folder)
    assert started.stdout.split()[:1] == ["OKtraefik"], started.stdout + started.stderr


def test_it_may_listen_on_ports_below_1024_and_do_nothing_else_of_root(as_user: AsUser) -> None:
    said = dict(line.split(":", 1) for line in as_user("cat /proc/self/status").stdout.splitlines())
    assert {int(said[name], 16) for name in ("CapEff", "CapAmb", "CapBnd")} == {1 << 10}  # CAP_NET_BIND_SERVICE


def test_a_tree_with_a_fault_is_refused_and_one_without_is_not(as_user: AsUser, folder: str) -> None:
    bad = TREE | {"http/services/radosgw/loadBalancer/strategy": "nope"}
    good, refused = (as_user(f"echo '{json.dumps(tree)}' | ({CHECK})", folder) for tree in (TREE, bad))
    assert good.rc == 0, good.stdout + good.stderr
    assert refused.rc == 2 and "must be one of" in refused.stdout + refused.stderr
