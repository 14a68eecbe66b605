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
