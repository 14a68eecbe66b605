"""The secrets of one deployment: made once, kept in one age-encrypted file, the same on every deploy.

The file is the cell `secrets.age` of what the deployment keeps (seter.keep), in a folder or a store. Its key is the
operator's identity ($SETER_IDENTITY, else ~/.config/seter/identity), made at first use and readable by its owner alone.
"""

from __future__ import annotations

import base64
import json
import os
import secrets as random_source
import struct
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.errors import BadInput, Conflict, Corrupt, Denied
from common.files import write_atomically
from common.model import Secret
from common.role import Role, SecretNeed
from seter.keep.interface import SECRETS, Cells
from seter.tree import File

if TYPE_CHECKING:
    import pyrage

FORMAT = 1
MODE = 0o400
PASSWORD_BYTES = 24  # 192 bits
RENEW_BEFORE = timedelta(days=30)  # of a certificate's end: time for many to see that a deploy is due
AUTHORITY, NEXT, BEFORE = "own/authority", "own/authority-next", "own/authority-before"


class Stage(StrEnum):
    """A change of the CA: nothing under way; both trusted, the old one signs; both trusted, the new one signs."""

    SETTLED = "settled"
    TRUSTED = "trusted"
    ADOPTED = "adopted"


def identity_file() -> Path:
    """Where the operator's age identity is."""
    named = os.environ.get("SETER_IDENTITY")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(named) if named else home / "seter" / "identity"


@dataclass(frozen=True, slots=True)
class Wish:
    """One secret that a role on a node needs, with the names that a certificate must cover."""

    role: Role
    need: SecretNeed
    node: str
    names: tuple[str, ...] = ()
    given: str = ""  # where the operator's own certificate or password is, if there is one

    @property
    def key(self) -> str:
        """Where it is kept: one for the deployment, or one for each node and role."""
        if self.need.scope == "deployment":
            return f"deployment/{self.need.make}/{self.need.name}"
        return f"node/{self.node}/{self.role.name}/{self.need.make}/{self.need.name}"


