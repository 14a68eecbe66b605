"""Proof from the command line: keys, signatures, attestations, verdicts, revocations, who is affected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Tools
from tests.lab.proofs import bom, provenance

POLICY = """
policy "release" {
  key "release" {
    file     = "release.pub"
    purposes = ["release"]
  }
  require {
    purpose  = "release"
    built_by = ["https://ci.example.org/*"]
    sources  = ["git+https://git.example.org/*"]
    sbom     = true
  }
}
"""


@pytest.fixture
def naust(tmp_path: Path) -> Tools:
    (tmp_path / "f").write_text("content")
    (tmp_path / "policy.hcl").write_text(POLICY)
    (tmp_path / "bom.json").write_bytes(bom(("libssl3", "3.5.4-1"), source="openssl"))
    (tmp_path / "built.json").write_bytes(provenance())
    tools = Tools(tmp_path, {"NAUST_STORE": "", "NAUST_KEY": "", "NAUST_POLICY": "", "NAUST_KEY_PASSPHRASE": ""})
    tools("naust", "key", "new", "release.key")
    tools("naust", "push", "f", "file/tool:1")
    return tools


def signed(naust: Tools) -> None:
    key = ("--key", "release.key")
    naust("naust", "sign", "file/tool", "--purpose", "release", *key)
    naust("naust", "attest", "file/tool", "--predicate", "bom.json", "--type", "cyclonedx", *key)
    naust("naust", "attest", "file/tool", "--predicate", "built.json", "--type", "slsaprovenance1", *key)


def test_a_verdict_names_every_reason_and_then_is_good(naust: Tools, tmp_path: Path) -> None:
    ended = naust("naust", "verify", "file/tool", "--policy", "policy.hcl", code=8)
    for each in ("signatures", "provenance", "built by", "sources", "SBOM"):
        assert f"\n{each}: " in ended.err
        assert f"{each}\tNOT MET\t" in ended.out
    signed(naust)
    assert "NOT MET" not in naust("naust", "verify", "file/tool", "--policy", "policy.hcl").out
    found = naust("naust", "verify", "file/tool", "--json", NAUST_POLICY="policy.hcl").json()
    assert found["ok"] is True
    assert {each["check"] for each in found["requirements"]} >= {"signatures", "SBOM", "sources", "revocations"}
    naust("naust", "verify", "file/tool", "--key", "release.pub")


def test_one_file_proves_it_where_there_is_no_store(naust: Tools, tmp_path: Path) -> None:
    signed(naust)
    naust("naust", "verify", "file/tool", "--export", "proof.json")
    subprocess.run(["rm", "-r", str(tmp_path / ".naust")], check=True)
    here = ("naust", "verify", "--proof", "proof.json", "--policy", "policy.hcl")
    naust(*here, "--file", "f")
    (tmp_path / "f").write_text("other")
    assert "file: " in naust(*here, "--file", "f", code=8).err


def test_what_is_revoked_is_not_pulled_until_that_is_taken_back(naust: Tools, tmp_path: Path) -> None:
    said = naust("naust", "revoke", "file/tool", "--reason", "CVE-2026-1", "--by", "alice").out
    assert "CVE-2026-1" in said
    ended = naust("naust", "pull", "file/tool", "out", code=8)
    for text in ("is revoked", "CVE-2026-1", "alice", "--undo"):
        assert text in ended.err
    assert not (tmp_path / "out").exists()
    naust("naust", "promote", "file/tool", "production", code=8)
    naust("naust", "revoke", "file/tool", "--reason", "mistaken", "--undo")
    naust("naust", "pull", "file/tool", "out")
    naust("naust", "revoke", "file/tool", code=2)
    assert "1 revocations" in naust("naust", "revoke", "--refresh").out


def test_who_is_affected_is_said_with_the_exit_code_that_was_asked_for(naust: Tools) -> None:
    signed(naust)
    naust("naust", "push", "policy.hcl", "file/other:1")
    ended = naust("naust", "affected", "openssl<3.5.5", "--exit-code", code=3)
    assert "libssl3 3.5.4-1" in ended.out
    assert "file/other:1" in ended.err
    assert naust("naust", "affected", "openssl<3.5.4", "--exit-code").out == ""
    assert naust("naust", "affected", "openssl", "--json").json()["affected"][0]["by"] == "sbom"
    naust("naust", "affected", "<1", code=2)


def test_a_passphrase_comes_from_a_file_or_the_environment_and_is_never_shown(naust: Tools, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")
    (tmp_path / "secret").chmod(0o600)
    key = ("--key", "shut.key")
    naust("naust", "key", "new", "shut.key", "--passphrase-from", "file:secret", "--ed25519")
    assert "ENCRYPTED" in (tmp_path / "shut.key").read_text()
    assert "encrypted" in naust("naust", "sign", "file/tool", *key, code=2).err
    naust("naust", "sign", "file/tool", *key, NAUST_KEY_PASSPHRASE="correct horse")
    naust("naust", "sign", "file/tool", *key, "--passphrase-from", "file:secret")
    naust("naust", "sign", "file/tool", "--key", "release.key", NAUST_KEY_PASSPHRASE="correct horse")
    for said in ("correct horse", "file:none"):
        ended = naust("naust", "sign", "file/tool", *key, "--passphrase-from", said, code=2)
        assert "horse" not in ended.err + ended.out
    assert "horse" not in naust("naust", "sign", "file/tool", *key, code=2, NAUST_KEY_PASSPHRASE="wrong horse").err


def test_a_key_that_others_may_read_signs_nothing(naust: Tools, tmp_path: Path) -> None:
    (tmp_path / "release.key").chmod(0o644)
    assert "chmod 600" in naust("naust", "sign", "file/tool", "--key", "release.key", code=1).err
    assert "is there already" in naust("naust", "key", "new", "release.key", code=7).err
    assert "sha256:" in naust("naust", "key", "show", "release.pub").out


@pytest.mark.parametrize(
    "argv",
    [
        ("sign", "file/tool"),
        ("sign", "file/none", "--key", "release.key"),
        ("sign", "file/tool", "--key", "release.key", "--purpose", "a b"),
        ("attest", "file/tool", "--key", "release.key", "--predicate", "f", "--type", "cyclonedx"),
        ("verify", "file/tool"),
        ("verify", "--policy", "policy.hcl"),
        ("verify", "file/tool", "--policy", "f"),
        ("verify", "file/tool", "--key", "release.key"),
        ("key", "eat", "release.key"),
        ("key", "show", "none"),
        ("revoke", "--reason", "x"),
    ],
)
def test_bad_input_changes_nothing(naust: Tools, argv: tuple[str, ...]) -> None:
    ended = naust("naust", *argv, code=2)
    assert "Traceback" not in ended.err
    assert naust("naust", "show", "file/tool", "--json").json()["attachments"] == []


def test_pulling_and_asking_load_no_cryptography(naust: Tools, tmp_path: Path) -> None:
    signed(naust)
    program = (
        "import sys; from naust.store import open_store; from naust.listing import resolve\n"
        "from naust.revoke import check; from naust.affected import affected, query\n"
        f"store = open_store('file://{tmp_path}/.naust'); check(store, resolve(store, 'file/tool'))\n"
        "assert affected(store, query('openssl<4')).affected\n"
        "print(sorted({'cryptography', 'ssl', 'boto3', 'rich', 'hcl2', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
