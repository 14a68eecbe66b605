"""Who may do what: a file of tokens, of which it holds only the SHA-256.

One token a line: name, digest, scopes separated by commas, and a date (RFC 3339) after which it is worth nothing, or
`never`. A scope is `read:`, `write:` or `admin:` and a name, or the beginning of one and `*`. Who may write may read;
who may administer may do both, take versions away and, with `admin:*`, look at and delete any blob.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

from common.errors import BadInput, Conflict, Denied, NotFound
from common.files import write_atomically
from common.model import Secret
from naust.store.incoming import explained, locked

PREFIX = "naust_"  # so that a token that got into a text is found by programs that look for such
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SCOPE = re.compile(r"(read|write|admin):([a-z0-9._/-]{0,255}\*|[a-z0-9._/-]{1,255})")
_HEX = re.compile(r"[0-9a-f]{64}")


class Right(IntEnum):
    """What may be done; each includes those before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Scope:
    """A right on one name, or on all that begin with something."""

    right: Right
    pattern: str

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read `write:file/app-*`. Raises BadInput."""
        found = _SCOPE.fullmatch(text)
        if found is None:
            raise BadInput(
                f"{text!r} is no scope",
                resolution="Write read:, write: or admin: and a name, such as write:file/app-*.",
            )
        return cls(Right[found[1].upper()], found[2])

    def covers(self, right: Right, name: str) -> bool:
        """Whether it gives this right on this name."""
        fits = name.startswith(self.pattern[:-1]) if self.pattern.endswith("*") else name == self.pattern
        return fits and self.right >= right

    def __str__(self) -> str:
        return f"{self.right.name.lower()}:{self.pattern}"


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who asks. Anonymous ones have no name."""

    name: str
    scopes: tuple[Scope, ...] = ()
    digest: str = ""  # SHA-256 of the token, hexadecimal
    until: datetime | None = None

    def may(self, right: Right, name: str) -> bool:
        """Whether this holder has the right on `kind/name`."""
        return any(scope.covers(right, name) for scope in self.scopes)

    def may_everywhere(self, right: Right) -> bool:
        """Whether it has the right on every name."""
        return any(scope.pattern == "*" and scope.right >= right for scope in self.scopes)

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.until is not None and datetime.now(UTC) >= self.until

    def line(self) -> str:
        """As the file has it."""
        until = self.until.isoformat(timespec="seconds") if self.until else "never"
        return f"{self.name} {self.digest} {','.join(map(str, self.scopes))} {until}"


class Tokens:
    """The tokens of a file, read again when it changes. Any number of threads."""

    def __init__(self, path: Path) -> None:
        """Raises Denied if others may read or write the file, NotFound, BadInput if a line is malformed."""
        self._path = path
        self._lock = threading.Lock()
        self._seen = _identity(path)
        self._holders = read(path)

    def holder(self, token: str) -> Holder | None:
        """Who has this token; None if nobody has, or not any more."""
        wanted = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for holder in self._current():
            # All are compared, each in constant time: how long it takes says nothing of what the file holds.
            if hmac.compare_digest(holder.digest, wanted):
                found = holder
        return None if found is None or found.expired else found

    def reload(self) -> None:
        """Read the file now. Raises what the constructor raises."""
        with self._lock:
            self._seen, self._holders = _identity(self._path), read(self._path)

    def _current(self) -> tuple[Holder, ...]:
        seen = _identity(self._path)
        if seen != self._seen:
            try:
                self.reload()
            except (BadInput, Denied, NotFound):
                # What cannot be trusted lets nobody in: a token that was to be revoked might be in it.
                with self._lock:
                    self._seen, self._holders = seen, ()
        return self._holders


def read(path: Path) -> tuple[Holder, ...]:
    """The tokens of a file. Raises Denied if others may read or write it, NotFound, BadInput."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        raise NotFound(
            f"there is no {path}", resolution="`naust token new NAME --scope read:* --tokens FILE` makes one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Denied(f"{path} cannot be read", details=str(error), resolution="Name a file that can.") from error
    if mode & 0o077:
        raise Denied(f"{path} may be read or written by others", resolution=f"Run: chmod 600 {path}")
    return tuple(_lines(path, text))


def _lines(path: Path, text: str) -> Iterator[Holder]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            name, digest, scopes, until = words if len(words) == 4 else (*words, "never")
            if not _NAME.fullmatch(name) or not _HEX.fullmatch(digest):
                raise ValueError
            held = tuple(Scope.parse(each) for each in scopes.split(","))
            yield Holder(name, held, digest, None if until == "never" else _moment(until))
        except (ValueError, BadInput):
            raise BadInput(
                f"{path}:{number} is no token",
                resolution="A line reads: NAME, SHA-256, SCOPES separated by commas, and a date or never.",
            ) from None


def _moment(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def new(path: Path, name: str, scopes: tuple[Scope, ...], until: datetime | None) -> Secret:
    """Add a token to the file, which is made if need be, and return it: nobody can tell it again.

    Raises BadInput for an impossible name or no scope, Conflict if the name is taken.
    """
    if not _NAME.fullmatch(name) or not scopes:
        raise BadInput(
            f"{name!r} can be no token" if scopes else f"{name} may do nothing",
            resolution="Write a name of letters, digits, `.`, `_`, `@` and `-`, and at least one --scope.",
        )
    token = PREFIX + secrets.token_urlsafe(32)
    with explained(path.parent), locked(path.with_name(f".{path.name}.lock")):
        there = read(path) if path.exists() else ()
        if any(each.name == name for each in there):
            raise Conflict(f"there is a token {name} already", resolution="Revoke it first, or choose another name.")
        held = Holder(name, scopes, hashlib.sha256(token.encode()).hexdigest(), until)
        _write(path, (*there, held))
    return Secret(token)


def revoke(path: Path, name: str) -> None:
    """Take a token away. Raises NotFound."""
    with explained(path.parent), locked(path.with_name(f".{path.name}.lock")):
        there = read(path)
        if all(each.name != name for each in there):
            raise NotFound(f"{path} has no token {name}", resolution="`naust token list` shows those that there are.")
        _write(path, tuple(each for each in there if each.name != name))


def _write(path: Path, holders: tuple[Holder, ...]) -> None:
    write_atomically(path, "".join(f"{each.line()}\n" for each in holders), mode=0o600)


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def described(holder: Holder) -> dict[str, str]:
    """A token for people and programs, without anything that is secret."""
    until = holder.until.isoformat(timespec="seconds") if holder.until else "never"
    return {
        "name": holder.name,
        "scopes": ",".join(map(str, holder.scopes)),
        "expires": f"{until} (expired)" if holder.expired else until,
    }


def lifetime(text: str) -> datetime | None:
    """When a token ends that is made now and lives so long, as in `90d`; None for ''. Raises BadInput."""
    from common.values import Wrong, as_duration

    try:
        return datetime.now(UTC).replace(microsecond=0) + as_duration(text) if text else None
    except Wrong as wrong:
        raise BadInput(str(wrong), resolution="Write a number and a unit, such as 90d.") from wrong
