"""Segments of a bucket's index: what manifests said, as lines of text, compressed (gzip, RFC 1952, whose CRC-32 tells
damage).

    .index/segment/<id>.rows    kind/name:tag, tab, ETag of the tag's object, tab, the row as naust.brief has it
    .index/segment/<id>.more    kind/name:tag, tab, annotations; fetched only where they are asked for

A later segment's line takes the place of an earlier one's; one with nothing behind the place says that the tag is gone,
one with `!` instead of a date that its manifest cannot be read, and why.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial

from common.errors import Corrupt
from naust import manifest as oci
from naust.brief import VERSION, Brief, brief, escaped, plain, with_channels
from naust.store.s3_answers import Seen
from naust.store.s3_bucket import Bucket

FOLDER = ".index/segment/"
DAMAGED = "!"
_LARGEST = 2 << 30  # bytes of a segment
_row = partial(tuple.__new__, Brief)  # Brief._make without its check: this runs a hundred thousand times


class Table:
    """What is known of tags. `rows` and `more` go from place (`kind/name:tag`) to text; an empty row: it is gone."""

    def __init__(self, rows: dict[str, str] | None = None, more: dict[str, str] | None = None) -> None:
        self._rows = rows if rows is not None else {}
        self._more = more if more is not None else {}

    @property
    def places(self) -> set[str]:
        """All that something is known of."""
        return set(self._rows)

    def update(self, newer: Table) -> None:
        """Take over what another one says."""
        self._rows.update(newer._rows)
        self._more.update(newer._more)

    def put(self, place: str, entry: tuple[str, str]) -> None:
        """Row and annotations of one tag."""
        self._rows[place], self._more[place] = entry

    def entry(self, place: str) -> tuple[str, str]:
        """Row and annotations of one tag; empty texts if there is none."""
        return self._rows.get(place, ""), self._more.get(place, "")

    def etag(self, place: str) -> str:
        """The ETag of the tag's object; '' if there is none."""
        return self._rows.get(place, "").partition("\t")[0]

    def only(self, prefix: str) -> Table:
        """The part whose names begin so."""
        return Table({place: row for place, row in self._rows.items() if place.startswith(prefix)}, self._more)

    def living(self) -> Table:
        """Without what is gone."""
        return Table({place: row for place, row in self._rows.items() if row}, self._more)

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """Place, row and annotations of all that is not gone."""
        for place, row in self._rows.items():
            if row:
                yield place, row, self._more.get(place, "")

    def differing(self, other: Table, among: Iterable[str] = ()) -> set[str]:
        """Places of which the two say different things."""
        every = set(among) or self.places | other.places
        return {place for place in every if self.entry(place) != other.entry(place)}

    def lies(self, place: str, truth: Table) -> str:
        """What this one tells wrongly of a place, as a sentence."""
        if not truth.entry(place)[0]:
            return f"the index lists {place}, which is not there"
        if not self.entry(place)[0]:
            return f"the index does not list {place}"
        return f"the index says something else of {place} than its manifest"

    def encoded(self) -> tuple[bytes, bytes]:
        """The two objects of a segment, before they are compressed."""
        places = sorted(self._rows)
        return _lines(places, self._rows), _lines(places, self._more)


class Segments:
    """The segments of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, segment: str, prefix: str, annotations: bool) -> Table:
        """What it says of names that begin so. Raises Corrupt if it is not there or damaged."""
        if not annotations:
            return Table(self._texts(f"{segment}.rows", prefix))
        return Table(self._texts(f"{segment}.rows", prefix), self._texts(f"{segment}.more", prefix))

    def write(self, table: Table) -> tuple[str, int]:
        """Store a new one; its id and how many rows it has."""
        segment = os.urandom(8).hex()
        for part, data in zip(("rows", "more"), table.encoded(), strict=True):
            self._bucket.put(f"{FOLDER}{segment}.{part}", gzip.compress(data, 3, mtime=0))
        return segment, len(table.places)

    def delete(self, segments: Iterable[str]) -> None:
        """Take segments away."""
        keys = [f"{FOLDER}{segment}.{part}" for segment in segments for part in ("rows", "more")]
        for _ in self._bucket.each(self._bucket.delete, keys):
            pass

    def old(self, listed: Iterable[Seen], age: timedelta) -> set[str]:
        """Those among the objects that are older than that."""
        found = (each for each in listed if each.key.startswith(FOLDER) and each.age > age)
        return {each.key.removeprefix(FOLDER).partition(".")[0] for each in found}

    def _texts(self, name: str, prefix: str) -> dict[str, str]:
        found = self._bucket.get(f"{FOLDER}{name}", at_most=_LARGEST)
        try:
            text = gzip.decompress(found[0]).decode() if found else None
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise _unreadable(name, str(error)) from error
        if text is None:
            raise _unreadable(name, "It is not there.")
        lines = text.split("\n") if text else []
        if prefix:
            lines = [line for line in lines if line.startswith(prefix)]
        return {place: rest for place, _, rest in (line.partition("\t") for line in lines)}


def described(name: str, tag: str, data: bytes, etag: str) -> tuple[str, str]:
    """Row and annotations of a tag, from its manifest."""
    try:
        *row, annotations = brief(oci.brief(oci.artifact(name, tag, data)))
    except Corrupt as error:
        return "\t".join((etag, DAMAGED, escaped(error.message), escaped(error.details))), ""
    return "\t".join((etag, *row)), annotations


def rows(table: Table) -> Iterator[Brief | tuple[str, Corrupt]]:
    """A table as it is listed: versions with their channels, and errors for what is damaged."""
    found: list[Brief] = []
    for place, row, more in table.texts():
        fields = row.split("\t")
        if fields[1] == DAMAGED:
            yield (
                place.partition(":")[0],
                Corrupt(plain(fields[2]), details=plain(fields[3]), resolution="Push or build the artefact again."),
            )
        else:
            fields[0] = more  # in place of the ETag, then round to the end, without a second list
            fields.append(fields.pop(0))
            found.append(_row(fields))
    # Most names have only versions; only the others have to be gathered.
    mixed = {(row.kind, row.name) for row in found if row.role != VERSION}
    groups: dict[tuple[str, str], list[Brief]] = {place: [] for place in mixed}
    for each in found:
        if mixed and (each.kind, each.name) in groups:
            groups[each.kind, each.name].append(each)
        else:
            yield each
    for group in groups.values():
        yield from with_channels(group)


def _lines(places: list[str], texts: dict[str, str]) -> bytes:
    return "\n".join(f"{place}\t{texts.get(place, '')}" for place in places).encode()


def _unreadable(name: str, details: str) -> Corrupt:
    return Corrupt(f"{FOLDER}{name} cannot be read", details=details, resolution="Rebuild the index with fsck.")
