"""Two slots of a disk: what a host says of them, what is planned, and the programs that are sent there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seter.plan import Act, make_plan
from seter.provisioner import hosts, onslots, onwriting
from seter.provisioner.sent import program
from seter.provisioner.ssh import BOOT
from seter.recorded import read_states, write_states
from seter.state import NodeState, Observed, Place, RoleState, Wanted, WantedGroup, WantedRole
from tests.lab.programs import program as found

WEB = RoleState("sha256:new", "f", "p", "s")
WANTED = Wanted(
    "s/t/i",
    (),
    (WantedGroup("g", (WantedRole("web"),), ("n1",), "n1"),),
    {"n1": NodeState("shape", "f", "k", (("web", WEB),), system="sha256:new")},
)
PARTS = {"esp": (1, 1), "root-a": (2, 2), "root-b": (3, 3), "state": (4, 4)}


def seen(**more: Any) -> Observed:
    state = replace(WANTED.nodes["n1"], identity="life", slot="a", **more)
    return Observed({}, {"n1": state}, {"n1": Place("g", 1, 1)})


def steps(observed: Observed) -> list[tuple[str, str]]:
    return [(step.act.value, step.role) for step in make_plan(WANTED, observed).steps]


def test_another_system_is_written_to_the_slot_that_does_not_run_and_all_starts_anew() -> None:
    observed = seen(system="sha256:old")
    assert steps(observed) == [("write slot", ""), ("write files", ""), ("start", "web")]
    reason = make_plan(WANTED, observed).steps[0].reason
    assert reason == "its system differs: will be written to slot b and rebooted"
    assert Act.WRITE_SLOT.needs_withdrawal and Act.WRITE_SLOT.makes_node


def test_what_is_on_trial_is_kept_if_it_is_what_is_wanted_and_written_over_if_not() -> None:
    assert steps(seen(on_trial=True)) == [("keep slot", "")]
    assert not Act.KEEP_SLOT.needs_withdrawal
    assert "to slot a" in make_plan(WANTED, seen(on_trial=True, system="sha256:old")).steps[0].reason
    assert steps(seen()) == []


def test_a_system_that_somebody_changed_by_hand_is_written_again() -> None:
    reason = make_plan(WANTED, seen(system="changed: curl")).steps[0].reason
    assert reason == "its packages or programs were changed: will be written to slot b and rebooted"


def test_a_host_that_is_new_is_written_whatever_it_runs() -> None:
    acts = [act for act, _ in steps(Observed({}, {}, {}))]
    assert acts == ["make node", "write slot", "write files", "start"]


def test_a_host_without_power_is_given_it_before_anybody_says_what_it_runs() -> None:
    assert steps(seen(running=False, system=""))[0] == ("replace node", "")


def test_what_a_run_left_says_which_system_it_was() -> None:
    left, _ = read_states(write_states(seen(), {}), "states")
    assert left.nodes["n1"].system == "sha256:new"


def said(**more: Any) -> dict[str, Any]:
    return {
        "identity": "id",
        "mark": {"shape": "shape"},
        "units": {},
        "installed": {"web": {"artifact": "sha256:new", "differs": []}},
        "lying": "",
        "slots": {"booted": "b", "default": "a", "artifact": "sha256:new", "before": "a"},
    } | more


def test_a_host_says_which_slot_runs_what_is_in_it_and_that_it_is_on_trial() -> None:
    state = hosts.node_state(said(), b"k")
    assert (state.slot, state.system, state.on_trial, state.kept) == ("b", "sha256:new", True, True)
    kept = hosts.node_state(said(slots={**said()["slots"], "default": "b", "before": ""}), b"k")
    assert (kept.on_trial, kept.kept) == (False, False)
    changed = hosts.node_state(said(installed={"web": {"artifact": "sha256:new", "differs": ["curl"]}}), b"k")
    assert changed.system == "changed: curl"
    assert hosts.node_state(said(slots={}), b"k").system == ""


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """Partitions as /sys/dev/block has them (sysfs of the kernel's documentation)."""
    disk = tmp_path / "devices" / "sda"
    links = tmp_path / "block"
    links.mkdir(parents=True)
    for name, (number, minor) in PARTS.items():
        folder = disk / f"sda{number}"
        folder.mkdir(parents=True)
        (folder / "partition").write_text(f"{number}\n")
        text = f"MAJOR=8\nMINOR={minor}\nDEVNAME=sda{number}\nDEVTYPE=partition\nPARTN={number}\nPARTNAME={name}\n"
        (folder / "uevent").write_text(text)
        (links / f"8:{minor}").symlink_to(folder)
    return links


def test_partitions_are_those_of_the_disk_that_the_root_is_on(blocks: Path) -> None:
    parts = onslots.partitions(os.makedev(8, 3), blocks)
    assert {name: (part.device, part.number) for name, part in parts.items()} == {
        name: (f"/dev/sda{number}", os.makedev(8, minor)) for name, (number, minor) in PARTS.items()
    }
    assert onslots.partitions(os.makedev(9, 9), blocks) == {}
    assert onslots.booted({}) == ""


@pytest.mark.parametrize(
    ("variable", "file", "slot"),
    [
        ("b.conf", "default a.conf", "b"),
        (None, "timeout 0\ndefault a.conf\n", "a"),
        (None, "default  b\n", "b"),
        ("@saved", "default a.conf", ""),
        ("", "", ""),
        (None, "default", ""),
    ],
)
def test_the_firmware_s_variable_says_what_boots_and_else_the_file(
    tmp_path: Path, variable: str | None, file: str, slot: str
) -> None:
    (tmp_path / "loader").mkdir()
    (tmp_path / "loader" / "loader.conf").write_text(file)
    if variable is not None:
        (tmp_path / onslots.DEFAULT).write_bytes(b"\7\0\0\0" + f"{variable}\0".encode("utf-16-le"))
    assert onslots.default(tmp_path, tmp_path) == slot


def test_an_entry_of_the_other_slot_differs_in_what_it_has_to_alone() -> None:
    entry = "title Slot a\nlinux /slot-a/vmlinuz\ninitrd /slot-a/initrd\noptions root=PARTUUID=1-2 rw panic=10"
    assert onwriting.entry_of(entry, "a", "b", "3-4") == (
        "title Slot b\nlinux /slot-b/vmlinuz\ninitrd /slot-b/initrd\noptions root=PARTUUID=3-4 rw panic=10\n"
    )


def packed(folder: Path, **files: bytes) -> bytes:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid = len(data), 33
            made.addfile(entry, io.BytesIO(data))
    (folder / "tar").write_bytes(tar.getvalue())
    return subprocess.run([found("zstd"), "-qc", str(folder / "tar")], capture_output=True, check=True).stdout


def unpacked(data: bytes, digest: str, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into.mkdir(exist_ok=True)
    monkeypatch.setattr(onwriting, "NEW", into)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    onwriting.unpack(digest)


def test_what_arrives_is_unpacked_and_what_is_cut_off_or_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = packed(tmp_path, a=b"hello", b=os.urandom(1 << 20))
    digest = hashlib.sha256(data).hexdigest()
    unpacked(data, digest, tmp_path / "whole", monkeypatch)
    assert (tmp_path / "whole" / "a").read_bytes() == b"hello" and (tmp_path / "whole" / "a").stat().st_uid == 33
    for wrong in (data[: len(data) // 2], b"", data + b"\0"):
        with pytest.raises(SystemExit, match="not what was sent"):
            unpacked(wrong, digest, tmp_path / "part", monkeypatch)


def test_a_slot_says_what_it_is_and_has_somebody_who_waits_to_be_heard(tmp_path: Path) -> None:
    onwriting.plant(tmp_path, "b", "sha256:x", "120", "60")
    assert json.loads((tmp_path / "etc/seter-slot.json").read_text()) == {"artifact": "sha256:x"}
    unit = tmp_path / "etc/systemd/system/sysinit.target.wants/confirm-slot.service"
    assert "/etc/seter/confirm-slot b 120 60\n" in unit.read_text()
    nobody = tmp_path / "nobody"
    onwriting.plant(nobody, "b", "sha256:x", "120", "0")
    assert not list(nobody.rglob("confirm-slot*"))


def test_the_newest_kernel_is_booted_with_its_ram_disk(tmp_path: Path) -> None:
    boot = tmp_path / "boot"
    boot.mkdir()
    for version in ("6.12.9-amd64", "6.12.10-amd64"):
        (boot / f"vmlinuz-{version}").write_text(f"kernel {version}")
        (boot / f"initrd.img-{version}").write_text(f"disk {version}")
    slot = tmp_path / "slot-b"
    slot.mkdir()
    (slot / "old").touch()
    onwriting.put_kernel(tmp_path, slot)
    assert {path.name: path.read_text() for path in slot.iterdir()} == {
        "vmlinuz": "kernel 6.12.10-amd64", "initrd": "disk 6.12.10-amd64",
    }  # fmt: skip
    with pytest.raises(SystemExit, match="no kernel"):
        onwriting.put_kernel(tmp_path / "slot-b", slot)


def test_an_artefact_that_would_lock_us_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    with pytest.raises(SystemExit, match="no user ops"):
        onwriting.let_in(tmp_path, "ops")


@pytest.fixture
def watching(tmp_path: Path) -> list[str]:
    """The watch of a slot b, on folders of the test; what would reboot leaves a file."""
    (tmp_path / "run").mkdir()
    text = onwriting.WATCH.replace(str(onslots.VARIABLES), str(tmp_path)).replace(
        str(onslots.RUN), str(tmp_path / "run")
    )
    text = text.replace("systemctl reboot --force", f"touch {tmp_path}/rebooted; exit 0")
    text = "\n".join(line for line in text.splitlines() if "sysrq" not in line)
    assert str(tmp_path) in text
    return ["sh", "-c", text, "watch", "b"]


def heard(folder: Path) -> None:
    (folder / "run" / "heard").write_text(Path("/proc/uptime").read_text().partition(".")[0])


def test_a_slot_that_nobody_confirms_is_left(watching: list[str], tmp_path: Path) -> None:
    subprocess.run([*watching, "1", "1"], check=True, timeout=30)
    assert (tmp_path / "rebooted").exists()


def test_a_slot_that_boots_without_a_word_or_was_confirmed_waits_for_nobody(
    watching: list[str], tmp_path: Path
) -> None:
    (tmp_path / onslots.DEFAULT).write_bytes(b"\7\0\0\0" + "b.conf\0".encode("utf-16-le"))
    subprocess.run([*watching, "0", "0"], check=True, timeout=30)
    (tmp_path / onslots.DEFAULT).write_bytes(b"\7\0\0\0" + "a.conf\0".encode("utf-16-le"))
    (tmp_path / "run" / "confirmed").touch()
    subprocess.run([*watching, "0", "0"], check=True, timeout=30)
    assert not (tmp_path / "rebooted").exists()


def test_who_is_heard_puts_it_off_and_a_wrong_clock_does_not(watching: list[str], tmp_path: Path) -> None:
    with subprocess.Popen([*watching, "2", "2"]) as process:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            heard(tmp_path)
            assert process.poll() is None
            time.sleep(0.2)
        assert process.wait(20) == 0
    assert (tmp_path / "rebooted").exists()


def sent(name: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """As a host runs it: nothing of ours is there."""
    text = program(name).encode()
    argv = [sys.executable, "-IS", "-c", BOOT, str(len(text)), *words]
    return subprocess.run(argv, input=text, capture_output=True, timeout=60, cwd="/")


def test_programs_find_their_parts_where_nothing_else_of_ours_is() -> None:
    ended = sent("onhost", "look")
    assert ended.returncode == 0, ended.stderr
    assert set(json.loads(ended.stdout)) >= {"identity", "release", "slots", "mark"}
    assert b"missing 4 required positional arguments" in sent("onwriting", "slot-write").stderr
