"""What the live view shows, as plain data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class Level(IntEnum):
    """How well something is; the greater, the more it needs somebody."""

    GOOD = 0
    UNKNOWN = 1
    WARN = 2
    BAD = 3

    @property
    def word(self) -> str:
        """For people and programs."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what it is about, its value, what else there is to say, and how well it is."""

    title: str
    value: str
    detail: str = ""
    level: Level = Level.GOOD
    numbers: tuple[tuple[str, float], ...] = ()  # the values by name, for programs


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one source. `age` is the seconds since it answered last, None if it never did; `problem` is why it
    did not the last time, or that it has not yet."""

    name: str
    rows: tuple[Row, ...] = ()
    age: float | None = None
    problem: str = ""

    @property
    def level(self) -> Level:
        """The worst of its rows; a source that does not answer is not well."""
        return max([Level.WARN if self.problem else Level.GOOD, *(row.level for row in self.rows)])


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment."""

    deployment: str
    at: datetime
    sections: tuple[Section, ...]

    @property
    def level(self) -> Level:
        """The worst of all."""
        return max((section.level for section in self.sections), default=Level.UNKNOWN)

    def rows(self, level: Level) -> int:
        """How many rows are so well."""
        return sum(row.level is level for section in self.sections for row in section.rows)
