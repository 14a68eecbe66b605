"""What a source of mode proxy has so far: what upstream offered when it was asked last, and what of it was used.

It is kept as a state in the store, `snapshot/<source>.proxy`: so `naust gc` leaves its files alone, `naust du` and
`naust affected` know of them, `naust copy` carries them, and a server that starts again goes on where the last one was,
even with upstream away. Beside the files it has two of ours, JSON lines, compressed: `.naust/survey.jsonl.gz` and
`.naust/used.jsonl.gz`.

A state is written a little later than a file is used. Until then a journal in the store's folder has it
(`.proxy/<source>.jsonl`), which was written before the client had its answer.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from common.errors import BadInput, Corrupt, NotFound
from common.lock import take
from common.model import Digest, Kind
from naust import manifest as oci
from naust.manifest import Blob
from naust.source import state as form
from naust.source.definition import Source
from naust.source.fetch import bare
from naust.source.interface import Item, Package, Survey
from naust.source.snapshot import dated, files_of, newest, publish_newest
from naust.source.state import File
from naust.source.states import DEFINED, document_of, fingerprint
from naust.store.incoming import explained
from naust.store.interface import Store
from naust.transfer.push_blobs import put_bytes, silent
from naust.transfer.verified import content

SUFFIX = ".proxy"  # of the name that the record has in the store; names in sources.hcl have no dots
SURVEY, USED = ".naust/survey.jsonl.gz", ".naust/used.jsonl.gz"
_LINES = "application/jsonl+gzip"


@dataclass(frozen=True, slots=True)
class Used:
    """An item whose bytes are in the store because somebody asked for it. `since`: seconds since the epoch."""

    item: Item
    digest: Digest
    size: int
    since: float


@dataclass(frozen=True, slots=True)
class Record:
    """`offered` is upstream's survey as of `asked` (seconds since the epoch), its URLs without logins; `made` are its
    index files and those that upstream made itself; `defined` the fingerprint of the block. `data` is the survey as it
    is stored."""

    offered: Survey
    asked: float
    defined: str
    made: Mapping[str, Blob]
    data: Blob
    used: Mapping[str, Used] = field(default_factory=dict)

    def still(self) -> tuple[Used, ...]:
        """What belongs to the source now: what upstream offers still, and of what it does not offer any more, that
        which nothing newer of the same package was used after."""
        offered = {item.path: item.digest for item in self.offered.items}
        last: dict[object, float] = {}
        for each in self.used.values():
            last[_key(each.item)] = max(each.since, last.get(_key(each.item), 0.0))
        return tuple(
            each
            for path, each in sorted(self.used.items())
            if offered.get(path) == each.digest or each.since >= last[_key(each.item)]
        )


def _key(item: Item) -> object:
    return item.package.key if item.package else item.path


def name_of(source: str) -> str:
    """The source's record, as a name of `snapshot/`."""
    return f"{source}{SUFFIX}"


def record_of(
    store: Store, block: Source, survey: Survey, asked: float, made: Mapping[str, bytes], used: Mapping[str, Used]
) -> Record:
    """A record of what was surveyed now; its files are stored, and it is still to be saved."""
    name = f"{Kind.SNAPSHOT}/{block.name}"
    plain = replace(survey, items=tuple(replace(item, url=bare(item.url)[0]) for item in survey.items))
    every = {**survey.extra, **made}
    blobs = {path: put_bytes(store, name, data, oci.file_type(path), silent) for path, data in every.items()}
    head = {"mark": survey.mark, "date": survey.date.isoformat() if survey.date else "", "asked": asked}
    lines = [{**head, "extra": sorted(survey.extra), "defined": fingerprint(block)}, *map(_said, plain.items)]
    data = put_bytes(store, name, _packed(lines), _LINES, silent)
    return Record(plain, asked, fingerprint(block), blobs, data, used)


def saved_last(store: Store, source: str) -> Digest | None:
    """Which record is published now."""
    return next((each.digest for each in dated(store, name_of(source))), None)


def save(store: Store, block: Source, record: Record) -> Digest:
    """Publish the record, and take away what was published before. The digest that it has."""
    name = f"{Kind.SNAPSHOT}/{name_of(block.name)}"
    lines = [_said_of(each) for _, each in sorted(record.used.items())]
    files = {SURVEY: File(SURVEY, record.data, made=True)}
    files[USED] = File(USED, put_bytes(store, name, _packed(lines), _LINES, silent), made=True)
    files |= {path: File(path, blob, made=True) for path, blob in record.made.items()}
    for path, each in record.used.items():
        files.setdefault(path, File(path, Blob(each.digest, each.size, each.item.media_type), each.item.package))
    said = {oci.KIND: str(Kind.SNAPSHOT), form.TYPE: block.type, DEFINED: record.defined}
    document = document_of(store, name, [files[path] for path in sorted(files)], said)
    artifact, _ = publish_newest(store, name_of(block.name), document)
    for older in dated(store, name_of(block.name)):
        if older.digest != artifact.digest:
            store.delete_tag(name, older.reference.tag, expected=older.digest)
    return artifact.digest


