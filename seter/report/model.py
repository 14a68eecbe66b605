"""What a report is about: a run of experiments or of load, as plain data. Pure.

All times are seconds since the run began, all latencies are seconds. Whoever makes a run counts per second while it
goes on, so that an hour of 300 requests a second is 3,600 of `Second` and no more. `status` and `deviated` of an
experiment are those of a journal of Chaos Toolkit (https://chaostoolkit.org/reference/api/journal/).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

COMPLETED = "completed"  # status of a journal in which everything was carried out
SKIPPED = "skipped"  # ours: the target cannot do it, or nobody asked for it
LATE = 0.005  # seconds; a run whose 99th percentile of lag is above says nothing about latency


class Outcome(StrEnum):
    """How it came out. The text is what people and programs read."""

    HELD = "held"
    BROKEN = "broken"  # an allowance was exceeded, the steady state was lost, or something was not undone
    STOPPED = "stopped"  # it did not come to its end: interrupted, aborted by the objective, or a failing action
    INVALID = "invalid"  # what was measured cannot be trusted
    SKIPPED = "skipped"

    @property
    def is_good(self) -> bool:
        """Nobody has to look at it."""
        return self in (Outcome.HELD, Outcome.SKIPPED)


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in the second that begins at `at`. Percentiles are None where nothing was answered.

    `sent` are the requests that were due in it; `ok` and `failed` how they ended, whenever that was. `routes` are the
    next hops that the router with the fewest has, None where nobody looked.
    """

    at: float
    sent: int = 0
    ok: int = 0
    failed: int = 0
    p50: float | None = None
    p99: float | None = None
    routes: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One that failed or was answered late: when it was due, how long it took, which node answered (empty: none that is
    known), and why it failed (empty: it was only late)."""

    at: float
    took: float
    operation: str
    node: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something broken on purpose. `end` is when it was mended, None if it was not."""

    name: str
    node: str
    begin: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened, for the list beside the timeline."""

    at: float
    text: str
    node: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may happen, and what did. `unit` is for people: "requests", "s", "ms", "%"; `at_least` turns it round."""

    what: str
    allowed: float
    measured: float | None
    unit: str = ""
    at_least: bool = False

    @property
    def is_kept(self) -> bool:
        """Measured, and within."""
        if self.measured is None:
            return False
        return self.measured >= self.allowed if self.at_least else self.measured <= self.allowed


@dataclass(frozen=True, slots=True)
class Step:
    """An activity of a journal: a probe or an action of the hypothesis, the method or the way back (`part`)."""

    part: str
    name: str
    ok: bool
    took: float
    said: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment as it came out. `name` is its file's, `blast` who is hit by it, `why` what else has to be said
    about its end. `undone` is false if its way back failed."""

    name: str
    title: str
    status: str
    deviated: bool = False
    begin: float = 0.0
    end: float = 0.0
    undone: bool = True
    invalid: str = ""
    why: str = ""
    blast: str = ""
    allowances: tuple[Allowance, ...] = ()
    faults: tuple[Fault, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Follows from the rest, so that no report can say one thing above and another below."""
        if self.status == SKIPPED:
            return Outcome.SKIPPED
        if self.deviated or not self.undone:
            return Outcome.BROKEN
        if self.status != COMPLETED:
            return Outcome.STOPPED
        if self.invalid:
            return Outcome.INVALID
        return Outcome.HELD if all(each.is_kept for each in self.allowances) else Outcome.BROKEN


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and with what it ran, as pairs of name and value. `definitions` is the digest of what was deployed,
    `command` repeats the run, without secrets."""

    seter: str
    command: tuple[str, ...]
    definitions: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    artefacts: tuple[tuple[str, str], ...] = ()
    machine: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `kind` is the verb that made it, such as "chaos". `lag` is the 99th percentile of how late requests were
    sent, None without a load; `profile` says in a line what was sent; `invalid` why what was measured says nothing.
    `seconds` are in order of time. `requests` are those that failed or were late, `untold` how many more there were."""

    kind: str
    deployment: str
    began: datetime
    length: float
    environment: Environment
    experiments: tuple[Experiment, ...] = ()
    seconds: tuple[Second, ...] = ()
    notes: tuple[Note, ...] = ()
    lag: float | None = None
    profile: str = ""
    invalid: tuple[str, ...] = ()
    requests: tuple[Request, ...] = ()
    untold: int = 0

    @property
    def is_trusted(self) -> bool:
        """The load was sent when it was due, and nothing else is against it."""
        return not self.invalid and (self.lag is None or self.lag <= LATE)

    @property
    def outcome(self) -> Outcome:
        """The worst of its experiments; a run that cannot be trusted can be broken, but it cannot have held."""
        found = {each.outcome for each in self.experiments}
        for worst in (Outcome.BROKEN, Outcome.STOPPED):
            if worst in found:
                return worst
        if not self.is_trusted or Outcome.INVALID in found:
            return Outcome.INVALID
        return Outcome.SKIPPED if found == {Outcome.SKIPPED} else Outcome.HELD
