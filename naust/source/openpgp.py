"""OpenPGP, as far as a Debian archive needs it: checking who signed a Release file, and signing our own.

Checking is gpgv's, which apt itself uses: it reads what others wrote. Signing is done here, with the Ed25519 or P-256
key of `naust key`, in version 4 packets that gpgv, sqv and apt of Debian 11 to 13 take. No library or program would do:
a signature has a time in it, and the same state has to have the same bytes whenever it is made, so the time must be
ours to say (pysequoia's is always now); and gpg keeps keys in a home of its own behind an agent that goes on running.

Formats: RFC 9580, sections 5.2.3 (signatures), 5.5.2 (keys), 6 (armour), 7 (cleartext), 9.1 (algorithms). The OpenPGP
key is made from the key alone: its creation time is always CREATED, so its fingerprint is the same everywhere.
Status lines of gpgv: doc/DETAILS of GnuPG, "General status codes".
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.errors import BadInput, Conflict, Corrupt, NotFound
from common.files import write_atomically
from common.model import Secret
from common.run import Result, run
from naust.proof import keys
from naust.proof.keys import SigningKey

CREATED = datetime(2010, 1, 1, tzinfo=UTC)  # of every key; no archive that we sign is older
USER = "naust archive"  # the user id of every key
_WITHIN = timedelta(minutes=1)  # gpgv takes 10 ms
_SHA256 = 8
_ECDSA, _EDDSA = 19, 22
_OIDS = {_ECDSA: bytes.fromhex("2a8648ce3d030107"), _EDDSA: bytes.fromhex("2b06010401da470f01")}
_BINARY, _TEXT, _CERTIFICATION = 0x00, 0x01, 0x13
_KEY, _USER, _SIGNATURE = 6, 13, 2  # packet types
_GOOD = "GOODSIG"
_OTHERS = {
    "BADSIG": "does not fit",
    "EXPSIG": "has expired",
    "EXPKEYSIG": "is of a key that has expired",
    "REVKEYSIG": "is of a key that was revoked",
    "ERRSIG": "cannot be checked: its key is not in the keyring, or its kind is not known",
}


@dataclass(frozen=True, slots=True)
class ArchiveKey:
    """A key that signs Release files."""

    _key: SigningKey

    @property
    def fingerprint(self) -> str:
        """Of the OpenPGP key, 40 hexadecimal digits."""
        body = self._public()
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2) + body, usedforsecurity=False).hexdigest().upper()

    def certificate(self) -> bytes:
        """The public key for `Signed-By` of apt, armoured."""
        body, user = self._public(), USER.encode()
        hashed = b"\x99" + len(body).to_bytes(2) + body + b"\xb4" + len(user).to_bytes(4) + user
        # Key flags: certify and sign; features: modification detection; the primary user id; SHA-512 and SHA-256.
        more = _sub(27, b"\x03") + _sub(30, b"\x01") + _sub(25, b"\x01") + _sub(21, bytes((10, _SHA256)))
        packets = _packet(_KEY, body) + _packet(_USER, user)
        return _armoured(
            "PUBLIC KEY BLOCK", packets + _packet(_SIGNATURE, self._signature(_CERTIFICATION, hashed, CREATED, more))
        )

    def detached(self, data: bytes, when: datetime) -> bytes:
        """A signature in a file of its own, as Release.gpg is. The same input gives the same bytes."""
        return _armoured("SIGNATURE", _packet(_SIGNATURE, self._signature(_BINARY, data, when)))

    def clear_signed(self, text: bytes, when: datetime) -> bytes:
        """The text and its signature in one file, as InRelease is. The same input gives the same bytes."""
        lines = [line.rstrip(b" \t\r") for line in text.removesuffix(b"\n").split(b"\n")]
        signature = self._signature(_TEXT, b"\r\n".join(lines), when)
        escaped = b"".join((b"- " if line.startswith(b"-") else b"") + line + b"\n" for line in lines)
        head = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        return head + escaped + _armoured("SIGNATURE", _packet(_SIGNATURE, signature))

    @property
    def _algorithm(self) -> int:
        return _EDDSA if self._key.public.algorithm == "ed25519" else _ECDSA

    def _public(self) -> bytes:
        """The body of the public key packet."""
        oid = _OIDS[self._algorithm]
        # A SubjectPublicKeyInfo ends with the point: 32 bytes, or 0x04 and two coordinates of 32 (RFC 8410, RFC 5480).
        point = b"\x40" + self._key.public.der[-32:] if self._algorithm == _EDDSA else self._key.public.der[-65:]
        return b"\x04" + _seconds(CREATED) + bytes((self._algorithm, len(oid))) + oid + _number(point)

    def _signature(self, kind: int, data: bytes, when: datetime, more: bytes = b"") -> bytes:
        """The body of a signature packet of version 4."""
        fingerprint = bytes.fromhex(self.fingerprint)
        hashed = _sub(2, _seconds(max(when, CREATED))) + _sub(33, b"\x04" + fingerprint) + more
        head = bytes((4, kind, self._algorithm, _SHA256)) + len(hashed).to_bytes(2) + hashed
        material = data + head + b"\x04\xff" + len(head).to_bytes(4)
        digest = hashlib.sha256(material).digest()
        unhashed = _sub(16, fingerprint[-8:])
        return head + len(unhashed).to_bytes(2) + unhashed + digest[:2] + self._numbers(material, digest)

    def _numbers(self, material: bytes, digest: bytes) -> bytes:
        if self._algorithm == _EDDSA:
            signed = self._key.sign(digest)
            return _number(signed[:32]) + _number(signed[32:])
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        return b"".join(_number(each.to_bytes(32)) for each in decode_dss_signature(self._key.sign(material)))


def default_key() -> Path:
    """Where the key is that signs what no other key is named for: ~/.config/naust/archive.key (XDG base
    directories)."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "naust" / "archive.key"


