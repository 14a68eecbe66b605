"""A full disk, said so: whoever met it first, the person is told where there is how much space and what may go."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from common.console import amount
from common.errors import Corrupt, Error
from smie.workspace import Workspace

_SAID = ("no space left on device", "not enough free disk space", "you don't have enough free space")


class DiskFull(Error):
    """There is no space left."""


def explained(error: BaseException, title: str, workspace: Workspace) -> Error:
    """The error as a person has to be told it."""
    if is_full(error):
        return DiskFull(
            f"building {title} stopped because a disk is full",
            details=f"{amount(free(workspace.root))} are free where {workspace.root} is.",
            resolution=f"Make space and run the command again. {workspace.root} holds only what can be made again and "
            "may be removed; `docker system df` shows what the engine holds. Nothing of this build was kept.",
        )
    if isinstance(error, Error):
        return error
    return Corrupt(
        f"building {title} failed: {error}",
        details=type(error).__name__,
        resolution="Run the command again with --debug.",
    )


def is_full(error: BaseException | None) -> bool:
    """Whether this error, or what it came from, tells of a full disk."""
    while error is not None:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT) or any(text in str(error).lower() for text in _SAID):
            return True
        error = error.__cause__
    return False


def free(path: Path) -> int:
    """Bytes that can still be written where the path is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
