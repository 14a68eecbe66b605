"""A lease on a folder: one writer at a time, and everybody else can see who it is.

The kernel's lock (flock(2)) goes with its holder, however that ends, so a killed run leaves nothing to be cleaned up by
hand. The file beside it only says who holds it. Good on a local file system; stores on a network bring their own.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.errors import Conflict

POLL = 0.1  # seconds
STOPPED_FOR = timedelta(seconds=10)  # after so long it is no debugger's moment


@contextmanager
def lease(path: Path, reason: str, *, wait: timedelta = timedelta(0)) -> Iterator[None]:
    """Hold the lease at `path` while the block runs; wait for it at most `wait`. Raises Conflict, naming the holder."""
    descriptor = _open_locked(path, wait)
    try:
        _say_who(descriptor, reason)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _open_locked(path: Path, wait: timedelta) -> int:
    """The locked file that is at `path` now: a holder may remove it with its folder, and then its lock says nothing."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                _acquire(descriptor, path, wait)
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def holder(path: Path) -> str:
    """Who holds the lease, in words; empty when nobody does or nobody says so."""
    try:
        who = json.loads(path.read_text())
        return f"{who['user']}@{who['host']}, process {who['pid']}, since {who['since']}: {who['reason']}"
    except (OSError, ValueError, KeyError):
        return ""


def _acquire(descriptor: int, path: Path, wait: timedelta) -> None:
    deadline = time.monotonic() + wait.total_seconds()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Conflict(
                    f"{path.name} is held by {holder(path) or 'another process'}",
                    resolution="Wait until it is done and run the command again.",
                ) from None
            time.sleep(POLL)


def take(descriptor: int, path: Path, *, shared: bool = False) -> None:
    """Take the lock of the open file, however long others work while they hold it. Raises Conflict when the one that
    does is stopped (Ctrl-Z, SIGSTOP): it would hold it until somebody remembers."""
    pause, seen = 0.001, 0.0
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(pause)
        pause = min(pause * 2, POLL)
        stopped = _stopped_holder(descriptor) if pause == POLL else 0
        seen = (seen or time.monotonic()) if stopped else 0.0
        if stopped and time.monotonic() - seen >= STOPPED_FOR.total_seconds():
            raise Conflict(
                f"{path} is locked by process {stopped}, which is stopped",
                resolution=f"Let it go on (kill -CONT {stopped}) or end it (kill {stopped}); then run this again.",
            )


def _stopped_holder(descriptor: int) -> int:
    """The process on this machine that holds the file's lock and is stopped; 0 where there is none, or nobody says.
    Sources: proc_locks(5), proc_pid_stat(5)."""
    wanted = os.fstat(descriptor)
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(wanted.st_ino):
                pid = int(words[4])
                if _is_stopped(pid) and _has_open(pid, wanted):
                    return pid
    return 0


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:  # it ended meanwhile
        return False


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    """Inode numbers are of one file system; so this asks for the file itself."""
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.path.samestat(entry.stat(), wanted):
                    return True
    return False


def _say_who(descriptor: int, reason: str) -> None:
    who = {
        "user": os.environ.get("USER") or str(os.getuid()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": reason,
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(who).encode(), 0)
