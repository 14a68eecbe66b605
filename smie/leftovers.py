"""Whose a build is: its identity names the machine and the process, so that leftovers of the dead are known.

A build's container, committed image and folder carry the identity. Whatever belongs to a process of this machine that
is no more may be removed; anything else is never touched. What a build with --debug left open stays until the next
build of the same artefact.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from smie.workspace import Workspace

LABEL = "smie.build"
SCRATCH = "smie-"
KEPT = "kept-"  # begins the last part of the identity of what is left open when it fails
LONGEST_ROOT = 24  # bytes
MEMORY = Path("/dev/shm")  # shm_overview(7)


def identity(name: str, *, kept: str = "") -> str:
    """A new identity, `machine.boot.process.start.name.random`; with `kept`, a kind, it ends in `.kept-KIND`."""
    random = (secrets.token_hex(4), KEPT + kept) if kept else (secrets.token_hex(4),)
    return ".".join((*_here(), str(os.getpid()), _started(os.getpid()), name, *random))


def is_dead(build: str) -> bool:
    """Whether the build belongs to a process of this machine that has ended, and was not left open on purpose."""
    return _has_ended(build) and not build.rpartition(".")[2].startswith(KEPT)


def is_replaced(build: str, titles: Collection[str]) -> bool:
    """Whether the build was left open by a process that has ended, and one of these artefacts is now built anew."""
    parts = build.split(".")
    last, title = parts[-1], f"{parts[-1].removeprefix(KEPT)}/{'.'.join(parts[4:-2])}"
    return last.startswith(KEPT) and title in titles and _has_ended(build)


def is_ours(build: str) -> bool:
    """Whether the build belongs to this very process."""
    return build.startswith(".".join((*_here(), str(os.getpid()), _started(os.getpid()), "")))


def _has_ended(build: str) -> bool:
    parts = build.split(".")
    if len(parts) < 6 or parts[0] != _here()[0] or not parts[2].isdigit():
        return False
    return parts[1] != _here()[1] or _started(int(parts[2])) != parts[3]


@contextmanager
def scratch(build: str, root: Path | None = None) -> Iterator[Path]:
    """A folder with a short path, gone afterwards: Packer puts sockets there, whose paths have at most 107 bytes
    (unix(7)), and a build's own folder may be deep. It is in `root`, which is MEMORY, or where such things usually
    are."""
    parts = [part for part in build.split(".") if not part.startswith(KEPT)]
    folder = (root or _scratch_root()) / (SCRATCH + ".".join((*parts[:4], "m" if root else "t", parts[-1])))
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_folders(workspace: Workspace, is_gone: Callable[[str], bool] = is_dead) -> tuple[str, ...]:
    """Remove the folders of builds that are gone; which they were."""
    dead = [folder for folder in _folders(workspace.work) if is_gone(folder.name)]
    roots = (_scratch_root(), MEMORY)
    short = [f for root in roots for f in root.glob(f"*{SCRATCH}*") if is_gone(f.name.partition(SCRATCH)[2])]
    for path in (*dead, *short):
        path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    return tuple(f"folder {folder.name}" for folder in dead)


def _scratch_root() -> Path:
    usual = Path(tempfile.gettempdir())
    return usual if len(str(usual)) <= LONGEST_ROOT else Path("/tmp")


def _folders(work: Path) -> list[Path]:
    return sorted(work.iterdir()) if work.is_dir() else []


def _here() -> tuple[str, str]:
    """This machine and this boot of it, eight digits each."""
    return _short(socket.gethostname()), _short(Path("/proc/sys/kernel/random/boot_id").read_text())


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _started(process: int) -> str:
    """When a process began, in clock ticks since boot (proc(5), stat, field 22); empty when it has ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
