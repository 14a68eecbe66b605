"""What `seter doctor` found: one line about one thing, good or bad, with what to do. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from common.errors import Error

MIB, GIB = 1 << 20, 1 << 30
# Seconds that a clock may be off: etcd bears one, certificates and signatures of S3 some minutes.
OFF, FAR_OFF = 1.0, 60.0
LITTLE, TOO_LITTLE = GIB, 100 * MIB  # of free space, in bytes


class State(StrEnum):
    """Good; works, and should be seen to; does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is the machine, host, engine or store that it is about, `what` the thing that was looked at. `fix` is
    empty where nothing is to be done."""

    subject: str
    what: str
    state: State
    says: str
    fix: str = ""


Question = Callable[[], Sequence[Finding]]


def good(subject: str, what: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(subject, what, State.OK, says)


def warn(subject: str, what: str, says: str, fix: str) -> Finding:
    """It works, and should be seen to."""
    return Finding(subject, what, State.WARN, says, fix)


def fail(subject: str, what: str, says: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(subject, what, State.FAIL, says, fix)


def failed(subject: str, what: str, error: Error) -> Finding:
    """An error of ours."""
    return fail(subject, what, in_short(error), error.resolution)


def in_short(error: Error) -> str:
    """Its message, and of its details, which may be long, the last line."""
    return ": ".join(dict.fromkeys((error.message, *error.details.strip().splitlines()[-1:])))


def clock(subject: str, offset: float, within: float) -> Finding:
    """How far another's clock is before ours, in seconds, known to `within` so many. Only what is sure counts."""
    sure = max(abs(offset) - within, 0.0)
    says = f"{abs(offset):.1f} s {'before' if offset > 0 else 'behind'} this machine's (known within {within:.1f} s)"
    if sure < OFF:
        return good(subject, "clock", f"less than {OFF + within:.1f} s off")
    fix = "Have both set by NTP: apt-get install systemd-timesyncd; timedatectl says whether it works."
    return (fail if sure >= FAR_OFF else warn)(subject, "clock", says, fix)


def space(subject: str, path: str, free: int, inodes: int = -1) -> Finding:
    """Free bytes where `path` is, and free inodes; -1 of a file system that does not count those."""
    what, says = f"disk {path}", f"{free / GIB:.1f} GiB free"
    fix = f"Make room there: du -xh --max-depth 2 {path} | sort -h | tail."
    if inodes == 0:
        return fail(subject, what, f"{says}, but no inode", fix)
    if free < TOO_LITTLE:
        return fail(subject, what, f"{free / MIB:.0f} MiB free", fix)
    return warn(subject, what, says, fix) if free < LITTLE else good(subject, what, says)


def worst(findings: Sequence[Finding]) -> State:
    """Of all."""
    found = {each.state for each in findings}
    return next((state for state in (State.FAIL, State.WARN) if state in found), State.OK)
