"""Keys that sign: ECDSA P-256 and Ed25519 in files. A private key is PKCS #8 in PEM (RFC 5958), readable by its owner
alone, encrypted with a passphrase where there is one; the public key is beside it, `.pub`, SubjectPublicKeyInfo in PEM
(RFC 5280, section 4.1). `cosign import-key-pair` takes the same private file, and `cosign verify --key` the public one.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import BadInput, Conflict, Denied, NotFound
from common.files import write_atomically
from common.model import Digest, Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHMS = ("p256", "ed25519")
LARGEST = 64 << 10  # bytes of a key file; a key has about 300


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that checks signatures. `name` is what people call it, such as its file without `.pub`."""

    name: str
    algorithm: str
    der: bytes
    _key: EllipticCurvePublicKey | Ed25519PublicKey = field(repr=False, compare=False)

    @property
    def fingerprint(self) -> Digest:
        """SHA-256 over the SubjectPublicKeyInfo in DER."""
        return Digest.of(self.der)

    @property
    def hint(self) -> str:
        """The fingerprint as cosign puts it into a bundle: base64 of its bytes."""
        return base64.b64encode(hashlib.sha256(self.der).digest()).decode()

    @property
    def pem(self) -> str:
        """As a file has it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether this key signed this."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            if isinstance(self._key, Ed25519PublicKey):
                self._key.verify(signature, data)
            else:
                self._key.verify(signature, data, _ecdsa())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. The same bytes always get the same signature (RFC 6979, RFC 8032)."""

    public: PublicKey
    _key: EllipticCurvePrivateKey | Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """The signature, as DSSE wants it: ASN.1 DER for ECDSA, 64 bytes for Ed25519."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(data)
        return self._key.sign(data, _ecdsa())


def new(path: Path, algorithm: str = "p256", passphrase: Secret | None = None) -> PublicKey:
    """Make a key pair: the private key at `path`, the public one beside it. Raises Conflict if either is there."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if algorithm not in ALGORITHMS:
        raise BadInput(f"there is no kind of key {algorithm!r}", resolution=f"Write one of {', '.join(ALGORITHMS)}.")
    for each in (path, public_path(path)):
        if each.exists():
            raise Conflict(f"{each} is there already", resolution="Name another file; a lost key cannot be had back.")
    made = generate_private_key(SECP256R1()) if algorithm == "p256" else Ed25519PrivateKey.generate()
    protection = (
        serialization.BestAvailableEncryption(passphrase.value.encode()) if passphrase else serialization.NoEncryption()
    )
    pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    public = _public(made.public_key(), path.stem, str(path))
    write_atomically(path, pem, 0o600)
    write_atomically(public_path(path), public.pem)
    return public


def public_path(path: Path) -> Path:
    """Where the public key of a private one is: `release.key` → `release.pub`."""
    return path.with_suffix(".pub") if path.suffix in (".key", ".pem") else path.with_name(f"{path.name}.pub")


def load_private(path: Path, passphrase: Secret | None = None) -> SigningKey:
    """Read a private key. Raises NotFound; Denied if others may read the file; BadInput if it is no such key, or is
    encrypted and the passphrase is missing or wrong."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _private_bytes(path)
    if b"SIGSTORE PRIVATE KEY" in data or b"COSIGN PRIVATE KEY" in data:
        raise BadInput(
            f"{path} is in cosign's own format",
            resolution="Make a key with `naust key new`; `cosign import-key-pair` gives it to cosign.",
        )
    try:
        found = load_pem_private_key(data, passphrase.value.encode() if passphrase else None)
    except TypeError as error:  # one of passphrase and encryption is there without the other
        raise _encrypted(path, wanted=passphrase is None) from error
    except (ValueError, ArithmeticError) as error:
        raise _no_key(path, "The passphrase may be wrong." if b"ENCRYPTED" in data else "") from error
    if not isinstance(found, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise _no_key(path, f"It is a {type(found).__name__}.")
    return SigningKey(_public(found.public_key(), path.stem, str(path)), found)


def is_encrypted(path: Path) -> bool:
    """Whether a passphrase is needed. Raises NotFound, Denied."""
    return b"ENCRYPTED" in _private_bytes(path)


def load_public(path: Path, name: str = "") -> PublicKey:
    """Read a public key. Raises NotFound; BadInput if it is none."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST)
    except OSError as error:
        raise NotFound(f"{path} cannot be read", details=str(error), resolution="Name a public key's file.") from error
    return read_public(data, name or path.stem, str(path))


def shown(path: Path, passphrase: Callable[[], Secret | None]) -> PublicKey:
    """The public key of either file. Raises NotFound, Denied, BadInput."""
    if _is_private(path):
        return load_private(path, passphrase() if is_encrypted(path) else None).public
    return load_public(path)


def _is_private(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"PRIVATE KEY" in file.read(LARGEST)
    except OSError:
        return False  # whoever reads it next says why


def read_public(data: bytes, name: str, what: str) -> PublicKey:
    """A public key from PEM. Raises BadInput."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY" in data:
        raise BadInput(f"{what} is a private key", resolution="Name the public one, which has .pub at its end.")
    try:
        found = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(what, str(error)) from error
    return _public(found, name, what)


def _public(found: object, name: str, what: str) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(found, Ed25519PublicKey):
        algorithm = "ed25519"
    elif isinstance(found, EllipticCurvePublicKey) and isinstance(found.curve, SECP256R1):
        algorithm = "p256"
    else:
        raise _no_key(what, f"It is a {type(found).__name__}.")
    return PublicKey(name, algorithm, found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), found)


def _private_bytes(path: Path) -> bytes:
    """The file, if nobody else may read it; asked of the open file, which cannot be exchanged meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotFound(f"{path} cannot be read", details=str(error), resolution="Name a key's file.") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            raise Denied(
                f"{path} may be read by others than its owner",
                details=f"Its mode is {stat.filemode(status.st_mode)}.",
                resolution=f"Whoever may have read it can sign. Make a new key, or at least: chmod 600 {path}",
            )
        return file.read(LARGEST)


def _ecdsa() -> ECDSA:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    return ECDSA(SHA256(), deterministic_signing=True)


def _no_key(what: Path | str, details: str) -> BadInput:
    return BadInput(
        f"{what} is no key for signatures",
        details=details,
        resolution="ECDSA P-256 and Ed25519 are, in PEM: make one with `naust key new FILE`.",
    )


def _encrypted(path: Path, *, wanted: bool) -> BadInput:
    if wanted:
        return BadInput(
            f"{path} is encrypted",
            resolution="Say where its passphrase is: --passphrase-from, or $NAUST_KEY_PASSPHRASE.",
        )
    return BadInput(f"{path} is not encrypted", resolution="Leave out the passphrase.")
