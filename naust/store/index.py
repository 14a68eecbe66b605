"""The index that makes a directory list quickly. It cannot lie: what exists is what the folders hold, and the index
only remembers what the manifests said, by name, tag and identity of the file (inode and time
of change, which nobody can set). A line that is missing, damaged or about another file is
read anew and appended; so deleting the index costs time and nothing else.

One line an artefact: checksum (CRC-32), space, JSON list. The format's version is in the file's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zlib import crc32

from common.errors import BadInput, Corrupt
from common.model import Artifact, Digest, Kind, Reference
from naust import manifest as oci
from naust.store.incoming import locked

FILE = ".index-1.jsonl"
_SLACK = 1000  # superfluous lines that are let be

Place = tuple[str, str]  # name, tag
Entry = list[Any]  # a line as JSON has it; see _line


class Index:
    """The index of one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / FILE

    def artifacts(self, prefix: str = "") -> Iterator[tuple[str, Artifact | Corrupt]]:
        """Everything that has a tag and a name that begins with `prefix`; remembers what it had to read."""
        known, lines = self._read(prefix)
        fresh: list[str] = []
        live = 0
        for name, tag, identity in self._present(prefix):
            live += 1
            entry = known.get((name, tag))
            if entry is not None and entry[2] == identity:
                yield name, _artifact(entry)
                continue
            found = self._look(name, tag)
            if isinstance(found, Artifact):
                fresh.append(_line(name, tag, identity, found))
            if found is not None:
                yield name, found
        self._remember(fresh, superfluous=lines - live if not prefix else 0)

    def note(self, name: str, tag: str, manifest: bytes) -> None:
        """Remember one artefact that was just published."""
        identity = _identity((self._root / name / tag).stat())
        self._remember([_line(name, tag, identity, oci.brief(oci.artifact(name, tag, manifest)))], superfluous=0)

    def _present(self, prefix: str) -> Iterator[tuple[str, str, str]]:
        for kind in Kind:
            for folder in _entries(self._root / kind):
                name = f"{kind}/{folder.name}"
                if name.startswith(prefix):
                    for entry in _entries(folder.path):
                        with suppress(FileNotFoundError):
                            yield name, entry.name, _identity(entry.stat())

    def _look(self, name: str, tag: str) -> Artifact | Corrupt | None:
        try:
            return oci.brief(oci.artifact(name, tag, (self._root / name / tag).read_bytes()))
        except Corrupt as error:
            return error
        except (BadInput, FileNotFoundError, IsADirectoryError):
            return None  # not ours, or gone since

    def _read(self, prefix: str) -> tuple[dict[Place, Entry], int]:
        """What is remembered of these names, and how many lines there are; later ones win, damaged ones do not."""
        known: dict[Place, Entry] = {}
        start, count = f'["{prefix}', 0
        try:
            with self._path.open(encoding="utf-8", errors="replace", newline="\n") as file:
                for line in file:
                    count += 1
                    checksum, _, text = line.rstrip("\n").partition(" ")
                    if text.startswith(start) and checksum == f"{crc32(text.encode()):08x}":
                        entry = json.loads(text)
                        known[entry[0], entry[1]] = entry
        except FileNotFoundError:
            pass
        return known, count

    def _remember(self, lines: list[str], *, superfluous: int) -> None:
        rewrite = superfluous > _SLACK
        if not lines and not rewrite:
            return
        # Who may only read lists all the same, and a full disk spoils no listing.
        with suppress(OSError), locked(self._root / ".locks" / "index"):
            if rewrite:
                self._path.unlink(missing_ok=True)  # the next listing makes it anew
            with self._path.open("ab") as file:
                # A writer that died left half a line; the newline keeps it from spoiling ours.
                start = "" if file.tell() == 0 or self._ends_well() else "\n"
                file.write((start + "".join(f"{line}\n" for line in lines)).encode())

    def _ends_well(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _identity(status: os.stat_result) -> str:
    return f"{status.st_ino}.{status.st_ctime_ns}"


def _line(name: str, tag: str, identity: str, artifact: Artifact) -> str:
    text = json.dumps(
        [
            name,
            tag,
            identity,
            artifact.version,
            artifact.digest.hex,
            artifact.size,
            artifact.media_type,
            artifact.created.isoformat(),
            artifact.made_from.hex if artifact.made_from else "",
            artifact.annotations,
        ],
        separators=(",", ":"),
    )
    return f"{crc32(text.encode()):08x} {text}"


def _artifact(entry: Entry) -> Artifact:
    name, tag, _, version, digest, size, media_type, created, made_from, annotations = entry
    kind, _, short = name.partition("/")
    return Artifact(
        reference=Reference(Kind(kind), short, tag),
        version=version,
        digest=Digest("sha256", digest),
        size=size,
        media_type=media_type,
        created=datetime.fromisoformat(created),
        made_from=Digest("sha256", made_from) if made_from else None,
        annotations=tuple((key, value) for key, value in annotations),
    )
