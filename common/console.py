"""What people and programs see: results on stdout, everything else on stderr.

`rich` is loaded only when a person looks: a table on a terminal. A pipe gets plain lines separated by tabs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import Error
from common.model import Digest, Event, Reference, Secret
from common.progress import Board

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Report = Callable[[Event], None]
FRAMES = 4  # of rows, each second


def result(text: str) -> None:
    """A result: one line or more on stdout."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Something for the person at the keyboard, on stderr. If nobody is there any more, work goes on."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def json_result(value: object) -> None:
    """The result as JSON on stdout; knows dataclasses, enums, dates, paths, digests and references."""
    result(json.dumps(plain(value), indent=2, ensure_ascii=False))


def fields_of(value: DataclassInstance) -> dict[str, object]:
    """A dataclass's fields by name, so that more can be put beside them."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def plain(value: object) -> object:
    """The value as what JSON has."""
    if isinstance(value, Digest | Reference | Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        # A secret shows as its `str`, never as its fields.
        return str(value) if isinstance(value, Secret) else {k: plain(v) for k, v in fields_of(value).items()}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """A table for a person, or lines of tab-separated cells, without a heading, for a program."""
    if not sys.stdout.isatty():
        result("\n".join("\t".join(row) for row in rows)) if rows else None
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for row in rows:
        drawn.add_row(*(cell.replace("[", "\\[") for cell in row))
    Console(file=sys.stdout).print(drawn)


def reporter() -> Report:
    """Shows events on stderr as they come, each with the seconds since the start. Safe to call from any thread."""
    started, lock = time.monotonic(), threading.Lock()
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ

    def report(event: Event) -> None:
        text = f"{event.subject}: {event.message}" if event.message else event.subject
        line = f"{time.monotonic() - started:6.1f}s  {event.kind:<9} {text}"
        with lock:
            note(f"\033[2m{line[:8]}\033[0m{line[8:]}" if colour else line)

    return report


@contextmanager
def live(report: Report, board: Board) -> Iterator[Report]:
    """On a terminal, a row for each running job below the lines of `report`, until the block ends; anywhere else
    `report` as it is. Safe to call from any thread."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield report
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    lock, terminal = threading.Lock(), Console(file=sys.stderr)

    def rows() -> Text:
        with lock:
            return Text("\n".join(board.lines(time.monotonic(), terminal.width - 1)), no_wrap=True)

    def take(event: Event) -> None:
        with lock:
            is_told = board.take(event, time.monotonic())
        if is_told:
            report(event)

    # What is written to stderr meanwhile goes above the rows.
    with Live(get_renderable=rows, console=terminal, refresh_per_second=FRAMES, transient=True):
        yield take


def show_error(error: Error) -> None:
    """An error, its details and what to do next, on stderr."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    note(f"\033[31merror:\033[0m {error.message}" if colour else f"error: {error.message}")
    for part in (error.details, error.resolution):
        if part:
            note(part)


def age(moment: datetime) -> str:
    """How long ago, for people: `3 min`, `2 h`, `5 d`."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def amount(size: int) -> str:
    """Bytes for people, in powers of 1024 (IEC 80000-13): `177.0 MiB`."""
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("not reached")


def is_screen() -> bool:
    """Somebody looks at stdout, on a terminal that can be drawn over."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def screen() -> Iterator[Callable[[Callable[[int, int], Sequence[tuple[str, str]]]], None]]:
    """On a terminal: each call draws over what the last one drew. What is called back gets columns and rows, and gives
    lines, each with a style of `rich` ("" for none). The last picture stays when the block ends."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    terminal = Console(file=sys.stdout, highlight=False)

    def draw(lines: Callable[[int, int], Sequence[tuple[str, str]]]) -> None:
        shown = lines(terminal.width, terminal.height - 1)
        text = Text("\n", no_wrap=True).join(Text(line, style) for line, style in shown)
        view.update(text, refresh=True)

    with Live(console=terminal, auto_refresh=False, transient=False) as view:
        yield draw
