"""What an upstream is: a place that offers files, and knows which of them are wanted and what they must be.

A mirror run is three steps. `survey` asks upstream what there is: its own checks (signatures, dates) happen here, and
the answer is a list of items, each with the digest that it must have, or without one where upstream publishes none.
Fetching them is the same for all kinds (naust.source.mirror). `index` then makes the files that clients read first,
such as Packages or the page of a project, out of the items that are there; nothing in them may depend on the time.

A source's files are a flat mapping from path to blob; everything about serving them is in those paths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from common.console import Report
from common.model import Digest

if TYPE_CHECKING:
    from naust.wire.transport import Transport  # brings in ssl, which whoever only reads states does not need


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """What an item is, for people and for `naust affected`. `kind` is a package URL type (purl-spec): deb, pypi, oci,
    terraform, generic. `origin` is where in the upstream it comes from, such as `trixie-security`."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    origin: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same from version to version."""
        return self.kind, self.name, self.architecture


@dataclass(frozen=True, slots=True)
class Item:
    """One file that upstream offers. `path` is where clients find it below the source, relative, without `..`.
    `size` in bytes, -1 where upstream does not say; `digest` None where it publishes none: then what comes is what
    it is, and a later run that gets something else under this path is told so. `may_miss` is the definition's word
    that the source counts as whole without it. `facts` are for the upstream's own `index`."""

    path: str
    url: str
    size: int = -1
    digest: Digest | None = None
    media_type: str = "application/octet-stream"
    package: Package | None = None
    may_miss: bool = False
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """An item whose bytes are in the store."""

    item: Item
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is upstream. `date` is upstream's own date of it; `mark` tells whether anything changed (an ETag, the
    digest of a Release file): the same mark means the same items. `extra` are files that upstream made itself and that
    are kept as they are, such as its signed Release: path → bytes. `dates` are those of parts that may move by
    themselves, such as suites: none of them may go back."""

    items: tuple[Item, ...]
    mark: str
    date: datetime | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)
    dates: Mapping[str, datetime] = field(default_factory=dict)


class Upstream(Protocol):
    """One source's upstream, made from its block in sources.hcl."""

    def survey(self, transport: Transport, previous: str, report: Report) -> Survey | None:
        """What there is now; None if the mark is still `previous`, so that nothing has to be fetched or read again.

        Raises Unavailable; Corrupt if a signature, a date or the form is wrong.
        """
        ...

    def index(self, kept: Sequence[Kept], survey: Survey) -> Mapping[str, bytes]:
        """The files that clients read first, by path. The same input gives the same bytes."""
        ...


Read = Callable[[Kept], AbstractContextManager[BinaryIO]]


@runtime_checkable
class Reads(Protocol):
    """An upstream whose index says something of what is in the files: it has to be told how to read them again."""

    def reads(self, read: Read) -> None:
        """From now on, `read` gives the bytes of what is kept."""
        ...
