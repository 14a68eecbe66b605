"""A certificate of the operator's own, in two files on the operator's machine: read when needed, kept nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
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


def read_pair(path: str, names: Sequence[str], now: datetime | None = None) -> Pair:
    """The chain at PATH (PEM, the server's own certificate first) and the key beside it, with the ending .key.

    Raises BadInput when they cannot be read, are no pair, are out of date, or are not for the first of the names."""
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
    if names and names[0] not in theirs:
        fix = f"Give one for {names[0]}; it is for {', '.join(theirs) or 'nobody'}."
        raise BadInput(f"{file} is not for {names[0]}", resolution=fix)
    return Pair(chain, key)
