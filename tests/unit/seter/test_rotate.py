"""Certificates drawn anew: which, and how the CA is changed without a moment in which somebody is not trusted."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from common.errors import BadInput
from common.role import OnChange, Process, Role, RoleType, SecretNeed
from common.system import Deployment, Node, System, Target
from seter.blueprint import Blueprint, Seat
from seter.keep.folder import FolderCells
from seter.rotate import choose
from seter.secrets import Stage, Vault, Wish, open_vault
from seter.survey import _followed
from seter.tree import File, NodeTree

MEMBER = SecretNeed("member", "certificate", "node", ("node",), OnChange.NOTHING)
SHARED = SecretNeed("s3", "certificate", "deployment", ("node",))
PASSWORD, KEY = SecretNeed("bgp-password", "password"), SecretNeed("ceph-key", "cephx")


def role(name: str, *needs: SecretNeed) -> Role:
    return Role(name, RoleType.SERVICE, "", Path(), process=Process((name,), uid=952), secrets=needs)


ETCD, TRAEFIK, BIRD = role("etcd", MEMBER), role("traefik", SHARED, PASSWORD), role("bird", PASSWORD, KEY)


def blueprint() -> Blueprint:
    seats = tuple(Seat(Node(name, "g"), each, {}, "") for name in ("gw1", "gw2") for each in (ETCD, TRAEFIK, BIRD))
    return Blueprint(
        Deployment("s", "t", "i"), System("s", "", (), ()), Target("t", "container", (), Path()), seats, Path()
    )


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setenv("SETER_IDENTITY", str(tmp_path / "identity"))
    return open_vault(FolderCells(tmp_path), "s/t/i")


def texts(vault: Vault, node: str = "gw1") -> dict[str, bytes]:
    return {file.path: file.data for file in vault.files(Wish(ETCD, MEMBER, node, (node,)))}


def trusts(bundle: bytes, certificate: bytes) -> bool:
    authorities = x509.load_pem_x509_certificates(bundle)
    verifier = PolicyBuilder().store(Store(authorities)).build_server_verifier(x509.DNSName("gw1"))
    try:
        return bool(verifier.verify(x509.load_pem_x509_certificate(certificate), []))
    except VerificationError:
        return False


def test_what_is_drawn_anew_is_chosen_by_role_and_name() -> None:
    members = {f"node/{node}/etcd/certificate/member" for node in ("gw1", "gw2")}
    assert choose(blueprint(), "etcd", ()) == members
    assert choose(blueprint(), "traefik", ()) == {"deployment/certificate/s3"}
    assert choose(blueprint(), "", ("member",)) == members
    assert choose(blueprint(), "", ()) == members | {"deployment/certificate/s3"}


@pytest.mark.parametrize(
    ("role", "names", "message"),
    [
        ("", ("bgp-password",), "is a password"),
        ("", ("ceph-key",), "is a cephx"),
        ("etcd", ("s3",), "no secret 's3' of role etcd"),
        ("etdc", (), "no role 'etdc'"),
        ("bird", (), "has no certificate"),
    ],
)
def test_what_cannot_be_drawn_anew_is_said_with_the_reason(role: str, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        choose(blueprint(), role, names)
    assert error.value.resolution


def test_only_the_chosen_certificate_is_another_afterwards(vault: Vault) -> None:
    before, other = texts(vault), texts(vault, "gw2")
    vault.save()
    vault.renew({"node/gw1/etcd/certificate/member"})
    assert vault.has_unsaved
    after = texts(vault)
    assert after["ca.crt"] == before["ca.crt"] and after["member.crt"] != before["member.crt"]
    assert after["member.key"] != before["member.key"] and texts(vault, "gw2") == other


def test_the_ca_changes_without_a_moment_in_which_two_neighbours_do_not_trust_each_other(vault: Vault) -> None:
    stages = [texts(vault)]
    for step, stage in (
        (vault.trust_next, Stage.TRUSTED),
        (vault.adopt_next, Stage.ADOPTED),
        (vault.drop_before, Stage.SETTLED),
    ):
        step()
        assert vault.stage is stage
        stages.append(texts(vault))
    # Between two roll-outs a node may be a step ahead of another, and each of the two asks the other.
    for one, other in pairwise(stages):
        assert trusts(one["ca.crt"], other["member.crt"]) and trusts(other["ca.crt"], one["member.crt"])
    assert not trusts(stages[3]["ca.crt"], stages[0]["member.crt"])
    assert stages[1]["ca.crt"] == stages[2]["ca.crt"], "so what reads its certificate anew is not restarted"
    assert stages[0]["member.crt"] == stages[1]["member.crt"] != stages[2]["member.crt"]


def test_a_change_of_the_ca_that_was_cut_off_is_found_where_it_was(vault: Vault, tmp_path: Path) -> None:
    texts(vault)
    vault.trust_next()
    vault.save()
    again = open_vault(FolderCells(tmp_path), "s/t/i")
    assert again.stage is Stage.TRUSTED
    again.adopt_next()
    again.save()
    assert open_vault(FolderCells(tmp_path), "s/t/i").stage is Stage.ADOPTED


def test_a_process_that_reads_its_certificate_anew_is_restarted_for_another_ca_alone() -> None:
    files = tuple(File(name, b"", 0o400, 952) for name in ("ca.crt", "member.crt", "member.key"))
    tree = NodeTree({}, {"etcd": files}, "", "", ())
    assert [file.path for file in _followed(ETCD, tree)] == ["ca.crt"]
    held = role("etcd", SecretNeed("member", "certificate", "node"))
    assert [file.path for file in _followed(held, tree)] == ["ca.crt", "member.crt", "member.key"]
