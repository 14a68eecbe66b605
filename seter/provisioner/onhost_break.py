"""What runs on a host to break its roles on purpose, as root: a verb and the roles' names, none for all of ours.

    freeze | thaw | end ROLE…        a signal to every process of the units (systemctl(1), kill)
    limit ROLE QUOTA MEMORY          CPUQuota and MemoryMax, empty for none, until the unit starts anew
    clock SECONDS                    since 1970
    fill | empty FOLDER              a file takes all that others than root may still use of its file system, or goes

Exit codes: 0 done, 69 the unit does not run.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SIGNALS = {"freeze": "SIGSTOP", "thaw": "SIGCONT", "end": "SIGKILL"}
NOT_RUNNING = 69
LEAST = 4096  # bytes; less is no block of a file system
FILLER = "seter-experiment.fill"


def running(roles: Sequence[str]) -> list[str]:
    """Units of these roles that run."""
    wanted = [f"seter-{role}.service" for role in roles] or ["seter-*.service"]
    argv = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating", *wanted]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return [words[0] for words in lines if words and words[3:4] != ["exited"]]


def fill(folder: str) -> None:
    """What is left is asked for again, since others write meanwhile; and less of it, since a file system needs some of
    it for itself (posix_fallocate(3), ENOSPC)."""
    piece = sys.maxsize
    with os.fdopen(os.open(Path(folder, FILLER), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        while (left := os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize) and piece >= LEAST:
            piece = min(piece, left)
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, piece)
            except OSError as fault:
                if fault.errno != errno.ENOSPC:
                    raise
                piece //= 2


def empty(folder: str) -> None:
    """Again is no fault."""
    Path(folder, FILLER).unlink(missing_ok=True)


def clock(seconds: str) -> None:
    """The kernel's (clock_settime(2))."""
    time.clock_settime(time.CLOCK_REALTIME, float(seconds))


OTHERS = {"fill": fill, "empty": empty, "clock": clock}


def main(argv: Sequence[str]) -> None:
    """See the beginning."""
    verb, *words = argv
    if verb in OTHERS:
        return OTHERS[verb](words[0])
    units = running(words[:1] if verb == "limit" else words)
    if not units:
        sys.exit(0 if verb in ("freeze", "thaw") else NOT_RUNNING)
    if verb == "limit":
        _, quota, memory = words
        settings = [f"CPUQuota={quota}", f"MemoryMax={memory or 'infinity'}"]
        subprocess.run(["systemctl", "set-property", "--runtime", *units, *settings], check=True)
    else:
        subprocess.run(["systemctl", "kill", "--kill-whom=all", f"--signal={SIGNALS[verb]}", *units], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
