"""Secrets of the operator's own, in files on the operator's machine: read when needed, kept nowhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from common.errors import BadInput
from seter.certificates import Pair


def read_word(path: str) -> str:
    """The password in the file at PATH: its only line. Raises BadInput."""
    file = Path(path).expanduser()
    try:
        words = file.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        fix = "Write the password into that file, or take the parameter out and let seter draw one."
        raise BadInput(f"the password of your own cannot be read: {error}", resolution=fix) from error
    if not file.is_absolute() or len(words) != 1:
        raise BadInput(f"{path!r} holds {len(words)} words", resolution="Name a file, from / or ~ on, with one word.")
    return words[0]


def read_cephx(path: str) -> str:
    """The key in the file at PATH: a key alone, or a keyring that holds one (docs.ceph.com, "User management"). Raises
    BadInput."""
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        fix = "Write the keyring into that file: ceph auth get CLIENT -o FILE."
        raise BadInput(f"the Ceph key of your own cannot be read: {error}", resolution=fix) from error
    keys = re.findall(r"(?m)^\s*key\s*=\s*(\S+)\s*$", text) or text.split()
    if not file.is_absolute() or len(keys) != 1 or not _is_cephx(keys[0]):
        fix = "Name a file, from / or ~ on, with a key, or a keyring with the one that is meant."
        raise BadInput(f"{path!r} does not hold one Ceph key", resolution=fix)
    return keys[0]


def _is_cephx(text: str) -> bool:
    """As Ceph packs a key: type 1 (AES), eight bytes of time, and the length of what follows (src/auth/Crypto.h)."""
    try:
        packed = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return packed[:2] == b"\x01\x00" and len(packed) == 12 + int.from_bytes(packed[10:12], "little")


def read_pair(path: str, names: Sequence[str], now: datetime | None = None) -> Pair:
    """The chain at PATH (PEM, the server's own certificate first) and the key beside it, with the ending .key.

    Raises BadInput when they cannot be read, are no pair, are out of date, or are not for one of the names of services;
    wildcards and addresses are the operator's to leave out."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    file = Path(path).expanduser()
    if not file.is_absolute():
        raise BadInput(f"certificate {path!r} is no absolute path", resolution="Write it from / or ~ on.")
    try:
        chain, key = file.read_text(encoding="utf-8"), file.with_suffix(".key").read_text(encoding="utf-8")
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except OSError as error:
        raise BadInput(
            f"the certificate of your own cannot be read: {error}",
            resolution=f"The chain belongs in {file}, its key without a password in {file.with_suffix('.key')}.",
        ) from error
    except (ValueError, TypeError) as error:
        fix = "Both have to be PEM, the key without a password."
        raise BadInput(f"{file} and its key are not what they should be: {error}", resolution=fix) from error
    if leaf.public_key() != private.public_key():
        raise BadInput(f"{file} is for another key than {file.with_suffix('.key')}", resolution="Give the pair.")
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not start <= (now or datetime.now(UTC)) < end:
        raise BadInput(f"{file} is valid from {start} to {end}", resolution="Give one that is valid now.")
    try:
        covered = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        theirs = covered.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        theirs = []
    lacks = [name for name in names if not _is_covered(name, theirs)]
    if lacks:
        fix = f"Give one for {', '.join(lacks)} as well; it is for {', '.join(theirs) or 'nobody'}."
        raise BadInput(f"{file} is not for {lacks[0]}", resolution=fix)
    return Pair(chain, key)


def _is_covered(name: str, theirs: Collection[str]) -> bool:
    """By its own name, or by a wildcard one level above (RFC 6125, 6.4.3)."""
    try:
        ip_address(name)
    except ValueError:
        return name.startswith("*.") or name in theirs or f"*.{name.partition('.')[2]}" in theirs
    return True
