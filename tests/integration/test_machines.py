"""Virtual machines as Terraform makes them on this machine: real Terraform, QEMU and interfaces, and a disk with
nothing on it, so that nobody has to wait for a boot. What boots is in test_machines_boot.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.errors import Conflict
from common.run import run
from seter.keep.interface import MACHINES
from seter.provisioner import emulate
from seter.provisioner.modules import Life
from seter.provisioner.units import LEFT
from seter.terraform import TerraformFailed
from tests.conftest import ROOT
from tests.lab.machine import NODE, Lab
from tests.lab.programs import program, with_tools

GONE_WITHIN = 60  # seconds that a program of a run that was ended may take to end


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))
    monkeypatch.setenv("PATH", with_tools())
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        again = Lab(tmp_path)
        with again.leased():
            again.down()


def interfaces(lab: Lab) -> set[str]:
    """Those of ours."""
    names = {lab.network["bridge"], *(card["tap"] for card in lab.node["cards"])}
    return names & {each["ifname"] for each in json.loads(run(("ip", "-json", "link", "show")).stdout) if each}


def state(lab: Lab) -> dict[str, object]:
    found = json.loads(lab.units.machines.read().units[NODE].state)
    assert isinstance(found, dict)
    return found


def test_a_machine_is_made_kept_started_again_changed_and_removed(lab: Lab) -> None:
    with lab.leased():
        assert [change.actions for change in lab.up()] == [("create",)] * 3
        assert lab.life is Life.STARTING and len(interfaces(lab)) == 2
        process = emulate.process(Path(lab.node["folder"]), lab.node["name"])
        assert lab.up() == ()
        lab.qemu.cut(lab.node)
        assert lab.life is Life.OFF
        assert [str(change) for change in lab.up()] == ["replace terraform_data.machine"]
        assert lab.life is Life.STARTING
        lab.memory = 96
        foreseen = lab.units.foresee(NODE, lab.node, lab.qemu.config(lab.node))
        assert [str(change) for change in foreseen] == ["replace terraform_data.machine, since memory differ"]
        assert lab.up() == foreseen
        command = Path(f"/proc/{emulate.process(Path(lab.node['folder']), lab.node['name'])}/cmdline").read_bytes()
        assert b"\x0096M\x00" in command and b"canary" not in command
        assert not Path(f"/proc/{process}/cmdline").exists() or not Path(f"/proc/{process}/cmdline").read_bytes()
        lab.down()
    assert lab.life is Life.ABSENT and interfaces(lab) == set()
    filters = [run(("iptables", "-w", "-S"), check=False).stdout, run(("ip6tables", "-w", "-S"), check=False).stdout]
    assert all(lab.network["bridge"] not in text for text in filters)
    left = {path.name for path in lab.keep.folder.rglob("*") if path.is_file()}
    assert left <= {"lease", ".guard", MACHINES}


def test_the_state_lies_encrypted_and_nothing_of_it_in_clear(lab: Lab) -> None:
    with lab.leased():
        lab.up()
    assert state(lab)["resources"]
    for path in lab.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b'"lineage"' not in data and b"canary of the machine" not in data, path


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Making a disk takes a while, and says when it begins."""
    folder, begun = tmp_path / "bin", tmp_path / "begun"
    folder.mkdir()
    script = f'#!/bin/sh\ncase "$*" in *state.qcow2*) touch {begun}; sleep 2 ;; esac\nexec {program("qemu-img")} "$@"\n'
    (folder / "qemu-img").write_text(script)
    (folder / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return begun


def cut(lab: Lab, begun: Path, act: Callable[[subprocess.Popen[bytes]], None]) -> tuple[int, str]:
    """Make the machine in a process of its own; `act` on it in the middle. How it ended, and what it said."""
    argv = [sys.executable, "-m", "tests.lab.machine", "up", str(lab.folder)]
    made = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < deadline and made.poll() is None
        time.sleep(0.02)
    act(made)
    said = made.communicate(timeout=90)[1].decode()
    return made.returncode, said


def terraforms(lab: Lab) -> list[int]:
    """Processes of Terraform that work in the lab's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                inside = lab.folder in (entry / "cwd").readlink().parents
                if inside and b"terraform" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def finished(lab: Lab) -> None:
    """Nothing of the run that was cut is left running; the next one finishes, and then nothing is to be done."""
    deadline = time.monotonic() + GONE_WITHIN
    while terraforms(lab):
        assert time.monotonic() < deadline, "Terraform still runs"
        time.sleep(0.1)
    with lab.leased():
        lab.up()
        assert lab.life is Life.STARTING and lab.up() == ()
    assert not list(lab.folder.rglob("errored.tfstate")) and not list(lab.folder.rglob(LEFT))
    resources = state(lab)["resources"]
    assert isinstance(resources, list) and len(resources) == 3


def test_terraform_is_killed_and_the_next_run_finishes(lab: Lab, slow: Path) -> None:
    def kill(made: subprocess.Popen[bytes]) -> None:
        for number in terraforms(lab):
            os.kill(number, signal.SIGKILL)

    code, said = cut(lab, slow, kill)
    assert code == 1 and "terraform apply" in said and NODE in said
    finished(lab)


def test_seter_is_killed_and_the_next_run_finishes(lab: Lab, slow: Path) -> None:
    code, _ = cut(lab, slow, lambda made: made.kill())
    assert code == -signal.SIGKILL
    finished(lab)


def test_ctrl_c_interrupts_terraform_once_and_the_next_run_finishes(lab: Lab, slow: Path) -> None:
    code, _ = cut(lab, slow, lambda made: made.send_signal(signal.SIGINT))
    assert code == 130 and terraforms(lab) == []
    finished(lab)


def test_who_lost_the_lease_writes_no_state_and_says_so(lab: Lab, slow: Path) -> None:
    def check() -> None:
        if slow.exists():
            raise Conflict("this run has lost its lease to bob@there", resolution="Look with seter status.")

    with lab.keep.fenced(check), pytest.raises(Conflict, match="lost its lease to bob"):
        lab.up()
    assert lab.units.machines.read().units[NODE].state == ""
    assert not list(lab.folder.rglob("errored.tfstate")) and list(lab.folder.rglob(LEFT))
    finished(lab)


def test_without_a_lease_nothing_is_made(lab: Lab) -> None:
    with pytest.raises(Conflict, match="no lease"):
        lab.up()
    assert interfaces(lab) == set()


def test_a_bridge_of_others_is_left_alone(lab: Lab) -> None:
    name = lab.network["bridge"]
    run(("ip", "link", "add", "name", name, "type", "bridge"))
    run(("ip", "link", "set", "dev", name, "alias", "somebody's"))
    try:
        with lab.leased(), pytest.raises(TerraformFailed, match="is not ours"):
            lab.up()
    finally:
        run(("ip", "link", "del", "dev", name))
