"""An artefact as listings have it: a row of texts, cheap to make by the hundred thousand, and a line of an index.

In a line the texts stand between tabs. What somebody else wrote (version, media type) may hold anything, so characters
that cannot be printed, and backslashes, are written as Python's `unicode_escape` writes them: rows are safe to print.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from common.model import Artifact, Digest, Kind, Reference
from naust.version import is_dated

VERSION = "v"  # a dated tag
CHANNEL = "c"  # another tag of a manifest that has a dated tag too
ALONE = "t"  # a tag of what has no dated one


class Brief(NamedTuple):
    """One tag. Rows of one store sort by age as they stand: `created` comes first and is UTC, of one width."""

    created: str
    kind: str
    name: str  # without the kind
    tag: str
    version: str
    digest: str
    size: str  # bytes
    media_type: str
    made_from: str
    role: str
    channels: str  # other tags of a version's manifest, with commas between
    annotations: str  # JSON: list of pairs; '' where nobody asked for them

    def artifact(self) -> Artifact:
        """The same as the rest of naust has it."""
        pairs = json.loads(self.annotations) if self.annotations else ()
        return Artifact(
            reference=Reference(Kind(self.kind), self.name, self.tag),
            version=plain(self.version),
            digest=Digest.parse(self.digest),
            size=int(self.size),
            media_type=plain(self.media_type),
            created=datetime.fromisoformat(self.created).replace(tzinfo=UTC),
            made_from=Digest.parse(self.made_from) if self.made_from else None,
            annotations=tuple((key, value) for key, value in pairs),
        )


def brief(artifact: Artifact) -> Brief:
    """The row of one artefact; `with_channels` gives it its role."""
    reference = artifact.reference
    return Brief(
        created=_in_utc(artifact.created).isoformat(timespec="microseconds"),
        kind=str(reference.kind),
        name=reference.name,
        tag=reference.tag,
        version=escaped(artifact.version),
        digest=str(artifact.digest),
        size=str(artifact.size),
        media_type=escaped(artifact.media_type),
        made_from=str(artifact.made_from or ""),
        role=VERSION if is_dated(reference.tag) else ALONE,
        channels="",
        annotations=json.dumps(artifact.annotations, separators=(",", ":")),
    )


def with_channels(rows: Iterable[Brief]) -> Iterator[Brief]:
    """All rows of one name, each version with its channels, each channel known as one."""
    every = list(rows)
    tags: dict[str, list[str]] = {}
    for row in every:
        if row.role != VERSION:
            tags.setdefault(row.digest, []).append(row.tag)
    versions = {row.digest for row in every if row.role == VERSION}
    for row in every:
        if row.role == VERSION:
            found = tags.get(row.digest, ()) if tags else ()
            # Most versions have none, and a row that is made anew costs as much as all else here.
            yield row._replace(channels=",".join(sorted(found))) if found or row.channels else row
        else:
            yield row._replace(role=CHANNEL if row.digest in versions else ALONE)


def escaped(text: str) -> str:
    """The text so that it can be printed and holds neither tabs nor line ends."""
    return text if text.isprintable() and "\\" not in text else text.encode("unicode_escape").decode("ascii")


def plain(text: str) -> str:
    """What was escaped."""
    return text.encode("ascii").decode("unicode_escape") if "\\" in text else text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # the first or last day of the calendar, elsewhere on the globe
        return moment.replace(tzinfo=None)
