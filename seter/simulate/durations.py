"""How long a roll-out takes, from the rollout block and what a node takes. Pure.

The model. Canaries, then batches of `at_once`, one after the other; of a batch each node takes `step` seconds give or
take `spread` of that, and the batch as long as its slowest, in waves of as many nodes as Ansible works on at once.
After each batch the checks have to hold for `watch`. Nothing fails. Ansible's start, which does not depend on the
number of nodes, is in `step`, as it is in what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist, median

from common.system import Rollout
from seter.history import DONE, Run

FORKS = 8  # nodes that Ansible works on at once: the default of seter.ansible
SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class Takes:
    """`seconds` for `nodes`, `at_once` of them together after the canaries, in so many batches."""

    nodes: int
    at_once: int
    batches: int
    seconds: float


def batch_seconds(nodes: int, step: float, *, spread: float = SPREAD, forks: int = FORKS) -> float:
    """Of one batch: each wave lasts as long as the median of its slowest."""
    if nodes < 1:
        return 0.0
    whole, rest = divmod(nodes, forks)
    slowest = [forks] * whole + ([rest] if rest else [])
    return sum(step * (1 + spread * NormalDist().inv_cdf(0.5 ** (1 / size))) for size in slowest)


def takes(nodes: int, rules: Rollout, step: float, at_once: int = 0) -> Takes:
    """A group of so many nodes, all of them changed. `at_once` 0 is that of the rules."""
    together = at_once or rules.at_once
    watch = rules.watch.total_seconds()
    sizes = _sizes(nodes, rules.canary, together)
    return Takes(nodes, together, len(sizes), sum(batch_seconds(size, step) + watch for size in sizes))


def _sizes(nodes: int, canary: int, together: int) -> list[int]:
    """As seter.batches has them, but for `at_least`, which many nodes always leave."""
    first = min(canary, nodes)
    canaries = [together] * (first // together) + ([first % together] if first % together else [])
    rest = nodes - first
    return canaries + [together] * (rest // together) + ([rest % together] if rest % together else [])


def measured(runs: Iterable[Run], rules: Rollout, nodes: Iterable[str]) -> float | None:
    """Seconds that a node took, in the runs of a history that got through: the median over runs, each less the time to
    watch. Only runs that changed nodes of these are asked, and nothing else; None when there are none."""
    known = set(nodes)
    found = []
    for run in runs:
        touched = {step.partition(":")[0].split(" ")[0] for step in run.steps}
        if run.result == DONE and run.seconds is not None and touched and touched <= known:
            batches = len(_sizes(len(touched), rules.canary, rules.at_once))
            found.append((run.seconds - batches * rules.watch.total_seconds()) / len(touched))
    return max(0.1, median(found)) if found else None


def spoken(seconds: float) -> str:
    """For people: `45 s`, `12 min`, `3.5 h`, `2.1 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36 * 3600 else f"{seconds / 86400:.1f} days"
