"""Cells as files in a folder: good on a local file system. Operators on several machines need a store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import Conflict
from common.files import write_atomically
from common.lock import take
from seter.keep.interface import NOTHING, Cell, Cells

GUARD = ".guard"
MODE = 0o600


class FolderCells(Cells):
    """Each cell is the file of its name. A swap holds flock(2) on a file beside them; the kernel frees it with us."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> Cell:
        try:
            data = (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return NOTHING
        # An empty file is what an earlier seter left of its lease.
        return Cell(data, hashlib.sha256(data).hexdigest()) if data else NOTHING

    def swap(self, name: str, data: bytes, expected: str) -> str:
        with self._guarded():
            there = self.read(name)
            if there.data != data:
                if there.version != expected:
                    raise Conflict(f"{self._folder / name} was changed meanwhile", resolution="Run the command again.")
                write_atomically(self._folder / name, data, mode=MODE)
        return hashlib.sha256(data).hexdigest()

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Who removes the folder takes the guard with it; then what we locked guards nothing, and we begin again."""
        guard = self._folder / GUARD
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
            try:
                take(descriptor, guard)
                if guard.exists() and guard.stat().st_ino == os.fstat(descriptor).st_ino:
                    yield
                    return
            finally:
                os.close(descriptor)
