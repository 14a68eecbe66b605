"""How a build that failed is told: the task at hand, how its log ends, how to repeat it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from common.errors import Error, Unavailable
from common.model import Kind
from common.run import CommandFailed

if TYPE_CHECKING:
    from smie.packer import Log

# What unshare(1) of util-linux 2.38 says, and ends with 1, where the first process of its namespace was killed.
KILLED = "unshare: sigprocmask unblock failed"


def again(title: str) -> str:
    """The command that builds `KIND/NAME` once more."""
    kind, _, name = title.partition("/")
    return f"smie build {name}" if kind == Kind.CONTAINER else f"smie build {name} --kind {kind}"


class BuildFailed(Error):
    """The program that builds did not. Says which task failed, how its log ends and how to repeat it."""

    def __init__(self, title: str, log: Log, error: CommandFailed | None = None) -> None:
        lines = [line for line in log.end if not line.startswith(KILLED)]
        if len(lines) < len(log.end) or (error is not None and error.result.code < 0):
            lines.append("The program that builds was killed.")
        super().__init__(
            f"building {title} failed{in_task(log)}",
            details="\n".join(lines),
            resolution=f"The whole log is in {log.path}. Repeat it with: {again(title)}",
        )


class TookTooLong(Error):
    """What builds did not end in time, and was ended. Says in which task that was, and how long the task took."""

    def __init__(self, title: str, log: Log, limit: timedelta) -> None:
        spent = time.monotonic() - log.begun
        task = f"The task {log.task!r} had been running for {spent:.0f} s." if log.task else "No task had begun."
        super().__init__(
            f"building {title} did not end within {limit.total_seconds():g} s",
            details="\n".join((*log.end, task)),
            resolution=f"Mend what hangs, or give more time with --time-limit. The whole log is in {log.path}. "
            f"Nothing of this build was kept. Repeat it with: {again(title)}",
        )


class EngineLost(Unavailable):
    """The Docker engine went away during a build."""

    def __init__(self, title: str, log: Log, lost: Unavailable) -> None:
        super().__init__(
            f"building {title}: the Docker engine was lost{in_task(log)}",
            details="\n".join((*log.end, lost.details)),
            resolution=f"{lost.resolution} The whole log is in {log.path}. What the engine still has of this build "
            f"goes with the next one. Repeat it with: {again(title)}",
        )


def in_task(log: Log) -> str:
    """` in the task …`; nothing where no task has begun."""
    return f" in the task {log.task!r}" if log.task else ""
