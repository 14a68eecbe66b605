"""etcd in the deployment: certificates drawn anew, a member's disk lost, backups taken and brought back, under load."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Running
from tests.integration.test_roles_services import GATEWAYS, PROGRAMS, container, run, says
from tests.lab.waiting import soon

SECRETS = "/etc/seter/secrets/etcd"
SLICE = 5  # seconds; a load has read its CA when it began
# Writes a key every 20 ms by mutual TLS, at the first member that takes it; files are read for each connection.
WRITE = """
import base64, http.client, json, os, ssl, sys, time
end, written, failed = time.monotonic() + float(sys.argv[1]), 0, []
folder = "/etc/seter/secrets/etcd/"
key = base64.b64encode(b"written").decode()
while time.monotonic() < end:
    faults = []
    for member in sys.argv[2:]:
        try:
            context = ssl.create_default_context(cafile=folder + "ca.crt")
            context.load_cert_chain(folder + "member.crt", folder + "member.key")
            connection = http.client.HTTPSConnection(member, 2379, context=context, timeout=5)
            connection.request("POST", "/v3/kv/put", json.dumps({"key": key, "value": key}))
            if (status := connection.getresponse().status) == 200:
                written += 1
                break
            faults.append([member, status])
        except (OSError, http.client.HTTPException) as fault:
            faults.append([member, str(fault)])
    else:
        failed.append(faults)
    time.sleep(0.02)
