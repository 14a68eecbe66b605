"""When a certificate is renewed, how long to wait after a failure, and what a certificate has to be. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

JITTER = 0.05  # of the lifetime: so far may a renewal lie behind its fraction
LATEST = 0.9  # of the lifetime: later than this no server may have us renew
SKEW = 3600.0  # seconds by which the server's clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Window:
    """When the server would have a certificate renewed (RFC 9773, section 4.2). Unix times; `id` says which
    certificate, `again` when to ask anew."""

    id: str
    start: float
    end: float
    again: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """What matters of a certificate. Unix times; `id` is ARI's name for it, "" when it has no key identifier."""

    names: frozenset[str]
    start: float
    end: float
    id: str
    chance: float  # from 0 to 1, the same for everybody who looks at this certificate

    @property
    def life(self) -> float:
        """Seconds from its first to its last, at least one."""
        return max(1.0, self.end - self.start)

    def left(self, now: float) -> float:
        """The part of its life that is left, from 0 to 1."""
        return min(1.0, max(0.0, (self.end - now) / self.life))


def certificate(text: str) -> Certificate:
    """What matters of the first certificate of a PEM text. Raises ValueError."""
    leaf = x509.load_pem_x509_certificates(text.encode())[0]
    chance = int.from_bytes(hashlib.sha256(leaf.fingerprint(hashes.SHA256())).digest()[:8], "big") / 2**64
    start, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    return Certificate(names_of(leaf), start, end, ari_id(leaf), chance)


def names_of(leaf: x509.Certificate) -> frozenset[str]:
    """The DNS names that a certificate is for."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(found.value.get_values_for_type(x509.DNSName))


def ari_id(leaf: x509.Certificate) -> str:
    """Key identifier of the issuer, a dot, the serial number as DER has it, both in base64url (RFC 9773, 4.1)."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return ""
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{base64url(found.value.key_identifier or b'')}.{base64url(serial)}"


def base64url(value: bytes) -> str:
    """Without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def renew_at(found: Certificate, fraction: float, window: Window | None = None) -> float:
    """When to renew, a Unix time: within the server's window if it names one for this certificate, else when `fraction`
    of its life is over or a little later. Everybody who asks gets the same time."""
    latest = found.start + LATEST * found.life
    if window is not None and window.id == found.id and window.start <= window.end:
        return min(latest, window.start + found.chance * (window.end - window.start))
    return min(latest, found.start + (fraction + JITTER * found.chance) * found.life)


def pause(failures: int, first: float, most: float, chance: float, asked: float = 0.0) -> float:
    """Seconds to wait after so many failures in a row: `first` doubled each time, at most `most`, a quarter less or
    more by `chance` (0 to 1), and never less than the server asked for."""
    doubled = min(most, first * 2.0 ** min(max(failures, 1) - 1, 40))
    return max(asked, doubled * (0.75 + 0.5 * chance))


def faults(text: str, key: str, names: Collection[str], now: float) -> list[str]:
    """What is wrong with a chain that was ordered for this key (PEM) and these names: nothing, if it may be served."""
    try:
        found = x509.load_pem_x509_certificates(text.encode())
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except ValueError as fault:
        return [f"it cannot be read: {fault}"]
    leaf, wrong = found[0], []
    if leaf.public_key() != private.public_key():
        wrong.append("it is for another key")
    if missing := sorted(set(names) - names_of(leaf)):
        wrong.append(f"it is not for {', '.join(missing)}")
    if leaf.not_valid_before_utc.timestamp() > now + SKEW:
        wrong.append("it is not valid yet")
    if leaf.not_valid_after_utc.timestamp() <= now:
        wrong.append("its time is over")
    for issued, issuer in pairwise(found):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            wrong.append(f"{issued.subject.rfc4514_string() or 'it'} is not signed by the next in the chain")
    return wrong


def make_key() -> str:
    """A new private key for a certificate: EC P-256, PEM (PKCS 8)."""
    kind = serialization.PrivateFormat.PKCS8
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def request_for(names: Collection[str], key: str) -> bytes:
    """A signing request, PEM."""
    private = serialization.load_pem_private_key(key.encode(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = builder.add_extension(alternative, critical=True).sign(private, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)
