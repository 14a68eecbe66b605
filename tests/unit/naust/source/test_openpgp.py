"""Signatures of Release files: made here, checked by gpgv."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import BadInput, Corrupt, Denied, NotFound
from naust.proof import keys
from naust.source.openpgp import CREATED, ArchiveKey, archive_key, default_key, signed_text
from tests.lab.programs import program

WHEN = datetime(2026, 11, 20, 8, tzinfo=UTC)
TEXT = b"Origin: Test\n- dashes\n-----BEGIN\ntrailing \t\n\nlast\n"
FEW = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(params=keys.ALGORITHMS)
def key(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveKey:
    keys.new(tmp_path / "k.key", request.param)
    found = archive_key(f"file:{tmp_path}/k.key")
    (tmp_path / "k.asc").write_bytes(found.certificate())
    return found


def test_gpgv_takes_what_we_clear_sign(key: ArchiveKey, tmp_path: Path) -> None:
    read = signed_text(key.clear_signed(TEXT, WHEN), tmp_path / "k.asc", "it")
    assert read.splitlines() == [line.rstrip() for line in TEXT.splitlines()]


def test_gpgv_takes_our_detached_signature(key: ArchiveKey, tmp_path: Path) -> None:
    assert signed_text(TEXT, tmp_path / "k.asc", "it", key.detached(TEXT, WHEN)) == TEXT


def test_the_same_text_and_time_give_the_same_bytes(key: ArchiveKey) -> None:
    assert key.clear_signed(TEXT, WHEN) == key.clear_signed(TEXT, WHEN)
    assert key.detached(TEXT, WHEN) == key.detached(TEXT, WHEN)
    assert key.certificate() == key.certificate()


def test_the_signature_has_the_time_that_was_asked_for(key: ArchiveKey, tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(key.detached(TEXT, WHEN))
    listed = subprocess.run(
        [program("gpg"), "--homedir", str(tmp_path), "--list-packets", str(tmp_path / "signed")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert f"created {int(WHEN.timestamp())}" in listed.stdout
    assert key.fingerprint in listed.stdout.upper()


def test_a_time_before_the_key_becomes_that_of_the_key(key: ArchiveKey, tmp_path: Path) -> None:
    early = key.detached(TEXT, datetime(1999, 1, 1, tzinfo=UTC))
    assert early == key.detached(TEXT, CREATED)
    assert signed_text(TEXT, tmp_path / "k.asc", "it", early) == TEXT


def test_gpg_reads_the_certificate_as_one_valid_key(key: ArchiveKey, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    argv = [program("gpg"), "--homedir", str(home), "--batch", "--with-colons", "--show-keys", str(tmp_path / "k.asc")]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert f"fpr:::::::::{key.fingerprint}:" in lines
    assert [line.split(":")[11] for line in lines if line.startswith("pub")] == ["scSC"]
    assert any(line.startswith("uid") and "naust archive" in line for line in lines)


@FEW
@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF)).map(str.rstrip), min_size=1))
def test_any_text_of_lines_comes_back_as_it_was_signed(tmp_path: Path, lines: list[str]) -> None:
    found = archive_key(f"file:{tmp_path}/any.key")
    (tmp_path / "any.asc").write_bytes(found.certificate())
    text = "".join(f"{line}\n" for line in lines).encode()
    assert signed_text(found.clear_signed(text, WHEN), tmp_path / "any.asc", "it") == text


@FEW
@given(st.integers(0, 400), st.integers(1, 255))
def test_no_changed_byte_passes_for_another_text(tmp_path: Path, at: int, change: int) -> None:
    found = archive_key(f"file:{tmp_path}/any.key")
    (tmp_path / "any.asc").write_bytes(found.certificate())
    signed = bytearray(found.clear_signed(b"Suite: stable\nDate: today\n", WHEN))
    signed[at % len(signed)] ^= change
    with suppress(Corrupt):
        assert signed_text(bytes(signed), tmp_path / "any.asc", "it") == b"Suite: stable\nDate: today\n"


def test_text_around_a_signature_is_not_given_back(tmp_path: Path) -> None:
    found = archive_key(f"file:{tmp_path}/any.key")
    (tmp_path / "any.asc").write_bytes(found.certificate())
    signed = b"Evil: yes\n" + found.clear_signed(b"Good: yes\n", WHEN) + b"Evil: yes\n"
    with suppress(Corrupt):
        assert signed_text(signed, tmp_path / "any.asc", "it") == b"Good: yes\n"


@pytest.mark.parametrize("data", [b"", b"<html>", b"-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n", os.urandom(500)])
def test_what_has_no_good_signature_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "any.asc").write_bytes(archive_key(f"file:{tmp_path}/any.key").certificate())
    with pytest.raises(Corrupt, match="not signed by a key of"):
        signed_text(data, tmp_path / "any.asc", "it")


def test_a_text_without_its_key_is_refused_and_says_so(tmp_path: Path) -> None:
    other = tmp_path / "other.asc"
    other.write_bytes(archive_key(f"file:{tmp_path}/other.key").certificate())
    with pytest.raises(Corrupt, match="not in the keyring"):
        signed_text(archive_key(f"file:{tmp_path}/k.key").clear_signed(TEXT, WHEN), other, "it")


def test_a_keyring_may_hold_several_armoured_keys(tmp_path: Path) -> None:
    both = [archive_key(f"file:{tmp_path}/{name}.key") for name in ("a", "b")]
    (tmp_path / "both.asc").write_bytes(b"".join(each.certificate() for each in both))
    for each in both:
        assert signed_text(each.clear_signed(b"x\n", WHEN), tmp_path / "both.asc", "it") == b"x\n"


def test_an_expired_key_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "g"
    home.mkdir(mode=0o700)
    gpg = [program("gpg"), "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    past = ["--faked-system-time", "20200101T000000!"]
    try:
        subprocess.run([*gpg, *past, "--quick-gen-key", "old", "ed25519", "sign", "1d"], check=True)
        signed = subprocess.run([*gpg, *past, "--clearsign"], input=b"x\n", capture_output=True, check=True).stdout
        ring = tmp_path / "old.gpg"
        ring.write_bytes(subprocess.run([*gpg, "--export"], capture_output=True, check=True).stdout)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    with pytest.raises(Corrupt, match="has expired"):
        signed_text(signed, ring, "it")


def test_a_missing_keyring_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="keyring"):
        signed_text(b"x", tmp_path / "none.gpg", "it")


def test_a_key_is_made_once_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    first = archive_key(f"file:{tmp_path}/deep/new.key")
    assert (tmp_path / "deep/new.key").stat().st_mode & 0o777 == 0o600
    assert archive_key(f"file:{tmp_path}/deep/new.key").fingerprint == first.fingerprint


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    archive_key(f"file:{tmp_path}/new.key")
    (tmp_path / "new.key").chmod(0o644)
    with pytest.raises(Denied):
        archive_key(f"file:{tmp_path}/new.key")


def test_a_key_out_of_the_environment_is_the_same_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = archive_key(f"file:{tmp_path}/new.key")
    monkeypatch.setenv("THE_KEY", (tmp_path / "new.key").read_text())
    assert archive_key("env:THE_KEY").fingerprint == kept.fingerprint
    monkeypatch.setenv("THE_KEY", "rubbish")
    with pytest.raises(BadInput) as refused:
        archive_key("env:THE_KEY")
    assert "rubbish" not in str(refused.value)


def test_a_lost_private_key_is_not_made_anew_beside_its_public_half(tmp_path: Path) -> None:
    archive_key(f"file:{tmp_path}/new.key")
    (tmp_path / "new.key").unlink()
    with pytest.raises(Exception, match="is there already"):
        archive_key(f"file:{tmp_path}/new.key")


def test_the_default_key_is_in_the_configuration_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert default_key() == Path("/somewhere/naust/archive.key")


def test_a_key_does_not_show(tmp_path: Path) -> None:
    found = archive_key(f"file:{tmp_path}/new.key")
    secret = "".join((tmp_path / "new.key").read_text().splitlines()[1:-1])
    assert secret not in repr(found)
    assert secret not in found.certificate().decode()
