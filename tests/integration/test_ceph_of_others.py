"""A balancer in front of a Ceph cluster that is there already: its monitors by address, a key that its owner gave.

The cluster of the deployment that other tests use stands for another team's; the way there is through this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.values import shown
from tests.conftest import Ended, Running
from tests.integration.test_roles_services import run, says
from tests.lab.variants import shared

CLIENT, TENANT = "client.rgw.front", "front"
CONF = "/etc/seter/now/ceph-mon/ceph.conf"
SYSTEM = """
system "front" {
  summary = "Gateways in front of a cluster that is there already"

  parameters {
    vips     = ["192.0.2.10", "2001:db8::10"]
    dns_name = "s3.example.test"
  }

  group "gateways" {
    role "network" {
      addresses = "vips"
    }
    role "etcd" {
      members = "gateways"
    }
    role "radosgw" {
      monitors  = ""
      mon_host  = [@ADDRESS@]
      fsid      = @FSID@
      client    = @CLIENT@
      key       = @KEY@
      tenant    = @TENANT@
      balancers = "gateways"
    }
    role "traefik-guard" {}
    role "traefik" {
      backends = "gateways"
    }
  }

  group "clients" {
    role "network" {
      routes_to = "vips"
      via       = "gateways"
    }
    role "s3-client" {}
  }

  check "round-trip" {
    s3     = "dns_name"
    on     = "clients"
    within = "30s"
  }
}
"""
TARGET = """
target "container" {
  kind  = "container"
  image = "debian-13"

  network "fabric" {}

  nodes "gateways" {
    node "fr1" {
      networks = ["fabric"]
    }
  }
  nodes "clients" {
    node "fc1" {
      networks = ["fabric"]
    }
  }
}
"""


@dataclass(frozen=True)
class Front:
    """The deployment of the balancer."""

    running: Running  # whose cluster it is
    systems: Path
    instance: str

    def seter(self, verb: str, *words: str, **options: Any) -> Ended:
        where = ("--target", "container", "--instance", self.instance, "--systems", str(self.systems))
        return self.running.tools("seter", verb, "front", *where, *words, **options)


def monitor(running: Running, *argv: str) -> str:
    """A command of the cluster's administrator."""
    return run(running, "st1", "ceph-mon", "ceph", "-c", CONF, *argv, user="ceph")


@contextmanager
def way_to(subnet: str) -> Iterator[None]:
    """The engine lets nothing pass from one of its networks to another, but for what this chain says (docs.docker.com,
    "Packet filtering and firewalls")."""
    rules = [("-s", subnet), ("-d", subnet)]
    try:
        for rule in rules:
            subprocess.run(["iptables", "-I", "DOCKER-USER", *rule, "-j", "ACCEPT"], check=True, timeout=30)
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-D", "DOCKER-USER", *rule, "-j", "ACCEPT"], check=False, timeout=30)


@pytest.fixture(scope="module")
def front(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    keyring, systems = folder / "front.keyring", shared(folder)
    caps = ("mon", "allow rw", "osd", "allow rwx")
    keyring.write_text(monitor(running, "auth", "get-or-create", CLIENT, *caps))
    network = f"s3-lb.container.{running.instance}.fabric"
    form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    address = running.docker("inspect", "-f", form, f"s3-lb.container.{running.instance}.st1")
    subnet = running.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", network)
    facts = {"ADDRESS": address, "FSID": monitor(running, "fsid"), "CLIENT": CLIENT, "KEY": str(keyring)}
    text = SYSTEM
    for name, value in (facts | {"TENANT": TENANT}).items():
        text = text.replace(f"@{name}@", shown(value))
    (systems / "front" / "targets").mkdir(parents=True)
    (systems / "front" / "system.hcl").write_text(text)
    (systems / "front" / "targets" / "container.hcl").write_text(TARGET)
    made = Front(running, systems, f"front-{os.getpid()}")
    with way_to(subnet):
        try:
            made.seter("deploy", "--yes")
            yield made
        finally:
            made.seter("destroy", "--yes", "--forget", code=None)
            monitor(running, "auth", "rm", CLIENT)


def admin(running: Running, *argv: str) -> Any:
    """What the cluster's owner sees with a gateway's own name."""
    conf = ("-c", "/etc/seter/now/radosgw/ceph.conf", "-n", "client.rgw", "--admin-socket=")
    return json.loads(run(running, "gw1", "radosgw", "radosgw-admin", *conf, *argv, user="ceph"))


@pytest.mark.long
def test_objects_go_into_the_cluster_of_others_and_nobody_there_notices(front: Front) -> None:
    client = f"front.container.{front.instance}.fc1.s3-client"
    argv = ("/usr/local/lib/seter/s3-client", "round-trip", "--size", "20MiB", "--json")
    found = json.loads(front.running.docker("exec", client, *argv))
    assert found["ok"] and found["multipart"]
    theirs = admin(front.running, "bucket", "list", "--uid", f"{TENANT}$seter")
    assert {"canary", "round-trip"} <= set(theirs), "kept apart from buckets of the same name"
    assert admin(front.running, "user", "info", "--uid", "seter")["keys"][0]["user"] == "seter"
    own = says(front.running, "cl1", "s3-client", "s3-client", "round-trip", "--json")
    assert own["ok"], "whose cluster it is has its keys still"


@pytest.mark.long
def test_the_balancer_is_settled_and_its_key_stays_with_the_operator(front: Front) -> None:
    assert "no change" in front.seter("deploy", "--yes").out
    keyring = front.systems.parent / "front.keyring"
    keyring.unlink()
    ended = front.seter("plan", code=2)
    assert "the Ceph key of your own cannot be read" in ended.err, "it is kept nowhere"
