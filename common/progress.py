"""How far several jobs are, and how long the rest will take. Pure: events and the time go in, lines of text come out.

`common.console` draws the lines on a terminal. Any tool may: what begins and ends says so in its events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.model import Event, Stage

BAR = 10  # cells
FULL, EMPTY = "█", "░"
LONGEST_SUBJECT = 24


@dataclass(frozen=True, slots=True)
class Job:
    """Something that will be done, after others. `seconds`: as long as it probably takes; None where nobody knows."""

    subject: str
    seconds: float | None = None
    after: tuple[str, ...] = ()


@dataclass(slots=True)
class _Row:
    begun: float
    step: str = ""


class Board:
    """What is done, what runs and what is to come, `at_once` jobs side by side. Times are seconds of one clock."""

    def __init__(self, jobs: Sequence[Job], at_once: int) -> None:
        self._jobs = {job.subject: job for job in jobs}
        self._at_once = at_once
        self._running: dict[str, _Row] = {}
        self._done: set[str] = set()
        self._took: list[float] = []

    def take(self, event: Event, now: float) -> bool:
        """Take note of an event; whether it is worth a line of its own, beside the rows."""
        if event.stage is Stage.BEGINS and event.subject in self._jobs:
            self._running[event.subject] = _Row(now)
            return False
        if event.stage is Stage.ENDS:
            ended = self._running.pop(event.subject, None)
            self._took += [now - ended.begun] if ended is not None else []
            self._done |= {event.subject} & self._jobs.keys()
            return True
        row = self._running.get(event.subject)
        if row is not None:
            own = f"{event.subject.rpartition('/')[2]} : "  # the row says already whose task it is
            row.step = event.message.removeprefix(own) or event.kind
        return row is None

    def left(self, now: float) -> float | None:
        """Seconds until all is done, about; None where nobody can know. What nobody knew before takes as long as
        others did."""
        known = [job.seconds for job in self._jobs.values() if job.seconds is not None] or self._took
        if not known:
            return None
        usual = sum(known) / len(known)
        lengths = {job.subject: usual if job.seconds is None else job.seconds for job in self._jobs.values()}
        running = {subject: _rest(lengths[subject], now - row.begun) for subject, row in self._running.items()}
        return _simulated(self._jobs.values(), lengths, running, self._done, self._at_once)

    def lines(self, now: float, width: int) -> list[str]:
        """A line for each job that runs, none longer than `width`, and one for all of them."""
        rows = [self._line(subject, row, now, width) for subject, row in self._running.items()]
        left = self.left(now)
        about = f", about {duration(left)} left" if left else ""
        return [*rows, f"{len(self._done)} of {len(self._jobs)} done{about}"[:width]]

    def _line(self, subject: str, row: _Row, now: float, width: int) -> str:
        spent, whole = now - row.begun, self._jobs[subject].seconds
        if whole:
            share = min(spent / whole, 0.99)  # what takes longer than expected is never done before it is done
            filled = int(share * BAR)
            bar = FULL * filled + EMPTY * (BAR - filled)
            end = f" {duration(spent):>6} of {duration(whole):>6} {bar} {share:>4.0%}"
        else:
            end = f" {duration(spent):>6}"
        room = width - LONGEST_SUBJECT - len(end) - 1
        return f"{_fit(subject, LONGEST_SUBJECT)} {_fit(row.step, room)}{end}" if room > 0 else _fit(subject, width)


def _rest(whole: float, spent: float) -> float:
    """What is over its time needs a tenth more, for all that we know."""
    return max(whole - spent, whole / 10)


def _simulated(
    jobs: Iterable[Job], lengths: Mapping[str, float], running: Mapping[str, float], done: Iterable[str], at_once: int
) -> float:
    """The jobs played through in their order: each begins when what it comes after is done and a place is free."""
    now, finished, ends = 0.0, set(done), dict(running)
    waiting = [job for job in jobs if job.subject not in finished and job.subject not in ends]
    while ends or waiting:
        for job in tuple(waiting):
            if len(ends) < at_once and all(name in finished or name not in lengths for name in job.after):
                ends[job.subject] = now + lengths[job.subject]
                waiting.remove(job)
        if not ends:  # the rest comes after what never comes
            break
        first = min(ends, key=ends.__getitem__)
        now = ends.pop(first)
        finished.add(first)
    return now


def duration(seconds: float) -> str:
    """For people: `7 s`, `2 m 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} m {whole % 60:02} s"


def _fit(text: str, width: int) -> str:
    """The text in exactly so many cells; what is cut off leaves a mark."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain.ljust(width) if len(plain) <= width else plain[: max(width - 1, 0)] + "…"
