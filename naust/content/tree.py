"""Directories as artefacts: one uncompressed tar, and an index of the files in it.

The tar is POSIX pax (IEEE Std 1003.1-2017, pax, "pax Interchange Format") and depends on the directory alone: names in
the order of their octets, a folder before what is in it, times to the nanosecond, owners by number and by name,
extended attributes as SCHILY.xattr.NAME (star(5), as GNU tar and libarchive write and read them), sparse files in
GNU's format 1.0 (GNU tar manual, "Storing Sparse Files") with holes of 64 KiB blocks.

The index is a line of JSON for each member, in the order of the tar, after a line that names the format. A name that is
no UTF-8 has its octets as lone surrogates (PEP 383), escaped as JSON allows. `offset` is where a file's bytes begin in
the tar, so that one file can be had with a Range request; `map` lists the (offset, size) of a sparse file's data, which
lies there without the holes; `sha256` is that of the file as it is read, zeros of holes included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from common.errors import Corrupt
from common.model import Digest, Kind

FORMAT = "naust files 1"
MOST = 1_000_000  # members of a tar
_LONGEST_LINE = 1 << 20  # octets of a line of the index; a sparse file's map makes it long

FOLDER, FILE, SYMLINK, HARDLINK, FIFO, CHARACTER, BLOCK = (
    "folder",
    "file",
    "symlink",
    "hardlink",
    "fifo",
    "char",
    "block",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. `target` is where a link leads; `mtime` in nanoseconds; `device` is major and minor."""

    path: str
    type: str
    mode: int
    uid: int
    gid: int
    user: str = ""
    group: str = ""
    mtime: int = 0
    size: int = 0
    offset: int = 0
    sha256: str = ""
    target: str = ""
    map: tuple[tuple[int, int], ...] = ()
    device: tuple[int, int] | None = None

    def line(self) -> bytes:
        """As the index has it."""
        said: dict[str, object] = {"path": self.path, "type": self.type, "mode": self.mode}
        said |= {"uid": self.uid, "gid": self.gid, "user": self.user, "group": self.group, "mtime": self.mtime}
        if self.type == FILE:
            said |= {"size": self.size, "offset": self.offset, "sha256": self.sha256}
        said |= {"target": self.target} if self.target else {}
        said |= {"map": self.map} if self.map else {}
        said |= {"device": self.device} if self.device else {}
        return json.dumps(said, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Entry:
        """From a line of the index. Raises ValueError, TypeError or KeyError for what is none."""
        text, number = partial(_text, said), partial(_number, said)
        pairs = said.get("map", [])
        device = said.get("device")
        if not isinstance(pairs, list):
            raise TypeError("a map is a list")
        return cls(
            path=str(said["path"]), type=text("type"), mode=number("mode"), uid=number("uid"), gid=number("gid"),
            user=text("user"), group=text("group"), mtime=number("mtime"), size=number("size"),
            offset=number("offset"), sha256=text("sha256"), target=text("target"),
            map=tuple(_pair(each) for each in pairs), device=_pair(device) if device else None,
        )  # fmt: skip

    @property
    def digest(self) -> Digest:
        """Of a file's bytes."""
        return Digest.parse(f"sha256:{self.sha256}")


def header() -> bytes:
    """The first line of an index."""
    return json.dumps({"format": FORMAT}).encode() + b"\n"


def read_index(source: BinaryIO, whole: str) -> Iterator[Entry]:
    """The entries of an index, one by one. Raises Corrupt for what is none."""
    try:
        if json.loads(source.readline(_LONGEST_LINE)).get("format") != FORMAT:
            raise ValueError("its format is unknown")
        while line := source.readline(_LONGEST_LINE):
            yield Entry.of(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(
            f"the file index of {whole} cannot be read",
            details=f"{type(error).__name__}: {error}",
            resolution="Nothing was made of it. Push the directory again, or use the naust that made it.",
        ) from error


def leads_out(path: str, target: str) -> bool:
    """Whether a symbolic link at `path` leads out of the tree that it is in."""
    if target.startswith("/"):
        return True
    depth = path.count("/")
    for part in target.split("/"):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            return True
    return False


def takes_devices(kind: Kind) -> bool:
    """Whether trees of this kind may hold device nodes, named pipes, and links to absolute paths."""
    return kind == Kind.ROOTFS


def _text(said: Mapping[str, object], key: str) -> str:
    value = said.get(key, "")
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _number(said: Mapping[str, object], key: str) -> int:
    value = said.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{key} is no number")
    return value


def _pair(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(each, int) for each in value):
        raise TypeError("a pair of numbers is missing")
    return value[0], value[1]
