"""`seter doctor` where something is broken: each fault is one line, and hides no other."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from smie.otherwise import library
from tests.conftest import ROOT, Tools
from tests.lab.hosts import Hosts, hosts
from tests.lab.serving import process
from tests.lab.small_on_hosts import definitions, target

NODES = {"servers": ["w1", "w2"], "extra": ["x1"]}
ONE_DEAD_WITHIN = 30.0  # seconds, for ten to connect and what the rest needs
NOWHERE = "https://127.0.0.1:1"


@dataclass(frozen=True)
class Practice:
    """The small system on hosts, never deployed."""

    tools: Tools
    folder: Path
    lab: Hosts

    def point(self, **more: object) -> None:
        """Write the target."""
        text = target(self.lab, NODES).replace("  experiments = true\n", "")
        for name, value in more.items():
            text = text.replace("{\n", f'{{\n  {name} = "{value}"\n', 1)
        (self.folder / "definitions" / "small" / "targets" / "metal.hcl").write_text(text)

    def doctor(self, *words: str, code: int, **env: str) -> dict[tuple[str, str], tuple[str, str]]:
        """(subject, what) → (state, what it says)."""
        ended = self.tools("seter", "doctor", "small", "--target", "metal", "--json", *words, code=code, **env)
        found = {(each["subject"], each["what"]): (each["state"], each["says"]) for each in ended.json()["findings"]}
        assert all(each["fix"] for each in ended.json()["findings"] if each["state"] != "ok")
        return found

    def failing(self, *words: str, **env: str) -> dict[tuple[str, str], str]:
        return {key: says for key, (state, says) in self.doctor(*words, code=1, **env).items() if state == "fail"}


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    folder = tmp_path_factory.mktemp("doctor")
    env = {
        "SETER_SYSTEMS": str(definitions(folder)),
        "SETER_STATE": str(folder / "state"),
        "SETER_IDENTITY": str(folder / "identity"),
        "TF_CLI_CONFIG_FILE": "",
    }
    with hosts(folder, {"w1": ("front",), "w2": ("front",), "x1": ("front",)}, only_ssh=True) as lab:
        made = Practice(Tools(ROOT, env), folder, lab)
        made.point()
        yield made


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_where_all_is_well_nothing_is_changed_and_nothing_said(practice: Practice) -> None:
    first = practice.doctor(code=0)
    before = listing(practice.folder)
    assert practice.doctor(code=0).keys() == first.keys()
    assert listing(practice.folder) == before
    assert {state for state, _ in first.values()} == {"ok"}
    for node in practice.lab.machines:
        assert {what for subject, what in first if subject == node} >= {"ssh", "sudo", "python3", "release", "clock"}
        assert "logged in as ops within" in first[node, "ssh"][1]
        assert practice.lab[node].run("sh", "-c", "ls /etc/seter 2>/dev/null || true") == ""


@contextmanager
def undone(practice: Practice, node: str, do: str, undo: str) -> Iterator[None]:
    """A host that is broken until the end of the block."""
    practice.lab[node].run("sh", "-c", do)
    try:
        yield
    finally:
        practice.lab[node].run("sh", "-c", undo)


@pytest.mark.long
def test_three_hosts_with_three_faults_are_three_findings(practice: Practice) -> None:
    """A dead one, one without sudo, one whose disk is full and which belongs to somebody else."""
    lab, full = practice.lab, "mount -t tmpfs -o size=1m tmpfs /tmp && mkdir -p /etc/seter"
    mark = 'echo \'{"deployment": "other/metal/main"}\' >/etc/seter/host.json'
    with (
        undone(practice, "w2", "mv /etc/sudoers.d/ops /root/ops", "mv /root/ops /etc/sudoers.d/ops"),
        undone(practice, "x1", f"{full}; {mark}", "umount /tmp; rm -r /etc/seter"),
    ):
        lab["w1"].power("pause")
        try:
            begun = time.monotonic()
            found = practice.failing()
            assert time.monotonic() - begun < ONE_DEAD_WITHIN
        finally:
            lab["w1"].power("unpause")
    assert set(found) == {("w1", "ssh"), ("w2", "sudo"), ("x1", "disk /tmp"), ("x1", "mark")}
    assert "cannot be reached by SSH" in found["w1", "ssh"]
    assert "may not become root" in found["w2", "sudo"]
    assert "other/metal/main" in found["x1", "mark"]


@pytest.mark.long
def test_a_host_key_that_has_changed_is_found_though_a_connection_is_open(practice: Practice) -> None:
    keep = "cd /etc/ssh && cp -p ssh_host_ed25519_key ssh_host_ed25519_key.pub /root"
    anew = "rm ssh_host_*_key* && ssh-keygen -A >/dev/null && kill -HUP $(cat /run/sshd.pid)"
    back = "cp -p /root/ssh_host_ed25519_key* /etc/ssh && kill -HUP $(cat /run/sshd.pid)"
    with undone(practice, "w2", f"{keep} && {anew}", back):
        found = practice.failing()
    assert set(found) == {("w2", "ssh")} and "another host key" in found["w2", "ssh"]


@pytest.mark.long
def test_a_host_without_python_is_told(practice: Practice) -> None:
    with undone(practice, "x1", "mv /usr/bin/python3 /usr/bin/python3.off", "mv /usr/bin/python3.off /usr/bin/python3"):
        assert set(practice.failing()) == {("x1", "python3")}


@pytest.mark.long
def test_a_clock_of_ours_that_is_wrong_differs_from_every_host_s(practice: Practice) -> None:
    ours = {"LD_PRELOAD": str(library()), "FAKETIME": "-10m", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1"}
    found = practice.failing(**ours)
    assert set(found) == {(node, "clock") for node in practice.lab.machines}
    assert all("before this machine's" in says for says in found.values())


@pytest.mark.long
def test_keys_that_others_can_read_and_one_that_is_not_there(practice: Practice) -> None:
    practice.lab.key.chmod(0o644)
    (practice.folder / "identity").write_text("AGE-SECRET-KEY-1\n")
    (practice.folder / "identity").chmod(0o604)
    try:
        found = practice.failing()
        assert ("here", "identity_file") in found and ("state", "identity") in found
        assert ("w1", "ssh") in found  # ssh takes no such key
    finally:
        practice.lab.key.chmod(0o600)
        (practice.folder / "identity").unlink()


def test_a_store_that_is_away_and_a_state_that_is(practice: Practice) -> None:
    found = practice.failing("--store", NOWHERE, "--state", NOWHERE)
    assert set(found) == {("store", NOWHERE), ("state", NOWHERE)}


def test_a_store_that_serves_is_written_to_and_left_as_it_was(practice: Practice, tmp_path: Path) -> None:
    folder, log = tmp_path / "store", tmp_path / "log"
    with process(folder, "--anonymous", "admin", "--plain", log=log) as served:
        url = f"http://{served.host}"
        found = practice.doctor("--state", url, "--store", url, code=0)
        assert found["state", url] == ("ok", "can be written, with compare-and-swap")
        assert found["store", url] == ("warn", "is reached, and holds nothing")
        assert found["state", "clock"][0] == found["store", "clock"][0] == "ok"
    assert not [path for path in folder.rglob("*doctor*") if path.is_file()]


def test_a_state_without_room_is_found_by_writing(practice: Practice, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        (small / "filler").write_bytes(b"x" * (60 << 10))
        with (small / "rest").open("wb", buffering=0) as rest, pytest.raises(OSError, match="space"):
            while True:
                rest.write(b"x" * 4096)
        found = practice.failing("--state", str(small / "state"))
        assert {what for subject, what in found if subject == "here"} == {f"disk {small}"}
        assert any(subject == "state" for subject, _ in found)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_terraform_s_settings_that_are_nowhere_are_a_warning_for_whoever_does_not_use_it(practice: Practice) -> None:
    found = practice.doctor(code=0, TF_CLI_CONFIG_FILE="/nowhere/tf.rc")
    assert found["here", "TF_CLI_CONFIG_FILE"][0] == "warn"


def test_an_engine_that_is_away_is_one_finding(tools: Tools, tmp_path: Path) -> None:
    env: Mapping[str, str] = {"SETER_STATE": str(tmp_path), "SETER_SYSTEMS": str(ROOT / "tests/integration/small")}
    argv = ["seter", "doctor", "small", "--target", "container", "--json"]
    gone = tools(*argv, code=1, DOCKER_HOST="unix:///nowhere/docker.sock", **env)
    failed = [each for each in gone.json()["findings"] if each["state"] == "fail"]
    assert [each["what"] for each in failed] == ["container"]
    there = tools(*argv, **env).json()["findings"]
    assert {each["what"] for each in there if each["subject"] == "engine"} >= {"Docker", "clock"}


def test_it_reads_as_lines_for_a_program(practice: Practice) -> None:
    ended = practice.tools("seter", "doctor", "small", "--target", "metal")
    rows = [line.split("\t") for line in ended.out.splitlines()]
    assert {row[0] for row in rows} == {"ok"} and {len(row) for row in rows} == {5}
    assert "0 warn, 0 fail" in ended.err
