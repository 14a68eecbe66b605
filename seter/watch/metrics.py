"""The rows of a system's `watch` block: one command that asks Prometheus for all of them, and what its answers mean.

Pure. The answers are those of Prometheus' HTTP API, `/api/v1/query` (Prometheus manual, "HTTP API"), one line each.
They come from a node, so they are read with care.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from common.system import WatchList, WatchRow
from seter.watch.model import Level, Row
from seter.watch.units import amount

LONGEST = 1.0  # seconds that all queries together may take


def argv(watch: WatchList) -> tuple[str, ...]:
    """The command that prints one line for each row, empty where one was not answered; run on the node of the
    Prometheus. coreutils' timeout ends it."""
    words = ["timeout", f"{LONGEST:g}", "curl"]
    for row in watch.rows:
        words += ["--silent", "--globoff", "--max-time", f"{LONGEST:g}", "--write-out", "\\n"]
        words += ["--data-urlencode", f"query={row.query}", f"{watch.prometheus}/api/v1/query", "--next"]
    return tuple(words[:-1])


def rows_of(watch: WatchList, printed: str) -> tuple[Row, ...]:
    """What the command printed, row by row; what is missing or cannot be read is said in its row."""
    lines = printed.split("\n")
    return tuple(_row(row, lines[at] if at < len(lines) else "") for at, row in enumerate(watch.rows))


def _row(row: WatchRow, line: str) -> Row:
    try:
        values = tuple(_values(row, line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Row(row.title, "no answer", str(error)[:200] if line else "not answered in time", Level.WARN)
    if not values:
        return Row(row.title, "no data", "", Level.UNKNOWN)
    level = max(_level(row, number) for _, number in values)
    worst = _worst(row, values)
    if not row.by:
        return Row(row.title, amount(worst, row.unit), "", level, (("", worst),))
    detail = "  ".join(f"{name} {amount(number, row.unit)}" for name, number in values if name)
    return Row(row.title, amount(_whole(row, values, worst), row.unit), detail, level, values)


def _values(row: WatchRow, line: str) -> Iterator[tuple[str, float]]:
    """Name and number of each; those that are no number (0 / 0, say) are left out."""
    said = json.loads(line)
    if said["status"] != "success":
        raise ValueError(said.get("error", "Prometheus refused the query"))
    found = said["data"]["result"]
    if said["data"]["resultType"] == "scalar":
        found = [{"metric": {}, "value": found}]
    named = [(str(each["metric"].get(row.by, "")), float(each["value"][1])) for each in found]
    return ((name, number) for name, number in sorted(named) if not math.isnan(number))


def _level(row: WatchRow, number: float) -> Level:
    if row.bad is not None and row.bad.is_met(number):
        return Level.BAD
    return Level.WARN if row.warn is not None and row.warn.is_met(number) else Level.GOOD


def _worst(row: WatchRow, values: Sequence[tuple[str, float]]) -> float:
    """The least where less is worse, else the most."""
    threshold = row.bad or row.warn
    numbers = [number for _, number in values]
    return min(numbers) if threshold is not None and threshold.than == "<" else max(numbers)


def _whole(row: WatchRow, values: Sequence[tuple[str, float]], worst: float) -> float:
    """Rates add up; of all else the worst stands for the whole."""
    return sum(number for _, number in values) if row.unit.endswith("/s") else worst
