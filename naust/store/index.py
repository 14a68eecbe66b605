"""The index that makes a directory list quickly: what the manifests said, folder by folder, in SQLite.

It cannot lie about what exists. A folder of tags, `<kind>/<name>`, changes its time of change (ctime, which nobody can
set) whenever a name in it comes, goes or is replaced; what the index holds of a folder counts only while inode and
ctime are those at which it was read. Of a folder that changed, only tags are read anew whose file is another one (inode
and ctime again). A change within the clock's step of the reading would not show, so a folder that changed less than
2 s before it was read is read again next time. What is damaged in the index, or the whole of it, is read anew: all is
under a checksum (CRC-32), and deleting the file costs time and nothing else.

What it does not see: bytes that change inside a manifest's file, under its name. `manifest()` sees that, because the
bytes then have another digest, and `check_index` (fsck) does.

Only readers write it, each what it had to read, one at a time (flock). The format's version is in the file's name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from common.errors import BadInput, Corrupt
from common.model import Artifact, Kind, Reference
from naust import manifest as oci
from naust.brief import Brief, brief, with_channels
from naust.store.incoming import locked
from naust.version import is_fallback

FILE = ".index-2.sqlite"
OLDER = (".index-1.jsonl",)
_STEP = 2_000_000_000  # ns; the coarsest clock of a file system that we know of (FAT)
_BATCH = 500  # folders; bounds the memory, and what a reader that is killed has to read again
_FIELDS = 11  # of a line; annotations are apart
_row = partial(tuple.__new__, Brief)  # Brief._make without its check: this runs a hundred thousand times
# What is no fault of the file: busy, locked, no memory, read-only, full, cannot be opened, no permission.
_INNOCENT = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
             sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)  # fmt: skip
_TABLE = """CREATE TABLE IF NOT EXISTS folder (name TEXT PRIMARY KEY, stamp TEXT, again TEXT,
            lines BLOB, sum INTEGER, more BLOB, more_sum INTEGER)"""

_ALL = "SELECT name, stamp, again, lines, sum, more, more_sum FROM folder WHERE name BETWEEN ? AND ?"
_LINES = "SELECT name, stamp, again, lines, sum, x'', more_sum FROM folder WHERE name BETWEEN ? AND ?"


class Folder(NamedTuple):
    """What is remembered of one folder, as the table has it."""

    name: str  # kind/name
    stamp: str  # of the folder when it was read; '' if that was too soon
    again: str  # tags that could not be read, with spaces between
    lines: bytes  # a line a tag
    sum: int
    more: bytes  # identity of the file, tab, annotations: a line for each of `lines`
    more_sum: int

    def holds(self) -> bool:
        """Whether `lines` are what was written."""
        return self.sum == _sum(self)

    def holds_more(self) -> bool:
        """Whether `more` is too."""
        return self.more_sum == crc32(self.more, self.sum)


class Index:
    """The index of one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / FILE

    def artifacts(self, prefix: str = "") -> Iterator[tuple[str, Artifact | Corrupt]]:
        """Everything that has a tag and a name that begins with `prefix`; remembers what it had to read."""
        for each in self.rows(prefix, annotations=True):
            if isinstance(each, Brief):
                yield f"{each.kind}/{each.name}", each.artifact()
            else:
                yield each

    def rows(self, prefix: str = "", *, annotations: bool = False) -> Iterator[Brief | tuple[str, Corrupt]]:
        """The same as rows, or name and error; annotations only if they are asked for."""
        with self._opened() as database:
            for present, known in self._batches(database, prefix, annotations):
                fresh: list[Folder] = []
                for name, stamp in present.items():
                    folder = known.pop(name, None)
                    if folder is None or folder.stamp != stamp or folder.again or not _usable(folder, annotations):
                        before = _known(database, name, name).get(name)
                        folder, damaged = self._look(name, before)
                        fresh += [folder] if folder != before else []
                        yield from damaged
                    yield from _rows(folder, annotations)
                self._remember(fresh, gone=known)

    def check(self) -> tuple[str, ...]:
        """What the index says and the folders do not, and the reverse; reads every manifest. Changes nothing."""
        return tuple(self._differences())

    def rebuild(self) -> None:
        """Forget everything and read every manifest anew."""
        if self._is_store():
            with suppress(OSError), self._writing():
                self._discard()
        for _ in self.rows():
            pass

    # What is there

    def _batches(
        self, database: sqlite3.Connection | None, prefix: str, more: bool = True
    ) -> Iterator[tuple[dict[str, str], dict[str, Folder]]]:
        """Folders that are there with their stamps, and what is known of that part of the alphabet."""
        present = sorted(self._present(prefix))
        start = prefix
        for at in range(0, max(1, len(present)), _BATCH):
            batch = dict(present[at : at + _BATCH])
            last = at + _BATCH >= len(present)
            end = prefix + chr(0x10FFFF) if last else present[at + _BATCH - 1][0]
            yield batch, _known(database, start, end, more)
            start = end + "\0"

    def _present(self, prefix: str) -> Iterator[tuple[str, str]]:
        for kind in Kind:
            if not f"{kind}/".startswith(prefix[: len(kind) + 1]):
                continue
            for folder in _entries(self._root / kind):
                name = f"{kind}/{folder.name}"
                if name.startswith(prefix) and name.isascii():
                    with suppress(FileNotFoundError):
                        yield name, _identity(folder.stat())

    def _look(self, name: str, known: Folder | None) -> tuple[Folder, list[tuple[str, Corrupt]]]:
        """The folder as it is now; of files that are known to be the same, what is remembered is believed."""
        folder = self._root / name
        started, stamp = self._now(), _stamp(folder)
        remembered = _remembered(known)
        rows: list[tuple[str, Brief]] = []
        damaged: list[tuple[str, Corrupt]] = []
        again: list[str] = []
        for tag, identity in _tags(folder):
            found = remembered.get((tag, identity)) or self._read(name, tag)
            if isinstance(found, Corrupt):
                damaged.append((name, found))
                again.append(tag)
            elif found is not None:
                rows.append((identity, found))
        settled = _stamp(folder) == stamp and started - _changed(stamp) > _STEP
        return _folder(name, stamp if settled else "", again, rows), damaged

    def _read(self, name: str, tag: str) -> Brief | Corrupt | None:
        try:
            Reference.parse(f"{name}:{tag}")
            return brief(oci.brief(oci.artifact(name, tag, (self._root / name / tag).read_bytes())))
        except Corrupt as error:
            return error
        except (BadInput, FileNotFoundError, IsADirectoryError):
            return None  # not ours, or gone since

    def _now(self) -> int:
        """Now by the file system's clock, which may be another machine's; 0 where it cannot be asked."""
        if not self._is_store():
            return 0
        try:
            with _clock_file(self._root) as descriptor:
                os.utime(descriptor)
                return os.fstat(descriptor).st_ctime_ns
        except OSError:
            return 0

    def _differences(self) -> Iterator[str]:
        with self._opened() as database:
            if database is not None and not _is_sound(database):
                yield "the file of the index is damaged, and is made anew by the next listing"
            for present, known in self._batches(database, ""):
                for name, folder in known.items():
                    if not folder.holds() or not folder.holds_more():
                        yield f"what the index holds of {name} is damaged, and is read anew when it is listed"
                    elif folder.stamp and present.get(name) == folder.stamp:
                        yield from _lies(folder, self._look(name, None)[0])

    # The file

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """For reading; None if there is nothing to read. Served from any thread."""
        try:
            opened = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        except sqlite3.Error:
            yield None
            return
        with closing(opened):
            yield opened

    def _remember(self, fresh: Iterable[Folder], gone: Iterable[str]) -> None:
        changed, superfluous = list(fresh), [(name,) for name in gone]
        if not (changed or superfluous) or not self._is_store():
            return
        # Who may only read lists all the same, and a full disk spoils no listing.
        with suppress(OSError, sqlite3.Error), self._writing():
            try:
                self._write(changed, superfluous)
            # The second when what is damaged is a text that would be part of an error's message.
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _INNOCENT:
                    return
                self._discard()
                self._write(changed, superfluous)

    def _write(self, changed: list[Folder], superfluous: list[tuple[str]]) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as database:
            database.execute("PRAGMA page_size = 16384")
            database.execute("PRAGMA synchronous = OFF")  # what a power cut takes, the checksums tell
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.executemany("DELETE FROM folder WHERE name = ?", superfluous)
            database.executemany("INSERT OR REPLACE INTO folder VALUES (?, ?, ?, ?, ?, ?, ?)", changed)
            database.execute("COMMIT")

    def _is_store(self) -> bool:
        """A listing of some other folder must leave nothing there."""
        return (self._root / "blobs").is_dir()

    def _discard(self) -> None:
        for name in (FILE, f"{FILE}-journal", *OLDER):
            (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time. SQLite has its own lock, but it does not cover that the file is deleted."""
        with locked(self._root / ".locks" / "index"):
            yield


@contextmanager
def _clock_file(root: Path) -> Iterator[int]:
    path = root / ".locks" / "clock"
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _known(database: sqlite3.Connection | None, start: str, end: str, more: bool = True) -> dict[str, Folder]:
    """What is remembered of these folders, all of it or without `more`; nothing where the file is damaged."""
    if database is None:
        return {}
    try:
        found = database.execute(_ALL if more else _LINES, (start, end)).fetchall()
        return {row[0]: Folder(*row) for row in found if _is_folder(row)}
    except (sqlite3.Error, UnicodeDecodeError, OverflowError):
        return {}


def _is_sound(database: sqlite3.Connection) -> bool:
    try:
        return bool(database.execute("PRAGMA quick_check").fetchall() == [("ok",)])
    except (sqlite3.Error, UnicodeDecodeError):
        return False


def _is_folder(row: tuple[object, ...]) -> bool:
    """Whether the columns have their types: SQLite gives what the file says."""
    types = (str, str, str, bytes, int, bytes, int)
    return len(row) == len(types) and all(isinstance(value, type) for value, type in zip(row, types, strict=True))


def _usable(folder: Folder, annotations: bool) -> bool:
    return folder.holds() and (not annotations or folder.holds_more())


def _folder(name: str, stamp: str, again: list[str], rows: list[tuple[str, Brief]]) -> Folder:
    rows.sort(key=lambda each: each[1], reverse=True)
    full = with_channels(row for _, row in rows)
    lines = "\n".join("\t".join((*row[:_FIELDS], "")) for row in full).encode()
    more = "\n".join(f"{identity}\t{row.annotations}" for identity, row in rows).encode()
    bare = Folder(name, stamp, " ".join(again), lines, 0, more, 0)
    total = _sum(bare)
    return bare._replace(sum=total, more_sum=crc32(more, total))


def _rows(folder: Folder, annotations: bool) -> Iterator[Brief]:
    lines = folder.lines.decode().split("\n") if folder.lines else []
    bare: Iterator[Brief] = (_row(line.split("\t")) for line in lines)
    if not annotations:
        return bare
    extras = folder.more.decode().split("\n") if lines else []
    return (row._replace(annotations=extra.partition("\t")[2]) for row, extra in zip(bare, extras, strict=True))


def _remembered(known: Folder | None) -> dict[tuple[str, str], Brief]:
    """Tag and identity of its file → row."""
    if known is None or not known.holds() or not known.holds_more():
        return {}
    identities = [line.partition("\t")[0] for line in known.more.decode().split("\n")]
    return {(row.tag, identity): row for row, identity in zip(_rows(known, True), identities, strict=False)}


def _lies(folder: Folder, truth: Folder) -> Iterator[str]:
    """What listings tell wrongly while they believe the index."""
    said, true = ({row.tag: row for row in _rows(each, True)} for each in (folder, truth))
    for tag in sorted((said.keys() | true.keys()) - set(folder.again.split())):
        if tag not in true:
            yield f"the index lists {folder.name}:{tag}, which is not there or cannot be read"
        elif tag not in said:
            yield f"the index does not list {folder.name}:{tag}"
        elif said[tag] != true[tag]:
            yield f"the index says something else of {folder.name}:{tag} than its manifest"


def _sum(folder: Folder) -> int:
    return crc32(folder.lines, crc32("\n".join((folder.name, folder.stamp, folder.again)).encode()))


def _tags(folder: Path) -> Iterator[tuple[str, str]]:
    for entry in _entries(folder):
        if not is_fallback(entry.name):
            with suppress(FileNotFoundError):
                yield entry.name, _identity(entry.stat())


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stamp(folder: Path) -> str:
    try:
        return _identity(folder.stat())
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _identity(status: os.stat_result) -> str:
    return f"{status.st_ino}.{status.st_ctime_ns}"


def _changed(stamp: str) -> int:
    return int(stamp.partition(".")[2] or 0)
