"""The system `ceph` by itself, several nodes of each kind: what it keeps outlives a disk and a monitor."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.conftest import Tools
from tests.lab.doors import Door
from tests.lab.s3servers import BUCKET, Server, server
from tests.lab.waiting import soon


@dataclass(frozen=True)
class Cluster:
    """A deployment of the system."""

    tools: Tools
    instance: str

    def seter(self, verb: str, *words: str, **options: Any) -> Any:
        return self.tools(
            "seter", verb, "ceph", "--target", "container", "--instance", self.instance, *words, **options
        )

    def docker(self, *argv: str) -> str:
        return subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=120, check=True).stdout.strip()

    def container(self, node: str, role: str = "") -> str:
        return ".".join(["ceph.container", self.instance, node, *([role] if role else [])])

    def disks(self) -> int:
        """How many are up, as a monitor that lives sees it; none while the monitors elect."""
        program = ("/usr/local/lib/seter/ceph-status", "/etc/seter/now/ceph-mon/ceph.conf")
        said = json.loads(self.seter("exec", "mon2", "ceph-mon", "--", *program, code=None).out)
        return int(said.get("cluster", {}).get("osds_up", 0))

    def gateway(self, node: str) -> Server:
        """S3 at the RadosGW of a node."""
        keys = (self.seter("exec", node, "radosgw", "--", "cat", f"/etc/seter/secrets/radosgw/{name}").out.strip()
                for name in ("s3-access-key", "s3-secret-key"))  # fmt: skip
        pid = int(self.docker("inspect", "--format", "{{.State.Pid}}", self.container(node)))
        return server(f"http://{Door(pid, 7480).address}", *keys)


@pytest.fixture(scope="module")
def cluster(tools: Tools) -> Iterator[Cluster]:
    tools("smie", "build", "ceph", timeout=1200)
    made = Cluster(tools, f"test-{os.getpid()}")
    try:
        made.seter("deploy", "--yes")
        yield made
    finally:
        made.seter("destroy", "--yes", "--forget", code=None)


def test_what_is_stored_outlives_a_disk_and_a_monitor(cluster: Cluster) -> None:
    first, second = cluster.gateway("rgw1"), cluster.gateway("rgw2")
    content = os.urandom(1 << 20)
    first.bucket("").signer.client.put_object(Bucket=BUCKET, Key="kept", Body=content)
    soon(lambda: cluster.disks() == 2, 60, "both disks")
    lost = [cluster.container("disk1", "ceph-osd"), cluster.container("mon1", "ceph-mon")]
    cluster.docker("kill", *lost)
    try:
        client = second.bucket("").signer.client
        soon(lambda: read(client, "kept") == content, 60, "what was stored before")
        soon(lambda: written(client, "later", content), 60, "what is stored meanwhile")
        assert read(client, "later") == content
    finally:
        cluster.docker("start", *lost)
    soon(lambda: cluster.disks() == 2, 90, "the disk is back")


def read(client: Any, key: str) -> bytes:
    """The object; nothing while the cluster takes leave of what was lost."""
    try:
        found: bytes = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    except (ReadTimeoutError, ClientError):
        return b""
    return found


def written(client: Any, key: str, content: bytes) -> bool:
    """A part of the disks' data is not written until the monitors have found the dead one out."""
    try:
        client.put_object(Bucket=BUCKET, Key=key, Body=content)
    except (ReadTimeoutError, ClientError):
        return False
    return True


def test_a_second_deploy_changes_nothing(cluster: Cluster) -> None:
    assert "no change" in cluster.seter("deploy", "--yes").out
