"""What is the operator's own is taken as it is, if it is good, and kept nowhere."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from common.role import Process, Role, RoleType, SecretNeed
from seter.certificates import Pair, make_authority, make_certificate
from seter.given import read_cephx, read_pair, read_word
from seter.keep.folder import FolderCells
from seter.secrets import Wish, make, open_vault

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


# Keys of a Ceph cluster

KEY = make("cephx")


@pytest.mark.parametrize("form", ["{}", "{}\n", '[client.rgw.lb]\n\tkey = {}\n\tcaps mon = "allow rw"\n', "key={}\n"])
def test_a_key_of_ceph_is_taken_from_a_keyring_or_a_file_of_its_own(tmp_path: Path, form: str) -> None:
    (tmp_path / "keyring").write_text(form.format(KEY))
    assert read_cephx(str(tmp_path / "keyring")) == KEY


@given(text=st.one_of(st.text(max_size=80), st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode())))
def test_what_is_no_key_of_ceph_is_refused_whatever_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "keyring"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"does not hold one Ceph key|cannot be read"):
        read_cephx(str(file))


def test_two_keys_in_a_keyring_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "keyring").write_text(f"[client.a]\nkey = {KEY}\n[client.b]\nkey = {KEY}\n")
    for path in (str(tmp_path / "keyring"), "keyring", str(tmp_path / "none")):
        with pytest.raises(BadInput):
            read_cephx(path)


def test_a_given_key_is_laid_on_nodes_and_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))
    (tmp_path / "keyring").write_text(KEY)
    vault = open_vault(FolderCells(tmp_path), "s/t/i")
    wish = Wish(ROLE, SecretNeed("ceph-rgw-key", "cephx", given="key"), "gw1", given=str(tmp_path / "keyring"))
    assert [file.data.decode() for file in vault.files(wish)] == [KEY]
    assert KEY in {secret.value for secret in vault.values()}, "it would not be masked"
    vault.save()
    assert KEY not in {secret.value for secret in open_vault(FolderCells(tmp_path), "s/t/i").values()}


def test_a_certificate_has_to_be_for_every_service(tmp_path: Path) -> None:
    names = (*NAMES, "archive.example.test", "*.archive.example.test", "192.0.2.20")
    for own, good in ((names, True), (("*.example.test",), True), (NAMES, False)):
        made = make_certificate(make_authority("another CA"), "s3", own)
        path = laid(tmp_path, made.certificate, made.key)
        if good:
            assert read_pair(path, names).certificate == made.certificate
        else:
            with pytest.raises(BadInput, match=r"is not for archive\.example\.test"):
                read_pair(path, names)
