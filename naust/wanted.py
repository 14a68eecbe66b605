"""Which artefacts a listing shows: by name, kind, version, date, channel and what they say of themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import translate

from common.errors import BadInput, Corrupt
from common.model import Kind
from naust.brief import ALONE, CHANNEL, Brief, plain
from naust.listing import rows
from naust.store.interface import Store
from naust.version import legal

Test = Callable[[Brief], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """All of it must fit; what is empty asks for nothing."""

    pattern: str = "*"  # shell pattern of a name, `kind/name` or `kind/name:tag`
    kind: Kind | None = None
    name: str = ""
    version: str = ""  # as it was written or as the tag has it; or a shell pattern
    since: str = ""  # a day, or a moment (ISO 8601); UTC where it names no zone
    until: str = ""  # as `since`; all of that day
    channel: str = ""
    labels: tuple[tuple[str, str], ...] = ()  # annotations
    limit: int = 0  # the newest so many; 0 is all

    @property
    def prefix(self) -> str:
        """What every name begins with, so that a store need not look further."""
        return f"{self.kind}/{self.name}" if self.kind else ""


def listed(
    store: Store, wanted: Wanted, *, annotations: bool = False, damaged: Callable[[Corrupt], None]
) -> list[Brief]:
    """Newest first. A channel shows beside the version that it stands for, and as a row of its own only where it stands
    for none. `damaged` is told of each artefact that cannot be read. Raises BadInput for what cannot be asked."""
    tests = tuple(_tests(wanted))
    found: list[Brief] = []
    for row in rows(store, wanted.prefix, annotations=annotations or bool(wanted.labels)):
        if not isinstance(row, Brief):
            _tell(row, wanted, damaged)
        elif row.role != CHANNEL:
            found.append(row)
    for test in tests:
        found = [row for row in found if test(row)]
    found.sort(reverse=True)
    return found[: wanted.limit or None]


def _tell(row: tuple[str, Corrupt], wanted: Wanted, damaged: Callable[[Corrupt], None]) -> None:
    name, error = row
    if wanted.name in ("", name.partition("/")[2]):
        damaged(error)


def _tests(wanted: Wanted) -> Iterator[Test]:
    if wanted.name:
        yield lambda row: row.name == wanted.name
    if wanted.pattern != "*":
        yield _pattern(wanted.pattern)
    if wanted.version:
        yield _version(wanted.version)
    if wanted.since:
        since = _moment(wanted.since)[0]
        yield lambda row: row.created >= since
    if wanted.until:
        until = _moment(wanted.until)[1]
        yield lambda row: row.created < until
    if wanted.channel:
        yield _channel(wanted.channel)
    if wanted.labels:
        yield _labels(wanted.labels)


def _pattern(pattern: str) -> Test:
    if not pattern:
        raise BadInput("the pattern is empty", resolution="Write a name or a pattern, such as 'container/ceph-*'.")
    fits = re.compile(translate(pattern)).match
    return lambda row: bool(
        fits(row.name) or fits(f"{row.kind}/{row.name}") or fits(f"{row.kind}/{row.name}:{row.tag}")
    )


def _version(version: str) -> Test:
    if set(version) & set("*?["):
        fits = re.compile(translate(version)).match
        return lambda row: fits(plain(row.version)) is not None
    same = {version, legal(version)}
    return lambda row: plain(row.version) in same or row.tag in same


def _channel(channel: str) -> Test:
    return lambda row: channel in row.channels.split(",") or (row.role == ALONE and row.tag == channel)


def _labels(labels: tuple[tuple[str, str], ...]) -> Test:
    def fits(row: Brief) -> bool:
        said = dict(json.loads(row.annotations))
        return all(said.get(key) == value for key, value in labels)

    return fits


def _moment(text: str) -> tuple[str, str]:
    """When it begins, and when it is over: a day later for a day, a second later for a moment. As rows have it."""
    try:
        read = datetime.fromisoformat(text)
        begins = read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
        over = begins + (timedelta(days=1) if len(text) <= len("2026-11-01") else timedelta(seconds=1))
    except (ValueError, OverflowError) as error:
        raise BadInput(
            f"{text!r} is no date", details=str(error), resolution="Write 2026-11-01 or 2026-11-01T22:15:00Z."
        ) from error
    first, last = (each.replace(tzinfo=None).isoformat(timespec="microseconds") for each in (begins, over))
    return first, last
