"""How much memory a build may still take: what the machine has left, and what the control groups leave that smie runs
in, as in a CI job's container (cgroups(7); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
# Where each version keeps the limit and what is used, and what of that is pages of files, which make room when asked.
V2 = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
V1 = ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available(root: Path = ROOT) -> int:
    """Bytes of memory that could be had without swapping; 0 where nobody says it. /proc and /sys are in `root`."""
    machine = _numbers(root / "proc/meminfo").get("MemAvailable:", 0) * 1024
    return max(min((machine, *_left(root))), 0) if machine else 0


def _left(root: Path) -> Iterator[int]:
    """What each control group above this process leaves."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base, limit, used, cache = V1 if controllers else V2
        inside = PurePosixPath(path.lstrip("/"))
        # In a container the path may be one that only the host sees; the group's own files are at the top then.
        for group in (inside, *inside.parents):
            folder = root / base / group
            most, now = _text(folder / limit).strip(), _text(folder / used).strip()
            if most.isdigit() and now.isdigit():
                yield int(most) - int(now) + _numbers(folder / "memory.stat").get(cache, 0)


def _numbers(path: Path) -> dict[str, int]:
    words = (line.split() for line in _text(path).splitlines())
    return {each[0]: int(each[1]) for each in words if len(each) > 1 and each[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