print(json.dumps([written, failed]))
"""


class Load:
    """S3 requests from the clients' network and writes to etcd, slice after slice, in containers of their own beside
    the nodes: what a roll-out restarts does not stop them."""

    def __init__(self, running: Running, *, s3: bool = True, writes: bool = True) -> None:
        self._running = running
        self._kinds = [kind for kind, wanted in ((self._s3, s3), (self._etcd, writes)) if wanted]
        self._ending = threading.Event()
        # Asked now: a roll-out takes the containers of roles away for a moment.
        self._images = {
            seat: running.docker("inspect", "--format", "{{.Image}}", container(running, *seat))
            for seat in (("cl1", "s3-client"), ("gw1", "etcd"))
        }
        self._members = [address(running, node) for node in GATEWAYS]
        self.requests, self.writes = 0, 0
        self.failed: list[Any] = []

    def _beside(self, node: str, role: str, user: int, *argv: str) -> Any:
        host = f"s3-lb.container.{self._running.instance}.{node}"
        said = self._running.docker(
            "run", "--rm", "--network", f"container:{host}", "--volumes-from", host, "--user", str(user),
            "--tmpfs", "/tmp", self._images[node, role], *argv, check=False,
        )  # fmt: skip
        return json.loads(said)

    def _s3(self) -> None:
        while not self._ending.is_set():
            argv = (f"{PROGRAMS}/s3-client", "load", "--seconds", str(SLICE), "--rate", "10", "--json")
            told = self._beside("cl1", "s3-client", 956, *argv)
            self.requests += told["requests"]
            self.failed += told["failures"]

    def _etcd(self) -> None:
        while not self._ending.is_set():
            argv = ("python3", "-c", WRITE, str(SLICE), *self._members)
            written, failed = self._beside("gw1", "etcd", 952, *argv)
            self.writes += written
            self.failed += failed

    @contextmanager
    def going(self) -> Iterator[Load]:
        threads = [threading.Thread(target=kind) for kind in self._kinds]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()


def address(running: Running, node: str) -> str:
    words = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
    return running.docker("inspect", "--format", words, f"s3-lb.container.{running.instance}.{node}").split()[0]


def rotated(running: Running, load: Load, *words: str) -> None:
    """Draw something anew under load; no request and no write fails."""
    with load.going():
        time.sleep(SLICE)
        running.seter("rotate", *words, "--yes", "--cut-after", "10", timeout=1800)
    assert load.requests > 20 and load.writes > 20
    assert not load.failed, load.failed[:5]


def certificates(running: Running, folder: str) -> None:
    """What the member of gw1 has now, into a folder of its container that only its user reads."""
    argv = ("sh", "-c", f"umask 077; rm -rf {folder}; mkdir {folder}; cp {SECRETS}/* {folder}/")
    run(running, "gw1", "etcd", *argv, user="etcd")


def asked_with(running: Running, folder: str) -> str:
    """What gw1's member says to the certificate in this folder; the CA that is trusted is today's."""
    argv = [word.replace(f"{SECRETS}/member", f"{folder}/member") for word in etcdctl("get", "written", "--keys-only")]
    return run(running, "gw1", "etcd", "sh", "-c", f"{' '.join(argv)} 2>&1", user="etcd", check=False)


def log_of(running: Running, node: str, role: str) -> str:
    ended = subprocess.run(["docker", "logs", container(running, node, role)], capture_output=True, text=True)
    return ended.stdout + ended.stderr


def started(running: Running, role: str) -> list[str]:
    names = [container(running, node, role) for node in GATEWAYS]
    return running.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", *names).splitlines()


def serial(running: Running, node: str) -> str:
    """Of the certificate that a member shows."""
    ask = (
        f"openssl s_client -connect {address(running, node)}:2379 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    )
    return run(running, "gw1", "traefik", "sh", "-c", ask, check=False)


@pytest.mark.long
def test_members_show_new_certificates_without_a_restart_and_nobody_notices(running: Running) -> None:
    before, shown = started(running, "etcd"), [serial(running, node) for node in GATEWAYS]
    rotated(running, Load(running), "--role", "etcd")
    assert started(running, "etcd") == before
    now = [serial(running, node) for node in GATEWAYS]
    assert all(now) and not set(now) & set(shown)


@pytest.mark.long
def test_the_ca_is_changed_under_load_and_what_the_old_one_signed_is_refused(running: Running) -> None:
    folder = "/var/lib/seter/etcd/test-old"
    certificates(running, folder)
    try:
        assert "written" in asked_with(running, folder)
        rotated(running, Load(running), "--authority")
        assert "written" in asked_with(running, SECRETS)
        assert "written" not in asked_with(running, folder)
        assert "signed by unknown authority" in log_of(running, "gw1", "etcd")
    finally:
        run(running, "gw1", "etcd", "rm", "-rf", folder, user="etcd")
    running.seter("plan", "--exit-code")
    running.seter("verify")


def put(running: Running, value: str) -> None:
    run(running, "gw2", "etcd", *etcdctl("put", "kept", value), user="etcd")


def kept(running: Running, node: str) -> str:
    argv = etcdctl("get", "kept", "--print-value-only")
    return run(running, node, "etcd", *argv, user="etcd", check=False)


def etcdctl(*words: str) -> tuple[str, ...]:
    return (
        "etcdctl", "--endpoints=https://127.0.0.1:2379", f"--cacert={SECRETS}/ca.crt", f"--cert={SECRETS}/member.crt",
        f"--key={SECRETS}/member.key", *words,
    )  # fmt: skip


@pytest.mark.long
def test_a_backup_is_brought_back_while_traefik_serves_and_the_next_deploy_has_the_last_word(
    running: Running, tmp_path: Path
) -> None:
    put(running, "before")
    (made,) = running.seter("backup", "--keep", "1", "--json").json()
    put(running, "after")
    running.tools("naust", "pull", made["artifact"], str(tmp_path / "copy"))
    sealed = (tmp_path / "copy").read_bytes()
    assert sealed.startswith(b"age-encryption.org/v1") and b"PRIVATE KEY" not in sealed
    with Load(running, writes=False).going() as load:
        time.sleep(SLICE)
        told = running.seter("restore", made["artifact"], "--yes", "--json").json()
        assert told["nodes"] == list(GATEWAYS)
        assert [kept(running, node) for node in GATEWAYS] == ["before"] * 3
        # The copy is older than what is deployed, so the next deploy writes what the definitions say.
        assert {step["act"] for step in running.seter("plan", "--json").json()["steps"]} == {"cluster"}
        running.seter("deploy", "--yes")
    assert load.requests > 20 and not load.failed, load.failed[:5]
    soon(
        lambda: all(says(running, node, "traefik-guard", "traefik-guard", "status")["ok"] for node in GATEWAYS), 20, ""
    )
    (again,) = running.seter("backup", "--keep", "1", "--json").json()
    assert again["removed"] == [made["artifact"]]
    left = "ls -d /var/lib/seter/etcd/backup-* /var/lib/seter/etcd/*.copy 2>/dev/null | wc -l"
    assert [run(running, node, "etcd", "sh", "-c", left, user="etcd") for node in GATEWAYS] == ["0"] * 3
    run(running, "gw1", "etcd", *etcdctl("del", "kept"), user="etcd")


def test_what_is_no_backup_of_ours_is_refused_before_anything_is_touched(running: Running) -> None:
    refused = running.seter("restore", "container/etcd", "--yes", code=2)
    assert "is no backup" in refused.err
    assert "needs a yes" in running.seter("restore", "--role", "etcd", code=2).err


def test_a_member_whose_disk_is_lost_comes_back_by_itself_while_writes_go_on(running: Running) -> None:
    name = container(running, "gw3", "etcd")
    with Load(running, s3=False).going() as load:
        run(running, "gw3", "etcd", "rm", "-rf", "/var/lib/seter/etcd/data", user="etcd")
        running.docker("kill", "--signal", "KILL", name)
        running.docker("start", name)
        soon(lambda: bool(says(running, "gw3", "etcd", "etcd-status").get("ok")), 60, "the member votes again")
        soon(lambda: load.writes > 10, 30, "writes go on")
    assert not load.failed, load.failed[:5]
    assert says(running, "gw1", "etcd", "etcd-launch", "settle") == {"members": list(GATEWAYS)}
    running.seter("plan", "--exit-code")


def test_maintenance_by_seter_does_nothing_where_there_is_nothing_to_do(running: Running) -> None:
    (told,) = running.seter("maintain", "--json").json()
    assert (told["role"], told["says"]["alarms_cleared"]) == ("etcd", [])
    assert "defragmented" in running.seter("maintain").out
