"""The definitions that a deployment came from, as one text: to be kept, compared, and laid out again elsewhere.

All that a plan can follow from is in it: the system with its targets, all roles and bases.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from common.errors import Corrupt

FORMAT = 1
LINK = 0o120000  # S_IFLNK of inode(7)
SKIPPED = ("__pycache__", "checks")  # made by Python; read by builds alone
LEVEL = 6  # of gzip; 9 is three times as slow for 1 % less


@dataclass(frozen=True, slots=True)
class Text:
    """A file of a definition: permissions, and its content; what is not UTF-8 has no text. A link, which has LINK for
    its mode, has the place that it points to: bases mask units of systemd by links to /dev/null."""

    mode: int
    data: bytes

    @property
    def lines(self) -> list[str]:
        """For a comparison."""
        return self.data.decode(errors="replace").splitlines()


Definition = Mapping[str, Text]  # by path below the folder of definitions


def read_definition(systems: Path, system: str) -> dict[str, Text]:
    """The files of a system in a folder of definitions."""
    return {path.relative_to(systems).as_posix(): _text(path) for path in sorted(_files(systems, system))}


def _text(path: Path) -> Text:
    if path.is_file():
        return Text(path.stat().st_mode & 0o777, path.read_bytes())
    return Text(LINK, os.fsencode(path.readlink()))


def _files(systems: Path, system: str) -> Iterator[Path]:
    yield systems / system / "system.hcl"
    yield from systems.glob(f"{system}/targets/*.hcl")
    for folder in ("bases", "roles"):  # of bases all: what hosts are installed from follows from their files too
        for path in (systems / folder).rglob("*"):
            is_kept = path.is_file() or (path.is_symlink() and not path.is_dir())
            if is_kept and not set(path.relative_to(systems).parts) & set(SKIPPED):
                yield path


def pack(definition: Definition) -> bytes:
    """As it is kept: the same definitions give the same bytes."""
    files = {path: [text.mode, *_written(text.data)] for path, text in definition.items()}
    return packed({"format": FORMAT, "files": files})


def unpack(data: bytes, what: str) -> dict[str, Text]:
    """The reverse. Raises Corrupt for what is none, such as paths that lead elsewhere."""
    try:
        files = unpacked(data, what)["files"]
        return {
            _checked(path): Text(int(mode) & (0o777 | LINK), _read(*written))
            for path, (mode, *written) in files.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(what, error) from error


def lay_out(definition: Definition, folder: Path) -> None:
    """Write the files below a folder that is there; links last, so that nothing is written through one. Raises Corrupt
    for what cannot be together."""
    try:
        for path, text in sorted(definition.items(), key=lambda each: each[1].mode == LINK):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if text.mode == LINK:
                file.symlink_to(os.fsdecode(text.data))
            else:
                file.write_bytes(text.data)
                file.chmod(text.mode & 0o777)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _damaged("a definition", error) from error


def packed(content: Mapping[str, object]) -> bytes:
    """JSON, compressed; equal content gives equal bytes."""
    return gzip.compress(json.dumps(content, sort_keys=True, ensure_ascii=False).encode(), LEVEL, mtime=0)


def unpacked(data: bytes, what: str) -> dict[str, Any]:
    """What was packed. Raises Corrupt, also for what a newer seter wrote."""
    try:
        content = json.loads(gzip.decompress(data))
        if content["format"] > FORMAT:
            raise Corrupt(f"{what} was written by a newer seter", resolution="Use that version, or a newer one.")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _damaged(what, error) from error
    assert isinstance(content, dict)
    return content


def _written(data: bytes) -> tuple[str, ...]:
    try:
        return (data.decode(),)
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def _read(text: str, coding: str = "") -> bytes:
    return base64.b64decode(text, validate=True) if coding else text.encode()


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path or str(PurePosixPath(path)) != path:
        raise ValueError(f"{path!r} leads elsewhere")
    return path


def _damaged(what: str, error: Exception) -> Corrupt:
    return Corrupt(
        f"{what} cannot be read",
        details=f"{type(error).__name__}: {error}",
        resolution="It is damaged, or was never written by seter. Nothing was changed.",
    )
