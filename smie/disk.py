"""A full disk, said so: whoever met it first, the person is told where there is how much space and what may go."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from common.console import amount
from common.errors import Corrupt, Error, Unavailable
from smie.failed import again
from smie.workspace import Workspace

_SAID = (
    "no space left on device",
    "no space left in ",
    "not enough free disk space",
    "you don't have enough free space",
)


class DiskFull(Error):
    """There is no space left."""


def explained(error: BaseException, title: str, workspace: Workspace) -> Error:
    """The error as a person has to be told it: a full disk as such, and always with the way to repeat the build."""
    if is_full(error):
        said = (error.message, error.details) if isinstance(error, Error) else (str(error),)
        left = f"Without this build {amount(free(workspace.root))} are free where {workspace.root} is."
        return DiskFull(
            f"building {title} stopped because a disk is full",
            details="\n".join(part for part in (*said, left) if part),
            resolution=f"Make space and repeat it with: {again(title)}. {workspace.root} holds only what can be made "
            "again and may be removed; `docker system df` shows what the engine holds. Nothing of this build was kept.",
        )
    if isinstance(error, Unavailable) and again(title) not in error.resolution:
        error.resolution = f"{error.resolution} Repeat it with: {again(title)}"
    if isinstance(error, Error):
        return error
    return Corrupt(
        f"building {title} failed: {error}",
        details=type(error).__name__,
        resolution=f"Repeat it with: {again(title)} --debug",
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