class Vault:
    """The open secrets of a deployment. Nothing is written before `save`, and then only if something was made."""

    def __init__(
        self,
        cells: Cells,
        deployment: str,
        values: dict[str, dict[str, str]],
        version: str,
        recipients: tuple[str, ...] = (),
    ) -> None:
        self._cells = cells
        self._version = version
        self.recipients = recipients  # public keys of the operators who can read it; none for this one alone
        self._deployment = deployment
        self._values = values
        self._changed = False
        self._given: list[str] = []  # the operator's own, which are kept nowhere
        self.renewed: dict[str, datetime] = {}  # certificates that were drawn anew because they end then
        self.is_new = not version

    def moved(self, cells: Cells) -> Vault:
        """The same secrets, to be saved elsewhere."""
        there = Vault(cells, self._deployment, self._values, "", self.recipients)
        there._changed, there.is_new = True, False
        return there

    @property
    def has_unsaved(self) -> bool:
        """Something in it was made now; until it is saved, the next look makes it anew and differently."""
        return self._changed

    @property
    def key(self) -> bytes:
        """Key of the digests that cover secrets."""
        return bytes.fromhex(self._once("own/digests", lambda: {"hex": random_source.token_hex(32)})["hex"])

    def files(self, wish: Wish) -> tuple[File, ...]:
        """The files of a secret as they lie on the node, made if it is the first time."""
        uid = wish.role.process.uid if wish.role.process is not None else 0
        return tuple(File(name, data.encode(), MODE, uid) for name, data in self._content(wish).items())

    def _content(self, wish: Wish) -> Mapping[str, str]:
        if wish.need.make == "certificate":
            return self._certificate(wish)
        if wish.given:
            from seter.given import read_cephx, read_word

            word = (read_cephx if wish.need.make == "cephx" else read_word)(wish.given)
            self._given.append(word)
            return {wish.need.name: word}
        value = self._once(wish.key, lambda: {"value": make(wish.need.make)})
        return {wish.need.name: value["value"]}

    def _certificate(self, wish: Wish) -> Mapping[str, str]:
        """Kept as long as the names that it must cover stay the same, and until a month before it ends; the operator's
        own is never kept."""
        from seter.certificates import Pair, end_of, make_authority, make_certificate
        from seter.given import read_pair

        def authority() -> dict[str, str]:
            pair = make_authority(self._deployment)
            return {"certificate": pair.certificate, "key": pair.key}

        def certificate() -> dict[str, str]:
            common_name = wish.node if wish.need.scope == "node" else wish.names[0]
            signer = ca if ca["key"] else self._values[NEXT]  # see `restored`
            pair = make_certificate(Pair(signer["certificate"], signer["key"]), common_name, wish.names)
            ends = end_of(pair.certificate).isoformat()
            return {"certificate": pair.certificate, "key": pair.key, "names": names, "ends": ends}

        names, name = " ".join(wish.names), wish.need.name
        ca = self._once(AUTHORITY, authority)
        if wish.given:
            own = read_pair(wish.given, wish.names)
            self._given.append(own.key)
            return {f"{name}.crt": own.certificate, f"{name}.key": own.key, "ca.crt": self._trusted(ca)}
        kept = self._values.get(wish.key)
        if kept is not None and kept.get("names", names) != names:
            del self._values[wish.key]
        elif kept is not None:
            if "ends" not in kept:  # made before this was noted; a fleet has many, and each look passes here
                kept["ends"] = end_of(kept["certificate"]).isoformat()
            ends = datetime.fromisoformat(kept["ends"])
            if ends - datetime.now(UTC) < RENEW_BEFORE:
                del self._values[wish.key]
                self.renewed[wish.key] = ends
        made = self._once(wish.key, certificate)
        return {f"{name}.crt": made["certificate"], f"{name}.key": made["key"], "ca.crt": self._trusted(ca)}

    def _trusted(self, ca: Mapping[str, str]) -> str:
        """The CA, and while it is changed the other one too. The older comes first, so that this text stays the same
        when the newer one begins to sign."""
        before, following = self._values.get(BEFORE), self._values.get(NEXT)
        certificates = [each["certificate"] for each in (before, ca, following) if each is not None]
        return "".join(certificates)

    @property
    def stage(self) -> Stage:
        """How far a change of the CA has come."""
        return Stage.TRUSTED if NEXT in self._values else Stage.ADOPTED if BEFORE in self._values else Stage.SETTLED

    def share(self, add: Collection[str], remove: Collection[str]) -> None:
        """Let these operators read it from the next `save` on, and those no more. Raises BadInput for what is no public
        key, and for taking oneself out."""
        own = public_key()
        for key in (*add, *remove):
            _recipient(key)
        if own in remove:
            raise BadInput("you would lock yourself out", resolution="Let another operator take your key out.")
        kept = dict.fromkeys((*self.recipients, own, *add))
        recipients = tuple(key for key in kept if key not in remove)
        if (add or remove) and recipients != self.recipients:
            self.recipients, self._changed = recipients, True

    def renew(self, keys: Collection[str]) -> None:
        """Draw these anew, each when it is asked for next. Those that were never made are no error."""
        for key in keys:
            if self._values.pop(key, None) is not None:
                self._changed = True

    def trust_next(self) -> None:
        """A change of the CA begins: the next one is there and trusted, and signs nothing yet."""
        from seter.certificates import make_authority

        pair = make_authority(self._deployment)
        self._values[NEXT] = {"certificate": pair.certificate, "key": pair.key}
        self._changed = True

    def adopt_next(self) -> None:
        """The next CA signs all certificates anew; the one before is trusted still, and its key is gone."""
        self._values[BEFORE] = {"certificate": self._values[AUTHORITY]["certificate"]}
        self._values[AUTHORITY] = self._values.pop(NEXT)
        self.renew([key for key, value in self._values.items() if "names" in value])
        self._changed = True

    def drop_before(self) -> None:
        """The CA before is trusted no more."""
        del self._values[BEFORE]
        self._changed = True

    def _once(self, key: str, made: Callable[[], dict[str, str]]) -> dict[str, str]:
        if key not in self._values:
            self._values[key] = made()
            self._changed = True
        return self._values[key]

    def values(self) -> tuple[Secret, ...]:
        """Every value in it and of the operator's own, for those who must keep them out of what they show."""
        kept = (
            value for entry in self._values.values() for name, value in entry.items() if name in ("value", "key", "hex")
        )
        return tuple(Secret(value) for value in (*kept, *dict.fromkeys(self._given)))

    def save(self) -> None:
        """Write what was made; nothing happens when nothing was. Raises Conflict if another run wrote meanwhile."""
        if self._changed:
            content = {"format": FORMAT, "values": self._values, "recipients": self.recipients}
            sealed = seal(json.dumps(content).encode(), self.recipients)
            self._version = self._cells.swap(SECRETS, sealed, self._version)
            self._changed = False


def open_vault(cells: Cells, deployment: str, earlier: Cells | None = None) -> Vault:
    """The deployment's secrets; those at an earlier place, to be saved here, when there are none; else an empty vault.

    Raises Denied, Corrupt, BadInput."""
    cell = cells.read(SECRETS)
    if not cell.data and earlier is not None and earlier.read(SECRETS).data:
        return open_vault(earlier, deployment).moved(cells)
    if not cell.data:
        return Vault(cells, deployment, {}, "")
    what = f"{SECRETS} of {deployment}"
    content = json.loads(unseal(cell.data, what))
    if content["format"] > FORMAT:
        raise BadInput(f"{what} was written by a newer seter", resolution="Use that version, or a newer one.")
    return Vault(cells, deployment, content["values"], cell.version, tuple(content.get("recipients", ())))