def archive_key(place: str = "") -> ArchiveKey:
    """The key at this place, `file:PATH`, `env:NAME` or `command:…`, PEM; or the default one. One in a file is made
    if it is not there yet. Raises as `naust.proof.keys.load_private` and `naust.configuration.secret` do."""
    from naust.configuration import secret

    how, _, what = place.partition(":")
    if not place or how == "file":
        return ArchiveKey(_key_in(Path(what).expanduser() if place else default_key()))
    found = secret(place)
    if found is None:
        raise BadInput(f"there is no key at {how}:", resolution="Write where the key of the archive is, as a PEM.")
    return ArchiveKey(_key_of(found, how))


def _key_in(path: Path) -> SigningKey:
    try:
        return keys.load_private(path)
    except NotFound:
        if path.exists():
            raise
    try:
        keys.new(path, "ed25519")
    except Conflict:  # somebody else made it meanwhile, or its public half is there and this one was lost
        if not path.exists():
            raise
    return keys.load_private(path)


def _key_of(pem: Secret, how: str) -> SigningKey:
    """Keys are read from files, which nobody else may read; for this one it is in memory."""
    with tempfile.TemporaryDirectory(prefix="naust-") as folder:
        path = Path(folder) / f"{how}.key"
        write_atomically(path, pem.value.strip() + "\n", 0o600)
        return keys.load_private(path)


# What others signed