def load(store: Store, source: str, journal: Journal | None = None) -> Record | None:
    """What is kept of a source; None if nothing. Raises Corrupt."""
    more = journal.read() if journal else ()  # first: what leaves the journal is in the record by then
    found = newest(store, name_of(source))
    if found is None:
        return None
    state, name = found.states[0], found.name
    files = {file.path: file for file in files_of(store, state)}
    what = f"the record of {source}"
    try:
        lines = _lines(content(store, name, files[SURVEY].blob, what), what)
        used = {each.item.path: each for each in map(_used, _lines(content(store, name, files[USED].blob, what), what))}
        head = next(lines)
        made = {path: file.blob for path, file in files.items() if file.made and path not in (SURVEY, USED)}
        extra = {path: content(store, name, made[path], what) for path in cast("list[str]", head["extra"])}
        date = datetime.fromisoformat(str(head["date"])) if head["date"] else None
        survey = Survey(tuple(map(_item, lines)), str(head["mark"]), date, extra)
        asked, defined = float(str(head["asked"])), str(head["defined"])
    except (KeyError, ValueError, TypeError, AttributeError, StopIteration, BadInput) as error:
        raise _damaged(what, error) from error
    return Record(survey, asked, defined, made, files[SURVEY].blob, used | {each.item.path: each for each in more})


class Journal:
    """What was used since the record was saved. Any number of threads and processes may append."""

    def __init__(self, root: Path, source: str) -> None:
        self._path = root / ".proxy" / f"{source}.jsonl"

    @classmethod
    def of(cls, store: Store, source: str) -> Journal | None:
        """That of a store which is a directory."""
        root = getattr(store, "root", None)
        return cls(root, source) if isinstance(root, Path) else None

    def append(self, used: Used) -> None:
        """From now on it is known, also if this process is killed. Raises Error if it cannot be written."""
        with explained(self._path), self._opened() as file:
            file.seek(0, os.SEEK_END)
            # Whoever was killed may have left half a line.
            file.write(b"\n" + oci.encode(_said_of(used)) + b"\n")

    def read(self) -> tuple[Used, ...]:
        """All of it; a line that was cut off is none."""
        with suppress(FileNotFoundError):
            return tuple(_whole(self._path.read_bytes()))
        return ()

    def settle(self, saved: Mapping[str, Used]) -> None:
        """Leave out what the record has by now."""
        with explained(self._path), self._opened() as file:
            left = [each for each in _whole(file.read()) if not _is_in(saved, each)]
            file.seek(0)
            # Written before it is cut: whoever is killed in between leaves too much, never too little.
            file.write(b"".join(oci.encode(_said_of(each)) + b"\n" for each in left))
            file.truncate()

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        self._path.parent.mkdir(exist_ok=True)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", buffering=0) as file:
            take(file.fileno(), self._path)
            yield cast(BinaryIO, file)


# The form of the lines ------------------------------------------------------------------------------------------------


def _is_in(saved: Mapping[str, Used], used: Used) -> bool:
    found = saved.get(used.item.path)
    return found is not None and found.digest == used.digest


def _whole(data: bytes) -> Iterator[Used]:
    for line in data.splitlines():
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInput, Corrupt):
            yield _used(json.loads(line))


def _packed(lines: Sequence[Mapping[str, object]]) -> bytes:
    return gzip.compress(b"".join(oci.encode(dict(line)) + b"\n" for line in lines), 6, mtime=0)


def _lines(data: bytes, what: str) -> Iterator[dict[str, object]]:
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise _damaged(what, error) from error
    return (json.loads(line) for line in plain.splitlines())


def _said(item: Item) -> dict[str, object]:
    said: dict[str, object] = {"path": item.path, "url": item.url, "size": item.size, "type": item.media_type}
    said |= {"digest": str(item.digest)} if item.digest else {}
    package = item.package
    if package:
        fields = (package.kind, package.name, package.version, package.architecture, package.origin)
        said["package"] = list(fields)
    return said | ({"facts": [list(pair) for pair in item.facts]} if item.facts else {})


def _item(said: Mapping[str, object]) -> Item:
    digest, package = said.get("digest"), cast("list[str] | None", said.get("package"))
    return Item(
        form.checked_path(str(said["path"])),
        str(said["url"]),
        int(str(said["size"])),
        Digest.parse(str(digest)) if digest else None,
        str(said["type"]),
        Package(*package) if package else None,
        facts=tuple((key, value) for key, value in cast("list[tuple[str, str]]", said.get("facts", []))),
    )


def _said_of(used: Used) -> dict[str, object]:
    plain = replace(used.item, url=bare(used.item.url)[0])
    return {"item": _said(plain), "digest": str(used.digest), "bytes": used.size, "since": used.since}


def _used(said: Mapping[str, object]) -> Used:
    item = _item(cast("dict[str, object]", said["item"]))
    return Used(item, Digest.parse(str(said["digest"])), int(str(said["bytes"])), float(str(said["since"])))


def _damaged(what: str, error: Exception) -> Corrupt:
    return Corrupt(
        f"{what} cannot be read",
        details=f"{type(error).__name__}: {error}",
        resolution="Take it away with `naust rm`: it is made anew, and what was used is found again when it is used.",
    )


def nothing(source: str) -> NotFound:
    """The error where nobody asked for anything yet."""
    return NotFound(
        f"nobody used {source} yet",
        resolution="It is of mode proxy: let clients use it at /sources/ of `naust serve --sources FILE`, or write "
        'mode = "mirror" to fetch ahead.',
    )
