"""Nouns that all three tools share. Frozen and slotted; tuples, never lists."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from common.errors import BadInput

# OCI distribution 1.1, "Pulling manifests": <name> and <reference> (tag) grammars.
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HEX = {"sha256": 64, "sha512": 128}  # OCI image specification 1.1, descriptor.md, "Registered algorithms"


class Kind(StrEnum):
    """What an artefact is for."""

    CONTAINER = "container"
    VM = "vm"
    ROOTFS = "rootfs"
    FILE = "file"
    SNAPSHOT = "snapshot"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest in OCI's form, `sha256:<64 hex digits>`. We make sha256; sha512 is kept where others made it."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `algorithm:hex`. Raises BadInput."""
        algorithm, _, digits = text.partition(":")
        if len(digits) != _HEX.get(algorithm, -1) or not re.fullmatch(r"[0-9a-f]+", digits):
            raise BadInput(f"{text!r} is no digest", resolution="A digest reads sha256: and 64 hexadecimal digits.")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """The digest of these bytes."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @property
    def short(self) -> str:
        """Twelve digits, for people."""
        return self.hex[:12]


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """`kind/name:tag`; an empty tag stands for the newest."""

    kind: Kind
    name: str
    tag: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `container/traefik` or `container/traefik:3.7.15`. Raises BadInput."""
        path, _, tag = text.partition(":")
        kind, _, name = path.partition("/")
        if kind not in set(Kind) or not _NAME.fullmatch(name) or (tag and not _TAG.fullmatch(tag)):
            raise BadInput(
                f"{text!r} names no artefact",
                resolution=f"Write KIND/NAME or KIND/NAME:VERSION; kinds are {', '.join(Kind)}.",
            )
        return cls(Kind(kind), name, tag)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}:{self.tag}" if self.tag else f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One immutable thing in a store. `digest` is that of its manifest, `size` the bytes of all that it consists of."""

    reference: Reference
    version: str
    digest: Digest
    size: int
    media_type: str
    created: datetime
    made_from: Digest | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    def annotation(self, name: str) -> str:
        """The annotation's value, or ''."""
        return dict(self.annotations).get(name, "")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that never shows: `str` and `repr` are stars."""

    value: str

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"


class Stage(StrEnum):
    """Where an event stands in the life of its subject. Who draws progress needs to know."""

    BEGINS = "begins"
    WITHIN = "within"
    ENDS = "ends"


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened; the core emits it, the console shows it."""

    kind: str
    subject: str
    message: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    stage: Stage = Stage.WITHIN


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a check came out."""

    check: str
    ok: bool
    measured: str
    expected: str
