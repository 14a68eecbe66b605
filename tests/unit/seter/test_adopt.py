"""What is read back of nodes whose record was lost, and whose they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import Conflict
from common.role import Process, Role, SecretNeed
from seter.adopt import agreed
from seter.certificates import make_authority, make_certificate, names_in
from seter.keep.folder import FolderCells
from seter.provisioner import claimed
from seter.secrets import Stage, Wish, open_vault, restored

NAMES = ["w1", "10.0.0.1", "fd00::1", "localhost", "127.0.0.1", "::1", "*.example.test"]


def test_a_certificate_says_what_it_was_made_for_in_the_same_order() -> None:
    pair = make_certificate(make_authority("lb"), "w1", NAMES)
    assert list(names_in(pair.certificate)) == NAMES


def test_nodes_that_do_not_agree_on_a_secret_are_named() -> None:
    one, other = {"deployment/password/token": {"value": "a"}}, {"deployment/password/token": {"value": "b"}}
    assert agreed([("w1", one), ("w2", one)]) == one
    with pytest.raises(Conflict, match="w1 and w2 do not have the same deployment/password/token") as error:
        agreed([("w1", one), ("w2", other)])
    assert "value" not in str(error.value).replace("values", "")


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))


@pytest.mark.usefixtures("identity")
def test_what_was_found_is_kept_and_a_new_ca_is_trusted_beside_the_old_one(tmp_path: Path) -> None:
    """The certificate stays, until the change of the CA that has begun is gone on with."""
    old = make_authority("lb")
    pair = make_certificate(old, "w1", NAMES)
    need = SecretNeed("server", "certificate", "node", ("node",))
    wish = Wish(Role("web", "service", "", Path(), process=Process(("true",))), need, "w1", tuple(NAMES))
    found = {
        wish.key: {"certificate": pair.certificate, "key": pair.key, "names": " ".join(NAMES)},
        "own/authority": {"certificate": old.certificate, "key": ""},
    }
    restored(FolderCells(tmp_path / "cells"), "lb", found).save()
    vault = open_vault(FolderCells(tmp_path / "cells"), "lb")
    assert vault.stage is Stage.TRUSTED and not vault.is_new
    files = {file.path: file.data.decode() for file in vault.files(wish)}
    assert (files["server.crt"], files["server.key"]) == (pair.certificate, pair.key)
    assert files["ca.crt"].startswith(old.certificate) and files["ca.crt"].count("BEGIN CERTIFICATE") == 2
    other = Wish(wish.role, need, "w9", ("w9",))  # a node more: nobody can sign with the old CA
    assert "BEGIN CERTIFICATE" in {file.path: file.data.decode() for file in vault.files(other)}["server.crt"]
    vault.adopt_next()
    assert {file.path: file.data.decode() for file in vault.files(wish)}["server.crt"] != pair.certificate


@pytest.mark.parametrize(
    ("mark", "old", "code", "after"),
    [
        ('{"deployment": "a/b/c", "index": 2}', "a/b/c", 0, '"x/y/z"'),
        ('{"deployment": "x/y/z"}', "a/b/c", 0, '"x/y/z"'),
        ('{"deployment": "d/e/f"}', "a/b/c", 1, '"d/e/f"'),
        ("", "a/b/c", 1, ""),
    ],
)
def test_a_mark_is_changed_from_the_named_owner_alone(
    tmp_path: Path, mark: str, old: str, code: int, after: str
) -> None:
    file = tmp_path / "host.json"
    if mark:
        file.write_text(mark)
    source = claimed.program().replace("/etc/seter/host.json", str(file))
    ended = subprocess.run([sys.executable, "-IS", "-c", source, old, "x/y/z"], capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    assert after in (file.read_text() if mark else "")
    assert not mark or ("index" in mark) is ("index" in file.read_text())
