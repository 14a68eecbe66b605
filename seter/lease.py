"""The lease of a deployment: one run at a time changes a group, and all others see who, where, why and since when.

It is one cell (seter.keep): who holds which groups. A holder moves its counter every few seconds; nobody trusts another
machine's clock, so a lease has run out when somebody has watched its counter stand still for as long as it lasts. A
holder on this machine whose process is gone is known to be gone at once. One that cannot say that it still has the
lease stops before its next change.
"""

from __future__ import annotations

import json
import os
import secrets as random_source
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path

from common.console import Report
from common.errors import BadInput, Conflict, Error, Unavailable
from common.model import Event
from common.values import Wrong, as_duration
from seter.keep.interface import LEASE, Cell, Cells

FORMAT = 1
LENGTH = timedelta(seconds=60)  # that a counter must have stood still; $SETER_LEASE says otherwise
BEATS = 6  # of the counter, in that time
PATIENCE = timedelta(minutes=5)  # with a state that does not answer, before a run that holds the lease gives up
POLL = 0.5  # seconds
TOLD = 10.0  # seconds between two words on what is waited for
KEPT = 20  # take-overs that are remembered


class Lost(Conflict):
    """Another run has taken the lease that this one had."""


class Unsure(Conflict):
    """Nobody can say whether this run still has its lease."""

    exit_code = Unavailable.exit_code


@dataclass(frozen=True, slots=True)
class Claim:
    """How the operator wants the lease: how long to wait for it, in whose name to take it from another, and why."""

    wait: timedelta = timedelta(0)
    take_over: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lease. `groups` is empty for all; `life` tells this process from all others of its machine; `length`
    in seconds; `seen` is when the counter moved last, by the holder's own clock."""

    id: str
    user: str
    host: str
    pid: int
    life: str
    groups: tuple[str, ...]
    reason: str
    since: str
    seen: str
    length: float
    beat: int = 0

    def __str__(self) -> str:
        groups = f" on {', '.join(self.groups)}" if self.groups else ""
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since}: {self.reason}{groups}"

    def overlaps(self, groups: tuple[str, ...]) -> bool:
        """Whether both could change the same node."""
        return not self.groups or not groups or bool(set(self.groups) & set(groups))


@dataclass(frozen=True, slots=True)
class Taken:
    """A lease that somebody took from another: whose (its id), by whom, in which words."""

    id: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Book:
    """All that the cell says. `runs` is the number of the last run that the history has."""

    holders: tuple[Holder, ...] = ()
    taken: tuple[Taken, ...] = ()
    runs: int = 0


