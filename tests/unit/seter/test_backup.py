"""Which file of a node is taken for a copy, and which roles can give one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from common.errors import BadInput, Corrupt
from common.role import Process, Restore, Role, RoleType
from common.system import Deployment, Node, System, Target
from seter.able import able, said_by
from seter.backup import _is_own, backup_of
from seter.blueprint import Blueprint, Seat
from seter.provisioner.interface import Answer
from seter.secrets import decrypt_stream, encrypt_stream

ETCD = Role(
    "etcd", RoleType.SERVICE, "", Path(), process=Process(("etcd",)), backup=("save",), restore=Restore(("p",), ("c",))
)
BIRD = Role("bird", RoleType.SERVICE, "", Path(), process=Process(("bird",)))
SEAT = Seat(Node("gw1", "gateways"), ETCD, {}, "")


def blueprint(*roles: Role) -> Blueprint:
    seats = tuple(Seat(Node(name, "g"), role, {}, "") for role in roles for name in ("gw1", "gw2"))
    system, target = System("s", "", (), ()), Target("t", "container", (), Path())
    return Blueprint(Deployment("s", "t", "i"), system, target, seats, Path())


@pytest.mark.parametrize(
    ("copy", "own"),
    [
        ("/var/lib/seter/etcd/backup-1/snapshot.db", True),
        ("/var/lib/seter/etcd/snapshot.db", False),  # its folder is the role's whole state, which must not be removed
        ("/var/lib/seter/traefik/backup-1/snapshot.db", False),
        ("/var/lib/seter/etcd/../traefik/x/y", False),
        ("/etc/shadow", False),
        ("backup-1/snapshot.db", False),
    ],
)
def test_only_a_file_in_a_folder_of_its_own_is_taken_and_removed(copy: str, own: bool) -> None:
    assert _is_own(copy, SEAT) is own


def test_roles_that_can_are_found_and_others_are_said_so() -> None:
    found = able(blueprint(ETCD, BIRD), "", "backup")
    assert {name: [seat.node.name for seat in seats] for name, seats in found.items()} == {"etcd": ["gw1", "gw2"]}
    with pytest.raises(BadInput, match="no role 'bird' with a backup block"):
        able(blueprint(ETCD, BIRD), "bird", "backup")
    with pytest.raises(BadInput, match="no role of s/t/i has a maintain block"):
        able(blueprint(ETCD), "", "maintain")
    assert str(backup_of(blueprint(ETCD), "etcd")) == "file/s-t-i-etcd"


@pytest.mark.parametrize("said", ["", "[]", "nonsense"])
def test_a_program_that_says_no_json_is_named(said: str) -> None:
    with pytest.raises(Exception, match="etcd on gw1 says no JSON"):
        said_by(SEAT, Answer(0, said, ""))


def test_a_copy_is_for_the_operator_s_identity_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "one"))
    plain, sealed, back = io.BytesIO(b"PRIVATE KEY" * 100_000), io.BytesIO(), io.BytesIO()
    encrypt_stream(plain, sealed)
    assert b"PRIVATE" not in sealed.getvalue()
    sealed.seek(0)
    decrypt_stream(sealed, back, "copy")
    assert back.getvalue() == plain.getvalue()
    cut = io.BytesIO(sealed.getvalue()[:-100])
    with pytest.raises(Corrupt, match="copy cannot be decrypted"):
        decrypt_stream(cut, io.BytesIO(), "copy")
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "other"))
    encrypt_stream(io.BytesIO(b"x"), io.BytesIO())
    sealed.seek(0)
    with pytest.raises(Corrupt):
        decrypt_stream(sealed, io.BytesIO(), "copy")
