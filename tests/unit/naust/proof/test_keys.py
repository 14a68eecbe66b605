"""Keys: for their owner alone, encrypted or not, and never shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from common.errors import BadInput, Conflict, Denied, NotFound
from common.model import Secret
from naust.proof import keys

PASSPHRASE = Secret("correct horse battery")


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_new_key_signs_and_its_public_half_checks(tmp_path: Path, algorithm: str, passphrase: Secret | None) -> None:
    path = tmp_path / "release.key"
    made = keys.new(path, algorithm, passphrase)
    signer = keys.load_private(path, passphrase)
    public = keys.load_public(tmp_path / "release.pub")
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.is_encrypted(path) is (passphrase is not None)
    assert made.fingerprint == signer.public.fingerprint == public.fingerprint
    assert public.verifies(signer.sign(b"data"), b"data")
    assert not public.verifies(signer.sign(b"data"), b"datA")
    assert not public.verifies(b"rubbish", b"data")


@pytest.mark.parametrize("algorithm", keys.ALGORITHMS)
def test_the_same_bytes_get_the_same_signature(tmp_path: Path, algorithm: str) -> None:
    keys.new(tmp_path / "k.key", algorithm)
    assert len({keys.load_private(tmp_path / "k.key").sign(b"data") for _ in range(3)}) == 1


def test_openssl_reads_what_we_make(tmp_path: Path) -> None:
    keys.new(tmp_path / "k.key", passphrase=PASSPHRASE)
    argv = ["openssl", "pkey", "-in", str(tmp_path / "k.key"), "-passin", "stdin", "-pubout"]
    done = subprocess.run(argv, input=PASSPHRASE.value, capture_output=True, text=True, check=True)
    assert done.stdout == (tmp_path / "k.pub").read_text()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    keys.new(tmp_path / "k.key")
    for mode in (0o640, 0o604, 0o620):
        (tmp_path / "k.key").chmod(mode)
        with pytest.raises(Denied):
            keys.load_private(tmp_path / "k.key")


def test_a_passphrase_must_be_there_when_it_is_needed_and_only_then(tmp_path: Path) -> None:
    keys.new(tmp_path / "open.key")
    keys.new(tmp_path / "shut.key", passphrase=PASSPHRASE)
    for name, passphrase in (("shut", None), ("shut", Secret("wrong")), ("open", PASSPHRASE)):
        with pytest.raises(BadInput) as refused:
            keys.load_private(tmp_path / f"{name}.key", passphrase)
        assert PASSPHRASE.value not in str(refused.value)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    keys.new(tmp_path / "k.key")
    before = (tmp_path / "k.key").read_bytes()
    with pytest.raises(Conflict):
        keys.new(tmp_path / "k.key")
    (tmp_path / "other.pub").write_text("precious")
    with pytest.raises(Conflict):
        keys.new(tmp_path / "other.key")
    assert (tmp_path / "k.key").read_bytes() == before
    assert not (tmp_path / "other.key").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        ["genpkey", "-algorithm", "X25519"],
    ],
    ids=["RSA", "P-384", "X25519"],
)
def test_other_kinds_of_keys_are_refused(tmp_path: Path, argv: list[str]) -> None:
    private = subprocess.run(["openssl", *argv], capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=private, capture_output=True, check=True).stdout
    (tmp_path / "k.key").touch(0o600)
    (tmp_path / "k.key").write_bytes(private)
    with pytest.raises(BadInput):
        keys.load_private(tmp_path / "k.key")
    with pytest.raises(BadInput):
        keys.read_public(public, "k", "k.pub")


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", bytes(100_000)):
        path = tmp_path / "k.key"
        path.touch(0o600)
        path.write_bytes(content)
        with pytest.raises(BadInput):
            keys.load_private(path)
        with pytest.raises(BadInput):
            keys.load_public(path)
    with pytest.raises(NotFound):
        keys.load_private(tmp_path / "none")
    with pytest.raises(NotFound):
        keys.load_public(tmp_path / "none")


def test_the_private_key_does_not_pass_for_the_public_one(tmp_path: Path) -> None:
    keys.new(tmp_path / "k.key")
    with pytest.raises(BadInput, match="private"):
        keys.load_public(tmp_path / "k.key")
    assert "PRIVATE" not in repr(keys.load_private(tmp_path / "k.key"))


def test_either_file_shows_the_public_key(tmp_path: Path) -> None:
    made = keys.new(tmp_path / "k.key", passphrase=PASSPHRASE)
    for name in ("k.key", "k.pub"):
        assert keys.shown(tmp_path / name, lambda: PASSPHRASE).fingerprint == made.fingerprint
