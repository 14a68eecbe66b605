"""Five members of etcd and Alertmanagers on two nodes, deployed: what one of few cannot show."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ended, Tools
from tests.lab.variants import shared
from tests.lab.waiting import soon

FIVE, TWO = tuple(f"et{number}" for number in range(1, 6)), ("mo1", "mo2")
SYSTEM = """
system "quorums" {
  summary = "What votes, and what tells each other"

  group "members" {
    at_least = 5
    role "network" {}
    role "etcd" {
      members = "members"
    }
  }

  group "monitoring" {
    at_least = 2
    role "network" {}
    role "alertmanager" {
      members   = "monitoring"
      pages     = "http://127.0.0.1:9599/pages"
      page_wait = "1s"
    }
  }
}
"""
NODE = '    node "{}" {{\n      networks = ["fabric"]\n    }}\n'
ETCDCTL = (
    "etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert=/etc/seter/secrets/etcd/ca.crt",
    "--cert=/etc/seter/secrets/etcd/member.crt", "--key=/etc/seter/secrets/etcd/member.key", "--command-timeout=4s",
)  # fmt: skip


@dataclass(frozen=True)
class Quorums:
    """The deployment."""

    tools: Tools
    systems: Path
    instance: str

    def seter(self, verb: str, *words: str, **options: Any) -> Ended:
        where = ("--target", "container", "--instance", self.instance, "--systems", str(self.systems))
        return self.tools("seter", verb, "quorums", *where, *words, **options)

    def container(self, node: str, role: str) -> str:
        return f"quorums.container.{self.instance}.{node}.{role}"

    def docker(self, *argv: str, check: bool = True) -> str:
        return subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=60, check=check).stdout

    def run(self, node: str, role: str, *argv: str, check: bool = True) -> str:
        return self.docker("exec", "--user", role, self.container(node, role), *argv, check=check)

    def writes(self, node: str, value: str) -> bool:
        """Whether the member takes this."""
        return "OK" in self.run(node, "etcd", *ETCDCTL, "put", "key", value, check=False)

    def reads(self, node: str) -> str:
        return self.run(node, "etcd", *ETCDCTL, "get", "--print-value-only", "key").strip()


@pytest.fixture(scope="module")
def quorums(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quorums]:
    systems = shared(tmp_path_factory.mktemp("quorums"))
    folder = systems / "quorums"
    (folder / "targets").mkdir(parents=True)
    (folder / "system.hcl").write_text(SYSTEM)
    groups = "".join(
        f'  nodes "{group}" {{\n{"".join(map(NODE.format, nodes))}  }}\n'
        for group, nodes in (("members", FIVE), ("monitoring", TWO))
    )
    head = 'target "container" {\n  kind  = "container"\n  image = "debian-13"\n  network "fabric" {}\n'
    (folder / "targets" / "container.hcl").write_text(f"{head}{groups}}}\n")
    tools("smie", "build", "etcd", "alertmanager", "network", timeout=600)
    made = Quorums(tools, systems, f"quorums-{os.getpid()}")
    try:
        made.seter("deploy", "--yes")
        yield made
    finally:
        made.seter("destroy", "--yes", "--forget", code=None)


@pytest.mark.long
def test_five_members_do_without_two_and_not_without_three(quorums: Quorums) -> None:
    members = quorums.run("et1", "etcd", *ETCDCTL, "member", "list").splitlines()
    assert len(members) == 5 and all(line.endswith("false") and "started" in line for line in members), "all vote"
    gone = [quorums.container(node, "etcd") for node in FIVE[2:]]
    try:
        quorums.docker("kill", *gone[:2])
        soon(lambda: quorums.writes("et1", "three are left"), 15, "a leader among three")
        assert quorums.reads("et2") == "three are left"
        quorums.docker("kill", gone[2])
        assert not quorums.writes("et1", "two are left")
    finally:
        quorums.docker("start", *gone)
    soon(lambda: quorums.writes("et5", "five again"), 30, "all five")
    assert {quorums.reads(node) for node in FIVE} == {"five again"}


@pytest.mark.long
def test_a_member_that_lost_its_disk_comes_back_by_a_deploy(quorums: Quorums) -> None:
    of_node = ("--quiet", "--filter", f"name=quorums.container.{quorums.instance}.et4")
    quorums.docker("rm", "--force", *quorums.docker("ps", "--all", *of_node).split())
    quorums.docker("volume", "rm", *quorums.docker("volume", "ls", *of_node).split())
    quorums.seter("deploy", "--yes")
    soon(lambda: quorums.reads("et4") == "five again", 30, "what the others have")
    assert len(quorums.run("et1", "etcd", *ETCDCTL, "member", "list").splitlines()) == 5


def told(quorums: Quorums, name: str, seconds: int) -> list[dict[str, str]]:
    """What both receivers are told of an alert that both Alertmanagers hear of, as Prometheus sends it."""
    alert = [{"labels": {"alertname": name, "severity": "page", "deployment": "quorums", "node": "et1"}}]
    listen = ("/usr/local/lib/seter/alert-listen", "--seconds", str(seconds))
    post = ("curl", "-sf", "-H", "Content-Type: application/json", "-d", json.dumps(alert))
    with ThreadPoolExecutor() as pool:
        heard = [pool.submit(quorums.run, node, "alertmanager", *listen, check=False) for node in TWO]
        time.sleep(2.0)
        for node in TWO:
            quorums.run(node, "alertmanager", *post, "http://127.0.0.1:9093/api/v2/alerts", check=False)
        lines = [line for each in heard for line in each.result().splitlines()]
    return [found for found in map(json.loads, lines) if found.get("alertname") == name]


@pytest.mark.long
def test_of_two_alertmanagers_one_tells_and_when_it_is_gone_the_other_does(quorums: Quorums) -> None:
    status = json.loads(quorums.run("mo1", "alertmanager", "curl", "-sf", "http://127.0.0.1:9093/api/v2/status"))
    assert len(status["cluster"]["peers"]) == 2 and status["cluster"]["status"] == "ready"
    assert len(told(quorums, "Once", 30)) == 1
    quorums.docker("stop", quorums.container("mo1", "alertmanager"))
    try:
        assert len(told(quorums, "Other", 45)) == 1
    finally:
        quorums.docker("start", quorums.container("mo1", "alertmanager"))
