"""What of a store a visitor asked to see: search, filter, newest first, one page of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from common.model import Kind
from naust.brief import CHANNEL, Brief
from naust.listing import rows
from naust.store.interface import Store

PER_PAGE = 50
LONGEST_SEARCH = 200  # characters
MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. `newest` shows one artefact of each name, `number` counts pages from 1."""

    text: str = ""
    kind: str = ""
    newest: bool = False
    number: int = 1

    @property
    def words(self) -> tuple[str, ...]:
        """All of these have to be there, in any case."""
        return tuple(self.text.lower().split()[:MOST_WORDS])


@dataclass(frozen=True, slots=True)
class Found:
    """One page of what was found. `damaged` counts artefacts that cannot be read."""

    rows: tuple[Brief, ...]
    total: int
    damaged: int
    number: int
    pages: int


def wanted(query: Mapping[str, str], kind: str = "") -> Wanted:
    """Read a query; what makes no sense is left out, as a person types it. `kind` is that of the path, if any."""
    typed = query.get("page", "")
    asked = kind or query.get("kind", "")
    return Wanted(
        text=query.get("q", "").strip()[:LONGEST_SEARCH],
        kind=asked if asked in set(Kind) else "",
        newest=query.get("show") == "newest",
        number=int(typed) if typed.isascii() and typed.isdigit() and 0 < len(typed) < 8 and int(typed) > 0 else 1,
    )


def look(store: Store, asked: Wanted, readable: Callable[[str], bool]) -> Found:
    """Go through the listing once and keep one page of it. A channel shows at the version that it stands for.

    Time and memory grow with the number of artefacts; annotations are read only for a search.
    """
    found: list[Brief] = []
    damaged = 0
    permitted = cache(readable)
    fits = _fitting(asked.words)
    for each in rows(store, f"{asked.kind}/" if asked.kind else "", annotations=bool(asked.words)):
        if not isinstance(each, Brief):
            damaged += permitted(each[0])
        elif each.role != CHANNEL and permitted(f"{each.kind}/{each.name}") and fits(each):
            found.append(each)
    found.sort(reverse=True)
    shown = list(_newest(found)) if asked.newest else found
    pages = max(1, -(-len(shown) // PER_PAGE))
    at = min(asked.number, pages)
    return Found(tuple(shown[(at - 1) * PER_PAGE : at * PER_PAGE]), len(shown), damaged, at, pages)


def _fitting(words: tuple[str, ...]) -> Callable[[Brief], bool]:
    """Whether all words are somewhere in a row. Annotations are JSON in ASCII, so words are sought as JSON has them."""
    pairs = [(word, json.dumps(word)[1:-1].lower()) for word in words]

    def fits(row: Brief) -> bool:
        text = f"{row.kind}/{row.name}:{row.tag} {row.version} {row.channels} {row.digest} {row.media_type}".lower()
        said = row.annotations.lower()
        return all(word in text or escaped in said for word, escaped in pairs)

    return fits if words else lambda row: True


def _newest(found: Iterable[Brief]) -> Iterable[Brief]:
    """The first of each name, that is the newest."""
    kept: dict[tuple[str, str], Brief] = {}
    for each in found:
        kept.setdefault((each.kind, each.name), each)
    return kept.values()
