"""A run as one HTML file that needs nothing else: no script, no picture, no font, no network. Pure.

Whatever is in a run is untrusted: the template engine escapes it, and what no document may contain is replaced
(`seter.report.text.clean`). A policy in the page itself forbids everything but its own style sheet (CSP level 3), so
that what got through all the same does nothing.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from seter.report.figures import Change, Total, compared, moved, reason, total, verdict
from seter.report.model import Experiment, Fault, Outcome, Run
from seter.report.text import clean, clock, figure, latency, measure
from seter.report.timeline import HEIGHT, Timeline, make_timeline

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
AROUND = 5.0  # seconds shown before and after an experiment
ROWS = 60  # of the table of figures
REQUESTS = 200  # that failed or were late; the saved run has all
_SIGNS = {
    Outcome.HELD: "✓",
    Outcome.BROKEN: "✗",
    Outcome.STOPPED: "■",
    Outcome.INVALID: "?",
    Outcome.SKIPPED: "·",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """An experiment with its part of the timeline; `timeline` is None where nothing was sent or looked at then."""

    experiment: Experiment
    timeline: Timeline | None
    faults: tuple[tuple[int, Fault], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """Some seconds together, for the table of figures."""

    begin: float
    end: float
    total: Total


def render(run: Run, earlier: Run | None = None, others: Sequence[Run] = ()) -> str:
    """The page of `run`, compared with `earlier` if that is given; `others` are listed, newest first."""
    faults = tuple(enumerate((each for one in run.experiments for each in one.faults), 1))
    context = {
        "run": run,
        "earlier": earlier,
        "others": sorted(others, key=lambda each: each.began, reverse=True),
        "verdict": verdict(run),
        "total": total(run.seconds),
        "timeline": _whole(run, faults),
        "faults": faults,
        "shown": tuple(_experiments(run, faults)),
        "rows": _rows(run),
        "requests": run.requests[:REQUESTS],
        "untold": run.untold + len(run.requests[REQUESTS:]),
        "changes": compared(run, earlier) if earlier is not None else (),
        "moved": moved(run, earlier) if earlier is not None else (),
        "command": shlex.join(map(clean, run.environment.command)),
    }
    return _environment().get_template("report.html").render(context)


def _whole(run: Run, faults: Sequence[tuple[int, Fault]]) -> Timeline | None:
    ends = [run.length, *(each.at + 1 for each in run.seconds[-1:]), *(one.end or 0 for _, one in faults)]
    return make_timeline(run.seconds, faults, 0, max(ends)) if run.seconds else None


def _experiments(run: Run, faults: Sequence[tuple[int, Fault]]) -> list[Shown]:
    shown, at = [], 0
    for one in run.experiments:
        own = tuple(faults[at : at + len(one.faults)])
        at += len(own)
        begin, end = max(one.begin - AROUND, 0), max(one.end, one.begin) + AROUND
        there = any(begin <= each.at <= end for each in run.seconds) and one.outcome is not Outcome.SKIPPED
        shown.append(Shown(one, make_timeline(run.seconds, own, begin, end) if there else None, own))
    return shown


def _rows(run: Run) -> tuple[Row, ...]:
    """The figures behind the pictures, for who cannot see them or wants to copy them."""
    size = -(-len(run.seconds) // ROWS) or 1
    parts = [run.seconds[at : at + size] for at in range(0, len(run.seconds), size)]
    return tuple(Row(part[0].at, part[-1].at + 1, total(part)) for part in parts)


def sign(outcome: Outcome) -> str:
    """A sign that says it without colour."""
    return _SIGNS[outcome]


def trend(change: Change) -> str:
    """A word for what changed; nothing where nothing did."""
    return {"better": "▲ better", "worse": "▼ worse", "same": "same", "other": "different"}[change.kind]


@cache
def _style() -> str:
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _cleaned(value: object) -> object:
    """What the template puts out. Only plain text is changed: what the engine has marked as safe was cleaned before."""
    return clean(value) if type(value) is str else value


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_cleaned,
    )
    made.globals.update(style=Markup(_style()), policy=_policy(), height=HEIGHT)  # the style sheet is our own
    made.filters.update(clock=clock, latency=latency, figure=figure, measure=measure)
    made.filters.update(sign=sign, trend=trend, reason=reason, verdict=verdict)
    return made
