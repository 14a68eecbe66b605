"""The command of an emulated machine, and what is told when it cannot run."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from common.machine import emulated
from common.machine.emulated import DoesNotAnswer, Hardware, Nic, argv, booted


def words(hardware: Hardware, **credentials: str) -> tuple[str, ...]:
    return argv(hardware, Path("/d/disk.qcow2"), Path("/m"), 2222, credentials)


def test_the_disk_is_never_written() -> None:
    drive = next(word for word in words(Hardware()) if "file=/d/disk.qcow2" in word)
    assert "snapshot=on" in drive.split(",") and "format=qcow2" in drive


def test_a_disk_without_the_name_of_a_qcow2_is_raw() -> None:
    made = argv(Hardware(), Path("/d/disk.img"), Path("/m"), 1, {})
    assert any("format=raw,snapshot=on,file=/d/disk.img" in word for word in made)


def test_a_credential_cannot_end_the_value_that_it_stands_in() -> None:
    """QEMU takes a comma for the end of a value."""
    text = "[Match]\nName=a,b\n"
    given = next(word for word in words(Hardware(), **{"network.network.10-lab": text}) if "credential" in word)
    name, _, value = given.removeprefix("type=11,value=io.systemd.credential.binary:").partition("=")
    assert name == "network.network.10-lab" and "," not in value
    assert base64.b64decode(value).decode() == text


def test_there_is_no_way_out_of_its_network_and_ssh_listens_on_loopback_alone() -> None:
    nets = [word for word in words(Hardware(nics=(Nic(wired=False), Nic("e1000e", slot=9)))) if "id=net" in word]
    assert nets[0] == "socket,udp=127.0.0.1:9,localaddr=127.0.0.1:0,id=net0"
    assert nets[1].startswith("user,restrict=on,") and "hostfwd=tcp:127.0.0.1:2222-:22" in nets[1]
    assert "e1000e,netdev=net1,romfile=,addr=0x9" in words(Hardware(nics=(Nic(), Nic("e1000e", slot=9))))


def test_the_firmware_is_read_only_and_its_variables_are_the_machines_own() -> None:
    flash = [word for word in words(Hardware()) if "pflash" in word]
    assert "readonly=on" in flash[0] and flash[1].endswith("file=/m/variables.fd")


def test_a_machine_that_cannot_start_says_so_with_what_qemu_said(tmp_path: Path) -> None:
    with pytest.raises(DoesNotAnswer, match="has died") as told, booted(tmp_path / "none.qcow2", tmp_path / "machine"):
        pass
    assert "none.qcow2" in told.value.details
    assert emulated.FIRMWARE.exists()
