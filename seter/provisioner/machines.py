"""What is kept of virtual machines between runs: Terraform's states, the keys to the machines, where each node is.

It is one cell beside lease and secrets (seter.keep), compressed and encrypted for the same operators as the secrets
are. Who writes has the lease; two runs on different groups write different entries of it.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from common.errors import BadInput, Conflict, Corrupt
from seter.keep import Keep
from seter.keep.interface import MACHINES
from seter.secrets import open_vault, seal, unseal

FORMAT = 1
TRIES = 20  # writes of others that may come between


@dataclass(frozen=True, slots=True)
class Pair:
    """An SSH key: the private half in OpenSSH's form, the public one as "TYPE KEY"."""

    private: str
    public: str


@dataclass(frozen=True, slots=True)
class Unit:
    """What Terraform keeps by itself: a network, a node. `given` is what its files are made of; `state` is Terraform's
    own, '' as long as it has none."""

    given: Mapping[str, Any]
    state: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """All of it. `hosts` are the machines' own keys, `marks` what a node carries (seter.provisioner.hosts), with the
    address that it is reached at."""

    login: Pair | None = None
    hosts: Mapping[str, Pair] = field(default_factory=dict)
    marks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)


def make_pair() -> Pair:
    """A new Ed25519 key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return Pair(private.decode(), public.decode())


class Machines:
    """The cell of one deployment. Its calls may come from several threads."""

    def __init__(self, keep: Keep) -> None:
        self._keep, self._turn = keep, threading.Lock()

    def read(self) -> Book:
        """What stands there now. Raises Denied and Corrupt as the secrets do, BadInput for what a newer seter wrote."""
        cell = self._keep.cells.read(MACHINES)
        return parse(unseal(cell.data, self._what), self._what) if cell.data else Book()

    def change(self, changed: Callable[[Book], Book]) -> Book:
        """Read, change, swap; again if another was faster. Raises Conflict without a lease, or when it is lost."""
        with self._turn:
            for _ in range(TRIES):
                cell = self._keep.cells.read(MACHINES)
                before = parse(unseal(cell.data, self._what), self._what) if cell.data else Book()
                after = changed(before)
                if after == before:
                    return before
                self._keep.refuse_unleased()
                try:
                    self._keep.cells.swap(MACHINES, self._sealed(after), cell.version)
                except Conflict:
                    continue
                return after
        raise Conflict(f"{self._what} is written by others all the time", resolution="Run the command again.")

    def reseal(self) -> None:
        """The same for the operators of now. Under the lease."""
        cell = self._keep.cells.read(MACHINES)
        if cell.data:
            book = parse(unseal(cell.data, self._what), self._what)
            self._keep.refuse_unleased()
            self._keep.cells.swap(MACHINES, self._sealed(book), cell.version)

    def sealed(self, data: bytes) -> bytes:
        """Encrypted for the operators, for what has to lie on this machine until it can be written."""
        return seal(data, open_vault(self._keep.cells, str(self._keep.deployment)).recipients)

    def unsealed(self, data: bytes) -> bytes:
        """The reverse. Raises Denied, Corrupt."""
        return unseal(data, self._what)

    def remove(self) -> None:
        """Nothing of it is needed any more. Under the lease."""
        self._keep.refuse_unleased()
        self._keep.cells.remove(MACHINES)

    def _sealed(self, book: Book) -> bytes:
        return self.sealed(written(book))

    @property
    def _what(self) -> str:
        return f"{MACHINES} of {self._keep.deployment}"


def written(book: Book) -> bytes:
    """The bytes that are encrypted. Pure."""
    content = {
        "format": FORMAT,
        "login": _pair(book.login) if book.login else None,
        "hosts": {name: _pair(pair) for name, pair in book.hosts.items()},
        "marks": {name: dict(mark) for name, mark in book.marks.items()},
        "units": {name: {"given": dict(unit.given), "state": unit.state} for name, unit in book.units.items()},
    }
    return zlib.compress(json.dumps(content, sort_keys=True).encode(), 9)


def parse(data: bytes, what: str) -> Book:
    """The reverse. Raises Corrupt for what is no such book, BadInput for a newer one."""
    try:
        said = json.loads(zlib.decompress(data))
        if said["format"] > FORMAT:
            raise BadInput(f"{what} was written by a newer seter", resolution="Use that version, or a newer one.")
        return Book(
            login=Pair(*_words(said["login"])) if said["login"] else None,
            hosts={str(name): Pair(*_words(pair)) for name, pair in said["hosts"].items()},
            marks={str(name): dict(mark) for name, mark in said["marks"].items()},
            units={str(name): Unit(dict(unit["given"]), str(unit["state"])) for name, unit in said["units"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise Corrupt(
            f"{what} cannot be read: {type(error).__name__}: {error}",
            resolution="Put it back from a copy of the state; without it nobody knows which machines are ours.",
        ) from error


def _pair(pair: Pair) -> list[str]:
    return [pair.private, pair.public]


def _words(pair: object) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise TypeError("a key is no pair")
    return str(pair[0]), str(pair[1])


def with_state(book: Book, unit: str, state: str) -> Book:
    """The unit has this state now. Pure."""
    there = book.units.get(unit, Unit({}))
    return replace(book, units={**book.units, unit: replace(there, state=state)})


def with_unit(book: Book, unit: str, given: Mapping[str, Any]) -> Book:
    """The unit is to be made of this; its state stays. Pure."""
    there = book.units.get(unit, Unit({}))
    return replace(book, units={**book.units, unit: replace(there, given=given)})


def without_unit(book: Book, unit: str) -> Book:
    """It is gone. Pure."""
    return replace(book, units={name: each for name, each in book.units.items() if name != unit})


def without_node(book: Book, node: str) -> Book:
    """Neither its place nor its key. Pure."""
    return replace(
        book,
        hosts={name: pair for name, pair in book.hosts.items() if name != node},
        marks={name: mark for name, mark in book.marks.items() if name != node},
    )
