"""The live view as lines: for a terminal of any width, as one line a second, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from seter.watch.model import Level, Picture, Row, Section

NARROWEST = 40  # columns
TITLE, VALUE = 24, 14  # columns
STALE = 3.0  # seconds after which an answer's age is said
SIGNS = {Level.GOOD: " ", Level.UNKNOWN: "?", Level.WARN: "!", Level.BAD: "X"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line with how well what it says is; headings have no level."""

    text: str
    level: Level | None = None


def lines(picture: Picture, width: int, height: int) -> list[Line]:
    """As much as fits; what is well is left out first. Nothing is told by colour alone: a sign begins each row."""
    width = max(width, NARROWEST)
    wanted = list(_lines(picture, width))
    if len(wanted) <= height:
        return wanted
    unwell = [each for each in wanted if each.level is not Level.GOOD]
    left_out = len(wanted) - min(len(unwell), height - 1)
    return [*unwell[: height - 1], Line(cut(f"  {left_out} more lines do not fit", width))]


def _lines(picture: Picture, width: int) -> Iterator[Line]:
    moment = picture.at.strftime("%H:%M:%S %Z")
    yield Line(cut(f"{picture.deployment}  {moment}  {summary(picture)}", width), picture.level)
    for section in picture.sections:
        yield Line(cut(_heading(section), width), Level.WARN if section.problem else None)
        for row in section.rows:
            yield Line(cut(_row(row), width), row.level)


def summary(picture: Picture) -> str:
    """In words how well all is."""
    silent = [section.name for section in picture.sections if section.problem]
    parts = [
        f"{number} {word}"
        for level, word in ((Level.BAD, "bad"), (Level.WARN, "to look at"), (Level.UNKNOWN, "unknown"))
        if (number := picture.rows(level))
    ]
    return "; ".join([", ".join(parts) or "all good", *(f"{name} do not answer" for name in silent)])


def _heading(section: Section) -> str:
    if section.problem:
        since = "" if section.age is None else f", as of {section.age:.0f} s ago"
        return f"{section.name}{since}: {section.problem}"
    old = section.age is not None and section.age >= STALE
    return f"{section.name}, as of {section.age:.0f} s ago" if old else section.name


def _row(row: Row) -> str:
    return f"{SIGNS[row.level]} {fit(row.title, TITLE)} {fit(row.value, VALUE)} {row.detail}".rstrip()


def plain(picture: Picture) -> str:
    """One line: the moment, how well all is, then what is not good, or the first values where all is."""
    unwell = [
        f"{row.title}: {row.value} {row.detail}".rstrip()
        for section in picture.sections
        for row in section.rows
        if row.level is not Level.GOOD
    ]
    silent = [f"{section.name}: {section.problem}" for section in picture.sections if section.problem]
    good = [f"{row.title} {row.value}" for section in picture.sections for row in section.rows if row.numbers]
    text = "; ".join([*silent, *unwell] or good)
    return f"{picture.at.isoformat(timespec='seconds')} {picture.level.word} {printable(text)}"


def as_json(picture: Picture) -> Mapping[str, object]:
    """One object, for `--json`: sections with rows, and every number by its name."""
    return {
        "deployment": picture.deployment,
        "at": picture.at.isoformat(timespec="milliseconds"),
        "level": picture.level.word,
        "sections": [
            {
                "name": section.name,
                "level": section.level.word,
                "age": None if section.age is None else round(section.age, 3),
                "problem": section.problem,
                "rows": [_plain_row(row) for row in section.rows],
            }
            for section in picture.sections
        ],
    }


def _plain_row(row: Row) -> Mapping[str, object]:
    found = {"title": row.title, "level": row.level.word, "value": row.value, "detail": row.detail}
    return found | {"numbers": dict(row.numbers)}


def printable(text: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def cut(text: str, width: int) -> str:
    """At most so many columns; what is cut off leaves a mark."""
    shown = printable(text)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def fit(text: str, width: int) -> str:
    """Exactly so many columns."""
    return cut(text, width).ljust(width)