def restored(cells: Cells, deployment: str, values: Mapping[str, dict[str, str]]) -> Vault:
    """A vault of what was found elsewhere, to be saved here. The key of the CA is in none of it: another CA is trusted
    beside it from the next deploy on, as in a change of the CA that has begun."""
    vault = Vault(cells, deployment, dict(values), "")
    if AUTHORITY in values:
        vault.trust_next()
    return vault.moved(cells)


def refuse_lost_vault(vault: Vault, where: str, nodes: Sequence[str]) -> None:
    """Nodes are there but their secrets are not: making new ones would cut off every peer. Raises Conflict."""
    if vault.is_new and nodes:
        raise Conflict(
            f"nodes {', '.join(sorted(nodes))} exist, but {where}/{SECRETS} does not",
            resolution="Run seter in the folder it was deployed from, or set SETER_STATE to the folder's .seter, or to "
            "the store that it was deployed with. If all that is lost: seter adopt; or destroy the deployment first.",
        )


def make(kind: str) -> str:
    """A new secret value. A cephx key is Ceph's CryptoKey: type 1 (AES), time, length, 16 random bytes, in base64."""
    if kind == "password":
        return random_source.token_urlsafe(PASSWORD_BYTES)
    if kind == "cephx":
        now = time.time_ns()
        packed = struct.pack("<HIIH", 1, now // 10**9, now % 10**9, 16)
        return base64.b64encode(packed + random_source.token_bytes(16)).decode()
    raise BadInput(f"{kind!r} is no kind of secret", resolution="Use certificate, password or cephx.")


def _identity() -> pyrage.x25519.Identity:
    import pyrage

    file = identity_file()
    if not file.exists():
        made = pyrage.x25519.Identity.generate()
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(file, f"# age identity of seter, public key {made.to_public()}\n{made}\n", mode=0o600)
        return made
    if file.stat().st_mode & 0o077:
        raise Denied(f"{file} can be read by others", resolution=f"chmod 600 {file}")
    lines = [line for line in file.read_text().splitlines() if line.startswith("AGE-SECRET-KEY-")]
    if not lines:
        raise BadInput(f"{file} holds no age identity", resolution="Its line starts with AGE-SECRET-KEY-1.")
    return pyrage.x25519.Identity.from_str(lines[0])


def encrypt_stream(source: BinaryIO, sink: BinaryIO) -> None:
    """Encrypt for the operator's identity, piece by piece (age-encryption.org/v1)."""
    import pyrage

    pyrage.encrypt_io(source, sink, [_identity().to_public()])


def decrypt_stream(source: BinaryIO, sink: BinaryIO, what: str) -> None:
    """The reverse. Raises Corrupt, when part of it may have been written, for another identity's or damaged bytes."""
    import pyrage

    try:
        pyrage.decrypt_io(source, sink, [_identity()])
    except (pyrage.DecryptError, OSError) as error:
        raise Corrupt(
            f"{what} cannot be decrypted: {error}",
            resolution=f"It was made for another identity than {identity_file()} (see SETER_IDENTITY), or is damaged.",
        ) from error


def public_key() -> str:
    """Of the operator's identity, as others are told it: age1…"""
    return str(_identity().to_public())


def _recipient(key: str) -> pyrage.x25519.Recipient:
    import pyrage

    try:
        return pyrage.x25519.Recipient.from_str(key)
    except pyrage.RecipientError as error:
        raise BadInput(
            f"{key!r} is no public key of age: {error}", resolution="It starts with age1; `age-keygen -y` prints it."
        ) from error


def seal(plain: bytes, recipients: Collection[str] = ()) -> bytes:
    """Encrypted for the operator who runs this, and for these."""
    import pyrage

    keys = dict.fromkeys((public_key(), *recipients))
    return bytes(pyrage.encrypt(plain, [_recipient(key) for key in keys], armored=True))


def unseal(data: bytes, what: str) -> bytes:
    """The reverse. Raises Denied without an identity, Corrupt for another one and for damaged bytes."""
    import pyrage

    if not identity_file().exists():
        raise Denied(
            f"{what} is encrypted, and {identity_file()} does not exist",
            resolution="Set SETER_IDENTITY to the identity that the deployment was made with.",
        )
    try:
        return bytes(pyrage.decrypt(data, [_identity()]))
    except pyrage.DecryptError as error:
        raise Corrupt(
            f"{what} cannot be decrypted: {error}",
            resolution=f"It was made for others than {identity_file()} (see SETER_IDENTITY), or is damaged. Who can "
            f"read it lets you in with: seter operators SYSTEM --target TARGET --add {public_key()}",
        ) from error
