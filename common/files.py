"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from common.errors import Error
from common.model import Digest

CHUNK = 1 << 20  # bytes read at once; more gains nothing (see `make bench`)


def write_atomically(path: Path, data: bytes | str, mode: int = 0o644) -> None:
    """Write beside, sync, rename, sync the folder: a reader sees the old file or the new one, also after power loss.

    Raises Error when the disk is full or the folder may not be written.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise Error(
            f"{path} could not be written: {error.strerror}",
            resolution="See that there is space and that the folder can be written, then run the command again.",
        ) from error


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable (fsync(2) on the directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> Digest:
    """SHA-256 of a file, read once with constant memory."""
    with path.open("rb") as file:
        return Digest("sha256", hashlib.file_digest(file, "sha256").hexdigest())


def tree_digest(folder: Path) -> Digest:
    """SHA-256 over the sorted lines `path NUL mode NUL digest` of all regular files below; names and modes count."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        mode = path.stat().st_mode & 0o777
        total.update(f"{path.relative_to(folder).as_posix()}\0{mode:o}\0{file_digest(path).hex}\n".encode())
    return Digest("sha256", total.hexdigest())