def signed_text(data: bytes, keyring: Path, what: str, detached: bytes | None = None) -> bytes:
    """What a clear-signed file says, if a key of the keyring signed it; or `data` itself with a detached signature.

    Nothing but what gpgv itself took for signed is given back, so that text around a signature counts for nothing.
    `what` names it in errors. Raises Corrupt if no signature is good or one is bad; NotFound without the keyring.
    """
    with tempfile.TemporaryDirectory(prefix="naust-") as folder:
        place = Path(folder)
        ring, signed, text = place / "keyring.gpg", place / "signed", place / "text"
        ring.write_bytes(_keys(keyring))
        files = [str(signed)]
        signed.write_bytes(data)
        if detached is not None:
            (place / "signature").write_bytes(detached)
            files = [str(place / "signature"), str(signed)]
        argv = ["gpgv", "--homedir", folder, "--status-fd", "1", "--weak-digest", "SHA1", "--weak-digest", "RIPEMD160"]
        argv += ["--keyring", str(ring), *([] if detached is not None else ["--output", str(text)]), *files]
        check_status(run(argv, timeout=_WITHIN, check=False), data, keyring, what)
        return data if detached is not None else text.read_bytes()


def check_status(result: Result, data: bytes, keyring: Path, what: str) -> None:
    """Read what gpgv says. Its exit status is no help: it fails too if one of several keys is not known."""
    said = [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("[GNUPG:] ")]
    seen = [words for words in said if words and words[0] in (_GOOD, *_OTHERS)]
    kinds = {words[0] for words in seen}
    if _GOOD in kinds and "BADSIG" not in kinds:
        return
    if not seen:
        beginning = data[:60].decode("ascii", "replace").split("\n")[0]
        raise _untrusted(what, f"There is no signature in it; it begins with {beginning!r}.", keyring)
    raise _untrusted(
        what, "\n".join(f"The signature of {words[1]} {_OTHERS.get(words[0], '')}" for words in seen), keyring
    )


def _untrusted(what: str, details: str, keyring: Path) -> Corrupt:
    return Corrupt(
        f"{what} is not signed by a key of {keyring}",
        details=details,
        resolution="Nothing of it was used. See that `url` is right; if upstream has new keys, get them from where you "
        "trust it and name their file as `keyring`.",
    )


def _keys(path: Path) -> bytes:
    """A keyring as gpgv wants it: binary. Several armoured blocks may follow each other (RFC 9580, section 6.2)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"the keyring {path} cannot be read",
            details=error.strerror or "",
            resolution="Debian's is in the package debian-archive-keyring; or name another file as `keyring`.",
        ) from error
    if b"-----BEGIN PGP" not in data:
        return data
    blocks = re.findall(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----(.*?)-----END PGP", data.replace(b"\r", b""), re.S)
    return b"".join(map(_unarmoured, blocks))


def _unarmoured(block: bytes) -> bytes:
    _, _, body = block.partition(b"\n\n")
    return base64.b64decode(b"".join(line for line in body.split(b"\n") if not line.startswith(b"=")))


# Packets


def _packet(kind: int, body: bytes) -> bytes:
    return bytes((0xC0 | kind,)) + _length(len(body)) + body


def _sub(kind: int, data: bytes) -> bytes:
    """A subpacket of a signature."""
    return _length(len(data) + 1) + bytes((kind,)) + data


def _length(count: int) -> bytes:
    if count < 192:
        return bytes((count,))
    return bytes((((count - 192) >> 8) + 192, (count - 192) & 0xFF))  # ours are below 8384


def _number(data: bytes) -> bytes:
    """A multiprecision integer: how many bits, then the bytes without leading zeros (section 3.2)."""
    value = int.from_bytes(data)
    return value.bit_length().to_bytes(2) + value.to_bytes((value.bit_length() + 7) // 8)


def _seconds(moment: datetime) -> bytes:
    return int(moment.timestamp()).to_bytes(4)


def _armoured(kind: str, data: bytes) -> bytes:
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    # GnuPG 2.2 takes the last line for data where neither padding nor a checksum ends it (section 6.1.1).
    check = base64.b64encode(_crc24(data).to_bytes(3)).decode()
    return f"-----BEGIN PGP {kind}-----\n\n{lines}\n={check}\n-----END PGP {kind}-----\n".encode()


def _crc24(data: bytes) -> int:
    """The checksum of armour (section 6.1)."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc & 0xFFFFFF