def read_book(cell: Cell) -> Book:
    """What a cell says; nothing for one that an earlier seter wrote, whose lease ended with its process.

    Raises BadInput for what a newer one wrote, Error for what is no lease."""
    if not cell.data:
        return Book()
    try:
        said = json.loads(cell.data)
        if said.get("format") is None:
            return Book()
        if said["format"] > FORMAT:
            raise BadInput("the lease was written by a newer seter", resolution="Use that version, or a newer one.")
        holders = tuple(Holder(**{**each, "groups": tuple(each["groups"])}) for each in said["holders"])
        return Book(holders, tuple(Taken(**each) for each in said["taken"]), int(said["runs"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Error(
            f"the lease cannot be read: {type(error).__name__}: {error}",
            resolution="See that nobody deploys, then remove the cell `lease` from the deployment's state.",
        ) from error


def write_book(book: Book) -> bytes:
    """The cell's bytes, others each time: of two writers of the same book each must learn whether it was the one."""
    return json.dumps({"format": FORMAT, "turn": random_source.token_hex(8), **asdict(book)}, sort_keys=True).encode()


def change(cells: Cells, changed: Callable[[Book], Book]) -> Book:
    """Read, change, swap; again if another was faster. What stands there then."""
    while True:
        cell = cells.read(LEASE)
        book = changed(read_book(cell))
        with suppress(Conflict):
            cells.swap(LEASE, write_book(book), cell.version)
            return book


def holders(cells: Cells) -> tuple[Holder, ...]:
    """Who has the lease now, without those who are known to be gone."""
    return tuple(each for each in read_book(cells.read(LEASE)).holders if not _is_gone(each))


class Lease:
    """A lease that this run has. `words` say what was taken from whom, for the history."""

    def __init__(self, cells: Cells, me: Holder, report: Report, words: tuple[str, ...] = ()) -> None:
        self.me = me
        self.words = words
        self._cells = cells
        self._report = report
        self._renewed = _now()
        self._lost: Lost | None = None
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """To be called before every change. Waits for a state that does not answer, but not for ever.

        Raises Lost if another run has the lease, Unsure if nobody can say."""
        deadline = _now() + PATIENCE.total_seconds()
        while True:
            if self._lost is not None:
                raise self._lost
            if _now() - self._renewed < self.me.length / 2:
                return
            failure = self._renew()
            if failure is not None and _now() > deadline:
                raise Unsure(
                    f"nobody can say whether this run still has the lease: {failure.message}",
                    resolution="It stopped before its next change. Deploy again once the state answers.",
                )
            if failure is not None:
                self._report(Event("waiting", "lease", f"{failure.message}; {deadline - _now():.0f} s left"))
                time.sleep(min(self.me.length / BEATS, TOLD))

    def release(self) -> None:
        """Give it back. If that fails it runs out by itself."""
        self._ended.set()
        with self._turn:
            try:
                if self._cells.read(LEASE).data:  # else all was forgotten, and stays so
                    change(self._cells, lambda book: replace(book, holders=_without(book.holders, self.me.id)))
            except Error as error:
                self._report(Event("lease", "not given back", f"{error.message}; it runs out by itself"))

    def _beat(self) -> None:
        while not self._ended.wait(self.me.length / BEATS):
            self._renew()

    def _renew(self) -> Error | None:
        """Move the counter; what kept us from it."""
        with self._turn:
            if self._ended.is_set() or self._lost is not None:
                return None
            try:
                change(self._cells, self._moved)
            except Lost as lost:
                self._lost = lost
            except Error as error:
                return error
            else:
                self._renewed = _now()
            return None

    def _moved(self, book: Book) -> Book:
        if all(each.id != self.me.id for each in book.holders):
            taken = next((each for each in book.taken if each.id == self.me.id), None)
            raise Lost(
                f"this run has lost its lease to {taken.by}: {taken.reason}"
                if taken
                else "this run has lost its lease",
                resolution="It stopped before its next change. Look with seter status, then deploy again.",
            )
        ours = (
            replace(each, beat=each.beat + 1, seen=_clock()) if each.id == self.me.id else each for each in book.holders
        )
        return replace(book, holders=tuple(ours))


@contextmanager
def held(cells: Cells, what: str, groups: tuple[str, ...], claim: Claim, report: Report) -> Iterator[Lease]:
    """Have the lease on these groups (none: all) while the block runs. `what` names the deployment in errors.

    Raises Conflict, naming who has it, when the time to wait is over.
    """
    lease = _acquire(cells, what, groups, claim, report)
    try:
        yield lease
    finally:
        lease.release()


def _acquire(cells: Cells, what: str, groups: tuple[str, ...], claim: Claim, report: Report) -> Lease:
    me, watch, told = _myself(claim.reason, groups), _Watch(claim), 0.0
    while True:
        cell = cells.read(LEASE)
        book = read_book(cell)
        blocking = [each for each in book.holders if each.overlaps(groups)]
        going = {each.id: word for each in blocking if (word := watch.goes(each))}
        if len(going) == len(blocking):
            with suppress(Conflict):
                cells.swap(LEASE, write_book(_entered(book, me, going)), cell.version)
                words = tuple(f"{going[each.id]}: {each}" for each in blocking)
                for each in words:
                    report(Event("lease", "taken", each))
                return Lease(cells, me, report, words)
            continue
        left = [each for each in blocking if each.id not in going]
        if watch.is_over(left):
            raise _refused(what, left)
        if watch.age >= told:
            report(Event("waiting", "lease", f"{watch.left(left):.0f} s left; it is held by {left[0]}"))
            told = watch.age + TOLD
        time.sleep(POLL)


def _entered(book: Book, me: Holder, going: Mapping[str, str]) -> Book:
    stay = tuple(each for each in book.holders if each.id not in going)
    by = f"{me.user}@{me.host}"
    taken = tuple(Taken(id, by, word) for id, word in going.items())
    return Book((*stay, me), (*book.taken, *taken)[-KEPT:], book.runs)


class _Watch:
    """Looks at the counters of others as long as it is told to, or as it takes to see that one stands still."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._since = _now()
        self._beats: dict[str, tuple[int, float]] = {}

    @property
    def age(self) -> float:
        """Seconds that we have watched."""
        return _now() - self._since

    def goes(self, holder: Holder) -> str:
        """Why the holder has the lease no more, in words; '' if it has."""
        if _is_gone(holder):
            return "its process is gone"
        if self._claim.take_over:
            return self._claim.take_over
        beat, since = self._beats.get(holder.id, (-1, 0.0))
        if beat != holder.beat:
            self._beats[holder.id] = holder.beat, _now()
        elif _now() - since > holder.length:
            return f"its counter stood still for {holder.length:.0f} s"
        return ""

    def is_over(self, holders: Iterable[Holder]) -> bool:
        """Whether it is time to give up."""
        return self.left(holders) <= 0

    def left(self, holders: Iterable[Holder]) -> float:
        """Seconds for which it is worth to go on: what the operator wants; but who has said nothing for longer than the
        lease, as far as its clock can be believed, is watched until it is certain."""
        silent = [each.length + 2 * POLL for each in holders if _silence(each) > each.length and self._stands(each)]
        return max([self._claim.wait.total_seconds(), *silent]) - self.age

    def _stands(self, holder: Holder) -> bool:
        """It has not moved since we began to look."""
        beat, since = self._beats.get(holder.id, (holder.beat, self._since))
        return beat == holder.beat and since - self._since < POLL


def _refused(what: str, left: list[Holder]) -> Conflict:
    return Conflict(
        f"the lease of {what} is held by {left[0]}",
        details="\n".join(f"also by {each}" for each in left[1:]),
        resolution="Wait for it with --wait 10m. If you know that this run is gone for good, --take-over REASON ends "
        "its lease; the history keeps your words.",
    )


def _myself(reason: str, groups: tuple[str, ...]) -> Holder:
    nonce, since, pid = random_source.token_hex(8), _clock("seconds"), os.getpid()
    length = _length().total_seconds()
    return Holder(nonce, getuser(), socket.gethostname(), pid, _life(pid), groups, reason, since, _clock(), length)


def _length() -> timedelta:
    """Of a lease, as $SETER_LEASE says. Raises BadInput."""
    named = os.environ.get("SETER_LEASE")
    try:
        return as_duration(named) if named else LENGTH
    except Wrong as wrong:
        raise BadInput(f"$SETER_LEASE: {wrong.message}", resolution=f"{wrong.fix.capitalize()}.") from wrong


def _without(holders: tuple[Holder, ...], id: str) -> tuple[Holder, ...]:
    return tuple(each for each in holders if each.id != id)


def _now() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _clock(precision: str = "milliseconds") -> str:
    return datetime.now(UTC).isoformat(timespec=precision)


def _silence(holder: Holder) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(holder.seen)).total_seconds()


def _life(pid: int) -> str:
    """This boot, this space of process numbers, and when the process began (proc_pid_stat(5), field 22); '' if there is
    no such process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else f"{boot} {space} {rest[18]}"


def _is_gone(holder: Holder) -> bool:
    """Whether the holder's process is known to be gone: it ran here, and runs no more."""
    place = _life(os.getpid()).rpartition(" ")[0]
    return bool(place) and holder.life.rpartition(" ")[0] == place and _life(holder.pid) != holder.life
