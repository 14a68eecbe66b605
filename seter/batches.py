"""Which nodes of a group that serves are touched together, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.system import Rollout
from seter.state import WantedGroup


def room(group: WantedGroup, rules: Rollout, out: int = 0) -> int:
    """How many nodes may be away from a group at once, when `out` of them are already: at most `at_once`, and so many
    that `at_least` are left, and the greater half where roles of the group form a cluster. One always may be."""
    nodes = len(group.nodes)
    spare = nodes - group.at_least
    if any(role.has_cluster_step for role in group.roles):
        spare = min(spare, (nodes - 1) // 2)
    return max(1, min(rules.at_once, spare - out))


def following(
    group: WantedGroup, nodes: Sequence[str], rules: Rollout, *, done: int = 0, out: int = 0
) -> tuple[str, ...]:
    """Those of `nodes` that come next, after `done` others: canaries until there were enough, then what there is room
    for."""
    canaries = rules.canary - done
    size = room(group, rules, out)
    return tuple(nodes[: min(canaries, size) if canaries > 0 else size])


def batches(group: WantedGroup, nodes: Sequence[str], rules: Rollout) -> Iterator[tuple[str, ...]]:
    """All of them, if none fails."""
    done = 0
    while batch := following(group, nodes[done:], rules, done=done):
        yield batch
        done += len(batch)


def told(group: WantedGroup, nodes: Sequence[str], rules: Rollout) -> str:
    """For people: `gw1, then gw2 and gw3`."""
    return ", then ".join(" and ".join(batch) for batch in batches(group, nodes, rules))
