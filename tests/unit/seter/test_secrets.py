"""Secrets are made once, kept encrypted, and never shown."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from common.errors import BadInput, Conflict, Corrupt, Denied
from common.role import Process, Role, RoleType, SecretNeed
from seter import certificates
from seter.keep.folder import FolderCells
from seter.keep.interface import SECRETS
from seter.secrets import Vault, Wish, identity_file, make, open_vault, public_key, refuse_lost_vault

ROLE = Role("etcd", RoleType.SERVICE, "", Path(), process=Process(("etcd",), uid=952))
OTHER = Role("radosgw", RoleType.SERVICE, "", Path(), process=Process(("radosgw",), uid=953))
CERTIFICATE = SecretNeed("member", "certificate", "node", ("node",))
NAMES = ("gw1", "10.0.1.2", "localhost")


@pytest.fixture(autouse=True)
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "operator" / "identity"))
    return identity_file()


def vault(folder: Path) -> Vault:
    return open_vault(FolderCells(folder), "s/t/i")


def test_what_was_made_once_is_the_same_on_every_later_deploy(tmp_path: Path) -> None:
    first = vault(tmp_path)
    wishes = [Wish(ROLE, CERTIFICATE, "gw1", NAMES), Wish(ROLE, SecretNeed("token", "password"), "gw1")]
    made, key = [first.files(wish) for wish in wishes], first.key
    first.save()
    again = vault(tmp_path)
    assert [again.files(wish) for wish in wishes] == made
    assert again.key == key


def test_the_file_and_the_identity_are_for_their_owner_alone_and_hold_nothing_in_clear(
    tmp_path: Path, identity: Path
) -> None:
    made = vault(tmp_path)
    (token,) = made.files(Wish(ROLE, SecretNeed("token", "password"), "gw1"))
    made.save()
    assert (tmp_path / SECRETS).stat().st_mode & 0o777 == 0o600
    assert identity.stat().st_mode & 0o777 == 0o600
    assert token.data not in (tmp_path / SECRETS).read_bytes()


def test_a_secret_of_the_deployment_is_the_same_for_every_role_that_names_it(tmp_path: Path) -> None:
    made, need = vault(tmp_path), SecretNeed("ceph-rgw-key", "cephx")
    one, two = (made.files(Wish(role, need, node))[0] for role, node in ((ROLE, "gw1"), (OTHER, "st1")))
    assert one.data == two.data
    assert (one.uid, two.uid) == (952, 953)
    assert one.mode == 0o400


def test_a_secret_of_a_node_is_another_on_every_node(tmp_path: Path) -> None:
    made, need = vault(tmp_path), SecretNeed("token", "password", "node")
    assert made.files(Wish(ROLE, need, "gw1")) != made.files(Wish(ROLE, need, "gw2"))


def test_a_certificate_is_valid_for_servers_and_clients_and_covers_its_names(tmp_path: Path) -> None:
    files = {file.path: file.data for file in vault(tmp_path).files(Wish(ROLE, CERTIFICATE, "gw1", NAMES))}
    assert set(files) == {"member.crt", "member.key", "ca.crt"}
    certificate, authority = (x509.load_pem_x509_certificate(files[name]) for name in ("member.crt", "ca.crt"))
    verifier = PolicyBuilder().store(Store([authority])).build_server_verifier(x509.DNSName("gw1"))
    assert verifier.verify(certificate, [])
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=398)


def test_a_certificate_is_made_anew_when_its_names_change_and_only_then(tmp_path: Path) -> None:
    made = vault(tmp_path)
    before = made.files(Wish(ROLE, CERTIFICATE, "gw1", NAMES))
    assert made.files(Wish(ROLE, CERTIFICATE, "gw1", NAMES)) == before
    assert made.files(Wish(ROLE, CERTIFICATE, "gw1", ("gw1", "10.0.9.2"))) != before


@pytest.mark.parametrize("noted", [True, False])
def test_a_certificate_is_made_anew_a_month_before_it_ends_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    wish = Wish(ROLE, CERTIFICATE, "gw1", NAMES)
    for days, kept in ((31, True), (29, False)):
        with monkeypatch.context() as patch:
            patch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(days=days))
            made = vault(tmp_path / str(days))
            before = made.files(wish)
            if not noted:  # as earlier versions kept it
                del made._values[wish.key]["ends"]
            made.save()
        later = vault(tmp_path / str(days))
        after = later.files(wish)
        assert ((after == before), list(later.renewed)) == (kept, [] if kept else [wish.key])
        assert later.has_unsaved is not kept and later.files(wish) == after
        authority = {file.path: file.data for file in before}
        assert next(file.data for file in after if file.path.endswith("ca.crt")) in authority.values()


def test_a_cephx_key_has_the_layout_that_ceph_reads() -> None:
    kind, seconds, _, length = struct.unpack("<HIIH", base64.b64decode(make("cephx"))[:12])
    assert (kind, length) == (1, 16)
    assert abs(seconds - datetime.now(UTC).timestamp()) < 60
    assert len(base64.b64decode(make("cephx"))) == 12 + 16


def test_nothing_is_written_before_it_is_said(tmp_path: Path) -> None:
    vault(tmp_path).files(Wish(ROLE, SecretNeed("token", "password"), "gw1"))
    assert not (tmp_path / SECRETS).exists()


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    made = vault(tmp_path)
    (token,) = made.files(Wish(ROLE, SecretNeed("token", "password"), "gw1"))
    assert token.data.decode() not in repr((made, token, made.values()))


def test_another_identity_cannot_read_it_and_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = vault(tmp_path)
    made.files(Wish(ROLE, SecretNeed("token", "password"), "gw1"))
    made.save()
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "other"))
    with pytest.raises(Denied, match="does not exist"):
        vault(tmp_path)
    other = vault(tmp_path / "elsewhere")
    other.files(Wish(ROLE, SecretNeed("token", "password"), "gw1"))
    other.save()
    with pytest.raises(Corrupt):
        vault(tmp_path)


def test_an_identity_that_others_can_read_is_refused(tmp_path: Path, identity: Path) -> None:
    made = vault(tmp_path)
    assert made.key
    made.save()
    identity.chmod(0o644)
    with pytest.raises(Denied, match="read by others"):
        vault(tmp_path)


def test_nodes_without_their_secrets_are_not_given_new_ones(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="gw1"):
        refuse_lost_vault(vault(tmp_path), "x", ["gw1"])
    refuse_lost_vault(vault(tmp_path), "x", [])


def test_operators_with_identities_of_their_own_are_let_in_and_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    monkeypatch.setenv("SETER_IDENTITY", str(bob))
    his = public_key()
    monkeypatch.setenv("SETER_IDENTITY", str(ann))
    hers, made = public_key(), vault(tmp_path)
    key = made.key
    made.share([his], [])
    made.save()
    monkeypatch.setenv("SETER_IDENTITY", str(bob))
    theirs = vault(tmp_path)
    assert (theirs.key, theirs.recipients) == (key, (hers, his))
    theirs.renew([])
    theirs.share([], [])
    assert not theirs.has_unsaved
    with pytest.raises(BadInput, match="lock yourself out"):
        theirs.share([], [his])
    theirs.share([], [hers])
    theirs.save()
    monkeypatch.setenv("SETER_IDENTITY", str(ann))
    with pytest.raises(Corrupt) as refused:
        vault(tmp_path)
    assert f"--add {hers}" in refused.value.resolution


@pytest.mark.parametrize("key", ["", "age1", "ssh-ed25519 AAAA", "age1" + "q" * 58])
def test_what_is_no_public_key_lets_nobody_in(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput, match="no public key"):
        vault(tmp_path).share([key], [])


def test_secrets_move_with_a_deployment_whose_state_moves(tmp_path: Path) -> None:
    before, there = FolderCells(tmp_path / "old"), FolderCells(tmp_path / "new")
    first = open_vault(before, "s/t/i")
    key = first.key
    first.save()
    moved = open_vault(there, "s/t/i", before)
    assert (moved.key, moved.is_new) == (key, False)
    assert not there.read(SECRETS).data
    moved.save()
    assert open_vault(there, "s/t/i").key == key
    assert open_vault(FolderCells(tmp_path / "x"), "s/t/i", FolderCells(tmp_path / "y")).is_new


def test_of_two_runs_that_make_secrets_at_once_the_second_saves_nothing(tmp_path: Path) -> None:
    first, second = vault(tmp_path), vault(tmp_path)
    assert first.key != second.key
    first.save()
    with pytest.raises(Conflict):
        second.save()
    assert vault(tmp_path).key == first.key
