"""Which snapshot is meant by what stands in a URL: a full tag, a day, or a view (a channel) that moves.

A full tag stands for the same for ever. A day is the last snapshot of that day; `latest` is the channel of that name,
or the newest snapshot where there is no such channel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from common.errors import Corrupt, NotFound
from common.model import Digest, Kind
from naust.promote import history
from naust.serve.served import ServedStore
from naust.serve.snapshots_tables import Bounded
from naust.store.interface import check_name
from naust.version import is_dated, split

NEWEST = "latest"
EARLIER = 8  # snapshots that a view stood for before, and whose lasting files are still found under its URL
_REMEMBERED = 4096
_SETTLED = 1.0  # seconds after which a file's time of change can be relied on

_Identity = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class View:
    """What `when` stands for now. `tag` is the full one, '' if there is none; `date` that of its publication."""

    name: str  # snapshot/<set>
    when: str
    tag: str
    digest: Digest
    since: int = 0  # time of change of the file that says so, nanoseconds: another one after each move

    @property
    def fixed(self) -> bool:
        """Whether it never changes."""
        return self.when == self.tag

    @property
    def date(self) -> datetime | None:
        """When it was published, to the second; no two snapshots of a set have the same."""
        return _date(self.tag)


class Views:
    """The names of the snapshots of a store. Any number of threads."""

    def __init__(self, store: ServedStore) -> None:
        self._store = store
        self._digests: Bounded[tuple[str, str, _Identity], Digest] = Bounded(_REMEMBERED)
        self._tags: Bounded[tuple[str, Digest], str] = Bounded(_REMEMBERED)
        self._before: Bounded[tuple[str, str, Digest, int], tuple[Digest, ...]] = Bounded(_REMEMBERED)

    def view(self, name: str, when: str) -> View:
        """What is meant, looked up now. Raises NotFound, saying what there is; BadInput, Corrupt."""
        since = self._since(name, when)
        digest = self._stands_for(name, when)
        if digest is not None:
            return View(name, when, when if _date(when) else self._dated(name, digest), digest, since)
        tag = self._meant(name, when)
        digest = self._stands_for(name, tag) if tag else None
        if digest is None:
            raise self._unknown(name, when)
        return View(name, tag if _same(tag, when) else when, tag, digest)

    def earlier(self, view: View) -> tuple[Digest, ...]:
        """What the view stood for before, the last first, at most EARLIER; nothing for one that never changes."""
        if view.fixed:
            return ()
        key = view.name, view.when, view.digest, view.since
        return self._before.get(key, lambda: self._look_back(view))

    def names(self) -> Iterator[str]:
        """All sets and sources, as the store names them."""
        yield from self._store.names(f"{Kind.SNAPSHOT}/")

    def tags(self, name: str) -> list[str]:
        """All full tags of a set, the newest first."""
        return sorted(filter(_date, self._store.tags(name)), key=_published, reverse=True)

    def channels(self, name: str) -> list[str]:
        """The views of a set that somebody made, sorted."""
        return [tag for tag in self._store.tags(name) if not is_dated(tag)]

    def _look_back(self, view: View) -> tuple[Digest, ...]:
        found = dict.fromkeys((*self._moved(view), *self._published_before(view)))
        found.pop(view.digest, None)
        return tuple(found)[:EARLIER]

    def _moved(self, view: View) -> Iterator[Digest]:
        try:
            moves = history(self._store, view.name, view.when)
        except (NotFound, Corrupt):  # a day, or a history that is damaged: what was published last serves as well
            return
        for move in reversed(moves[-EARLIER:]):
            yield move.to
            if move.before:
                yield move.before

    def _published_before(self, view: View) -> Iterator[Digest]:
        for tag in self.tags(view.name)[:EARLIER]:
            digest = self._stands_for(view.name, tag)
            if digest is not None:
                yield digest

    def _meant(self, name: str, when: str) -> str:
        """The full tag of a day, of the newest, or of one whose letters a client of registries had to make small."""
        every = self.tags(name)
        if when == NEWEST:
            return every[0] if every else ""
        return next((tag for tag in every if _same(tag, when) or (split(tag) or ("",))[0] == when), "")

    def _since(self, name: str, tag: str) -> int:
        try:
            return (self._store.root / check_name(name) / tag).stat().st_mtime_ns
        except (OSError, ValueError):
            return 0

    def _stands_for(self, name: str, tag: str) -> Digest | None:
        """The digest of what a tag stands for now. The file is read only if it changed, since it can be large."""
        path = self._store.root / check_name(name) / tag
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        if time.time() - status.st_mtime < _SETTLED:
            return self._read(name, tag)
        identity = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        try:
            return self._digests.get((name, tag, identity), lambda: _there(self._read(name, tag)))
        except NotFound:
            return None

    def _read(self, name: str, tag: str) -> Digest | None:
        try:
            return Digest.of(self._store.manifest(name, tag))
        except NotFound:
            return None

    def _dated(self, name: str, digest: Digest) -> str:
        """The full tag of what a channel stands for, '' if it has none any more."""
        found = (tag for tag in self.tags(name) if self._stands_for(name, tag) == digest)
        try:
            return self._tags.get((name, digest), lambda: _first(found))
        except NotFound:
            return ""

    def _unknown(self, name: str, when: str) -> NotFound:
        every = self.tags(name)
        if not every:
            return NotFound(f"there is no {name}", resolution="Look at /snapshots/ for those that there are.")
        known = ", ".join((*self.channels(name), *every[:5]))
        return NotFound(f"{name} has no snapshot {when!r}", resolution=f"It has {known}. Look at /snapshots/.")


def _there(digest: Digest | None) -> Digest:
    if digest is None:
        raise NotFound("it is gone", resolution="Ask again.")
    return digest


def _first(tags: Iterator[str]) -> str:
    for tag in tags:
        return tag
    raise NotFound("it has no full tag", resolution="Publish it.")


def _same(tag: str, when: str) -> bool:
    return tag.lower() == when.lower()


@lru_cache(_REMEMBERED)
def _date(tag: str) -> datetime | None:
    """strptime takes longer than all else that is done for a request."""
    dated = split(tag)
    return dated[1] if dated else None


def _published(tag: str) -> tuple[float, str]:
    date = _date(tag)
    return (date.timestamp() if date else 0.0), tag
