"""What a figure is, and how one is taken."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv" / "bin"
WORK = ROOT / ".bench"


@dataclass(frozen=True)
class Row:
    """One figure. Without a peer that does the same there is no ratio."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_version: str | None = None
    ratio: float | None = None


def seconds(argv: Sequence[str], *, runs: int = 1, cwd: Path = ROOT, codes: tuple[int, ...] = (0,)) -> float:
    """Median wall time of the whole process, from start to exit."""
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        ended = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        taken.append(time.perf_counter() - started)
        if ended.returncode not in codes:
            raise SystemExit(f"bench: {' '.join(argv)} ended with {ended.returncode}\n{ended.stderr[-2000:]}")
    return statistics.median(taken)


def beside(name: str, ours: Callable[[], float], peer: str, version: str, theirs: Callable[[], float]) -> Row:
    """Ours and the peer's in turn, in this order, so that both see the same machine."""
    mine, other = ours(), theirs()
    print(f"  {name:<44} {mine:8.3f} s   {peer} {other:.3f} s", flush=True)
    return Row(name, round(mine, 4), "s", peer, version, round(other / mine, 3))


def alone(name: str, value: float, unit: str = "s") -> Row:
    """A figure that no peer has."""
    print(f"  {name:<44} {value:8.3f} {unit}", flush=True)
    return Row(name, round(value, 4), unit)


def version(argv: Sequence[str]) -> str:
    """First line of what a program says of its version."""
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    return (ended.stdout or ended.stderr).splitlines()[0].strip()


def ours(*argv: str) -> list[str]:
    """A command of ours."""
    return [str(BIN / argv[0]), *argv[1:]]
