"""`naust du`: what costs what. A blob that only one name has is that name's alone; what others have too is shared, and
would stay if the name went. Follows indexes, children and whatever refers to them, as `naust gc` does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import Corrupt, NotFound
from common.model import Digest
from naust import reach
from naust.gc import Marks, roots
from naust.store.interface import Store
from naust.version import is_dated

_SHARED = -1


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """What one name, or one version, has: bytes that only it has, and those that others have too."""

    name: str
    versions: int
    blobs: int
    alone: int
    shared: int
    channels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """All bytes that it consists of."""
        return self.alone + self.shared


@dataclass(frozen=True, slots=True)
class Usage:
    """The store: what each has, and everything once."""

    uses: tuple[Use, ...]
    blobs: int
    size: int
    damaged: tuple[str, ...] = ()


def usage(store: Store, prefix: str = "", *, versions: bool = False) -> Usage:
    """What names have that begin with `prefix` (`kind/name`); with `versions`, each manifest with a tag for itself.
    What is shared with other names counts as shared, whatever the prefix."""
    damaged: list[Corrupt] = []
    owners = _Owners()
    rows = list(_rows(store, versions, damaged))
    for number, row in enumerate(rows):
        for digest, size in _blobs(store, row, damaged):
            owners.add(digest, size, number)
    uses = [_use(store, row, owners, damaged) for row in rows if row.name.startswith(prefix)]
    uses.sort(key=lambda use: (-use.alone, use.name))
    messages = dict.fromkeys(error.message for error in damaged)
    return Usage(tuple(uses), len(owners), owners.size, tuple(messages))


@dataclass(frozen=True, slots=True)
class _Row:
    """A name with those of its tags that count together."""

    name: str  # kind/name
    tags: tuple[str, ...]
    shown: str
    versions: int


class _Owners:
    """Which row has which blob, in about 150 bytes for each."""

    def __init__(self) -> None:
        self._of: dict[bytes, int] = {}
        self.size = 0

    def add(self, digest: Digest, size: int, row: int) -> None:
        key = bytes.fromhex(digest.hex)
        first = self._of.get(key)
        if first is None:
            self._of[key] = row
            self.size += size
        elif first != row:
            self._of[key] = _SHARED

    def is_alone(self, digest: Digest) -> bool:
        return self._of.get(bytes.fromhex(digest.hex)) != _SHARED

    def __len__(self) -> int:
        return len(self._of)


def _rows(store: Store, versions: bool, damaged: list[Corrupt]) -> Iterator[_Row]:
    """Names with all of their tags; or tags that stand for the same manifest, together."""
    found: dict[tuple[str, str], list[str]] = {}
    counts: dict[str, set[Digest]] = {}
    for name, tag in roots(store):
        try:
            digest = Digest.of(store.manifest(name, tag))
        except NotFound:
            continue
        except Corrupt as error:
            damaged.append(error)
            continue
        counts.setdefault(name, set()).add(digest)
        found.setdefault((name, str(digest) if versions else ""), []).append(tag)
    for (name, digest_text), tags in found.items():
        shown = f"{name}:{_plainest(tags)}" if versions else name
        yield _Row(name, tuple(tags), shown, 1 if digest_text else len(counts[name]))


def _plainest(tags: list[str]) -> str:
    return next(filter(is_dated, tags), tags[0])


def _use(store: Store, row: _Row, owners: _Owners, damaged: list[Corrupt]) -> Use:
    blobs = alone = shared = 0
    for digest, size in _blobs(store, row, damaged):
        blobs += 1
        if owners.is_alone(digest):
            alone += size
        else:
            shared += size
    channels = tuple(sorted(tag for tag in row.tags if not is_dated(tag)))
    return Use(row.shown, row.versions, blobs, alone, shared, channels)


def _blobs(store: Store, row: _Row, damaged: list[Corrupt]) -> Iterator[tuple[Digest, int]]:
    """Everything that these tags lead to, each once: manifests and blobs with their sizes."""
    seen, manifests = Marks(), Marks()
    for tag in row.tags:
        try:
            top = reach.tagged(store, row.name, tag)
        except NotFound:
            continue
        except Corrupt as error:
            damaged.append(error)
            continue
        if not manifests.add(top.digest):
            continue
        for node in reach.around(store, row.name, top, damaged=damaged.append):
            manifests.add(node.digest)
            every = ((node.digest, len(node.data)), *((blob.digest, blob.size) for blob in node.read.blobs))
            yield from ((digest, size) for digest, size in every if seen.add(digest))
