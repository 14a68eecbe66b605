"""What is said after Ctrl-C: what was stopped, and that nothing of it is left, which is looked after once more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from common.errors import Error, Interrupted
from smie import leftovers
from smie.builder.interface import Builder
from smie.workspace import Workspace


def cleaned(
    builders: Iterable[Builder], workspace: Workspace, stopped: Sequence[str], built: Sequence[str]
) -> Interrupted:
    """Sweep what this process still has, and say how it stands with the builds that were `stopped` and `built`."""
    unreachable = False
    for builder in builders:
        try:
            builder.sweep(leftovers.is_ours)
        except Error:
            unreachable = True
    with suppress(OSError):
        leftovers.sweep_folders(workspace, leftovers.is_ours)
    parts = ["interrupted"]
    if stopped and unreachable:
        parts.append(
            f"{_listed(stopped)} stopped; the engine does not answer, so the next build removes what is left there"
        )
    elif stopped:
        parts.append(f"{_listed(stopped)} stopped, and no container, folder or process of it is left")
    else:
        parts.append("nothing had been begun")
    if built:
        parts.append(f"{_listed(built)} built before and stored")
    return Interrupted("; ".join(parts), resolution="Run the same command again to go on.")


def _listed(titles: Sequence[str]) -> str:
    names = sorted(titles)
    shown = " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]
    return f"{shown} {'was' if len(names) == 1 else 'were'}"
