"""A certificate of the operator's own is taken as it is, if it is good, and kept nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.errors import BadInput
from common.role import Process, Role, RoleType, SecretNeed
from seter.certificates import Pair, make_authority, make_certificate
from seter.given import read_pair, read_word
from seter.keep.folder import FolderCells
from seter.secrets import Wish, open_vault

NAMES = ("s3.example.test", "*.s3.example.test", "192.0.2.10")
ROLE = Role("traefik", RoleType.ENDPOINT, "", Path(), process=Process(("traefik",), uid=951))
NEED = SecretNeed("s3", "certificate", names=("dns_name", "vips"), given="certificate")


@pytest.fixture
def pair() -> Pair:
    return make_certificate(make_authority("another CA"), "s3", NAMES)


def laid(folder: Path, certificate: str, key: str) -> str:
    (folder / "own.crt").write_text(certificate)
    (folder / "own.key").write_text(key)
    return str(folder / "own.crt")


def test_it_is_laid_on_nodes_and_kept_nowhere(tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))
    path = laid(tmp_path, pair.certificate, pair.key)
    vault = open_vault(FolderCells(tmp_path), "s/t/i")
    own = {file.path: file.data.decode() for file in vault.files(Wish(ROLE, NEED, "gw1", NAMES, path))}
    assert (own["s3.crt"], own["s3.key"]) == (pair.certificate, pair.key)
    assert pair.key in {secret.value for secret in vault.values()}, "it would not be masked"
    vault.save()
    assert pair.key not in {secret.value for secret in open_vault(FolderCells(tmp_path), "s/t/i").values()}
    made = {file.path: file.data.decode() for file in vault.files(Wish(ROLE, NEED, "gw1", NAMES))}
    assert made["ca.crt"] == own["ca.crt"] and made["s3.crt"] != own["s3.crt"]


def test_what_is_no_good_is_refused_with_what_to_do(tmp_path: Path, pair: Pair) -> None:
    late = datetime.now(UTC) + timedelta(days=500)
    other = make_certificate(make_authority("x"), "x", ["x.test"])
    for certificate, key, says in (
        (pair.certificate, other.key, "another key"),
        ("nothing", pair.key, "not what they should be"),
        (other.certificate, other.key, "is not for s3.example.test"),
    ):
        with pytest.raises(BadInput, match=says):
            read_pair(laid(tmp_path, certificate, key), NAMES)
    good = laid(tmp_path, pair.certificate, pair.key)
    with pytest.raises(BadInput, match="is valid from"):
        read_pair(good, NAMES, late)
    for path in ("own.crt", str(tmp_path / "missing.crt")):
        with pytest.raises(BadInput):
            read_pair(path, NAMES)
    assert read_pair(good, NAMES) == pair


def test_a_password_that_was_agreed_on_is_used_and_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))
    file = tmp_path / "bgp"
    file.write_text("agreed-on\n")
    need = SecretNeed("bgp-password", "password", given="agreed")
    vault = open_vault(FolderCells(tmp_path), "s/t/i")
    (found,) = vault.files(Wish(ROLE, need, "gw1", (), str(file)))
    assert found.data == b"agreed-on" and "agreed-on" in {secret.value for secret in vault.values()}
    for content in ("", "two words"):
        file.write_text(content)
        with pytest.raises(BadInput, match=r"holds \d words"):
            read_word(str(file))
    with pytest.raises(BadInput, match="cannot be read"):
        read_word(str(tmp_path / "missing"))
