"""What was done and is still to be taken back. It is on disk before anything is done, so that a run that was killed is
tidied up by the next one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from common.errors import Corrupt
from common.files import write_atomically

FILE = "experiment.json"  # in the deployment's folder
Argument = str | float | list[str]


@dataclass(frozen=True, slots=True)
class Due:
    """One way back: a function of `undo`, what it is given, and what people are told."""

    way: str
    arguments: Mapping[str, Argument]
    what: str


class Ledger:
    """Of one deployment. The last is taken back first."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._due = self._read()

    @property
    def due(self) -> Sequence[Due]:
        """What is still to be taken back, the oldest first."""
        return tuple(self._due)

    def add(self, due: Due) -> Due:
        """It is about to be done. Twice the same is taken back once."""
        if due not in self._due:
            self._due.append(due)
            self._write()
        return due

    def done(self, due: Due) -> None:
        """It was taken back."""
        if due in self._due:
            self._due.remove(due)
            self._write()

    def _write(self) -> None:
        if self._due:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps([asdict(each) for each in self._due]).encode())
        else:
            self._file.unlink(missing_ok=True)

    def _read(self) -> list[Due]:
        if not self._file.exists():
            return []
        try:
            return [Due(**each) for each in json.loads(self._file.read_bytes())]
        except (ValueError, TypeError) as error:
            raise Corrupt(
                f"{self._file} cannot be read",
                details=str(error),
                resolution="It says what an experiment left undone: see seter status, deploy, and remove it.",
            ) from error
