"""Older versions on this machine's disk, from which a pull takes what has not changed; and what is in them.

Both in $XDG_CACHE_HOME/seter (XDG base directory specification): `pulled/` has, for each kind and name, where its files
were pulled to last; `chunks/` has indexes of files, each under what the file is known by (naust.transfer.digests) and
the method. All of it may be deleted, and nothing there is trusted: a pull checks what comes out.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import BadInput, Corrupt, Error
from common.model import Digest, Kind
from naust.content.chunks import LONGEST, Chunks, Method, of_file, parse
from naust.transfer import digests

_PLACES = 4  # that are remembered of one name
_KEPT = 64  # indexes; the oldest go
_LEAST = 1 << 20  # bytes of a file that is worth looking into
_PIECE = 1 << 20  # bytes that a directory is packed in at once


def remembered(name: str) -> tuple[Path, ...]:
    """Where files and directories of `kind/name` were pulled to and may still be, the last first."""
    with suppress(OSError, ValueError):
        read = json.loads(_place("pulled", name).read_text())
        if isinstance(read, list):
            return tuple(path for path in map(Path, filter(_is_text, read)) if path.is_file() or path.is_dir())
    return ()


def remember(name: str, path: Path) -> None:
    """Keep where a file or directory of `kind/name` is. Where the cache cannot be written, nothing is kept."""
    known = [str(path.absolute()), *(str(each) for each in remembered(name))]
    _write(_place("pulled", name), json.dumps(list(dict.fromkeys(known))[:_PLACES]).encode())


@contextmanager
def opened(path: Path, near: Path | None = None, most: int = 0) -> Iterator[int | None]:
    """The descriptor of a seed; None if it is no file that is worth it or may be read. A directory is read as the tar
    that a push would make of it, at most this many bytes, in a file in the folder `near` that nobody sees."""
    descriptor = None
    with suppress(OSError):
        if near is not None and path.is_dir():
            descriptor = _packed(path, near, most)
        else:
            # Not blocking: a pipe of that name must not stop us.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor) if descriptor is not None else None
        yield descriptor if status and stat.S_ISREG(status.st_mode) and status.st_size >= _LEAST else None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _packed(folder: Path, near: Path, most: int) -> int:
    """As far as it can be packed: a seed may be anything. Kind rootfs may hold everything that a directory can."""
    import tempfile

    from naust.content.tree_pack import Packed

    room = os.statvfs(near)
    if room.f_bavail * room.f_frsize < 4 * most:  # what is pulled and unpacked needs some of it
        raise OSError(f"{near} has no room for another tar")
    with tempfile.TemporaryFile(dir=near, prefix=".naust-") as file:
        with suppress(Error, OSError), Packed(folder, Kind.ROOTFS) as packed:
            while file.tell() < most and (piece := packed.read(_PIECE)):
                file.write(piece)
        file.flush()
        return os.dup(file.fileno())


def chunks_of(file: int, method: Method) -> Chunks | None:
    """The index of an open file, from the cache or else from its bytes; None if it changes while it is read."""
    before, begun = os.fstat(file), time.time_ns()
    place = _index_place(before, method)
    with suppress(OSError, Corrupt):
        if place.stat().st_size <= LONGEST:
            found = parse(place.read_bytes(), str(place))
            if (found.size, found.method) == (before.st_size, method):
                return found
    made = of_file(file, before.st_size, method, Digest.of(b""))
    after = os.fstat(file)
    if made is None or digests.seen(before) != digests.seen(after):
        return None
    if digests.settled(after, begun):
        keep(after, made)
    return made


def keep(status: os.stat_result, index: Chunks) -> None:
    """Remember the index of the file that has this status."""
    place = _index_place(status, index.method)
    _write(place, index.encode())
    with suppress(OSError):
        every = sorted(place.parent.iterdir(), key=lambda each: each.stat().st_mtime)
        for old in every[:-_KEPT]:
            old.unlink(missing_ok=True)


def _index_place(status: os.stat_result, method: Method) -> Path:
    return _place("chunks", f"{digests.file_key(status).hex()} {method.name} {method.average}")


def _place(what: str, name: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(home) if Path(home).is_absolute() else Path.home() / ".cache"
    return cache / "seter" / what / hashlib.sha256(name.encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all; not synced, because it may go."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def explicit(path: Path) -> Path:
    """A seed that somebody named. Raises BadInput if there is nothing of that name."""
    if not path.exists():
        raise BadInput(f"there is no seed {path}", resolution="Name a file or directory, such as the version before.")
    return path
