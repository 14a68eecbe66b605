"""The way back of a roll-out that failed. Pure order, as `seter.rollout`.

Nodes that are out of traffic go back first, together. Those that had come through go back as they came: withdraw, put
back, check, admit, in the reverse order; then cluster steps that used the new files are done with the old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from common.errors import Conflict, Error
from common.system import Rollout as Rules
from seter.acts import Acts, Failures, RolledBack, RolloutStopped
from seter.batches import room
from seter.plan import Act, Plan
from seter.state import Observed, Wanted, WantedGroup


@dataclass(slots=True)
class Way:
    """How far a roll-out is: nodes that it changed, in order; that it took out of traffic; that failed; cluster steps,
    as (group, role), that it began."""

    changed: dict[str, None] = field(default_factory=dict)
    out: dict[str, None] = field(default_factory=dict)
    failed: dict[str, None] = field(default_factory=dict)
    set_up: dict[tuple[str, str], None] = field(default_factory=dict)


class Back:
    """The way back."""

    def __init__(self, plan: Plan, wanted: Wanted, observed: Observed, acts: Acts, rules: Rules) -> None:
        self._plan, self._wanted, self._observed, self._acts, self._rules = plan, wanted, observed, acts, rules

    def run(self, way: Way, cause: Error) -> NoReturn:
        """Raises RolledBack, or RolloutStopped if not everything can be put back, or `cause` if there is nothing to."""
        made = {step.node for step in self._plan.steps if step.act.makes_node and not self._acts.can_go_back(step.node)}
        able = [node for node in way.changed if node in self._wanted.nodes and node not in made]
        untouched = [node for node in way.out if node not in way.changed]
        if not able and not untouched:
            raise cause
        try:
            self._go_back(way, able, untouched)
        except Conflict:
            raise
        except Error as error:
            raise RolloutStopped(
                f"{cause.message}; and going back failed: {error.message}",
                details="\n".join(part for part in (cause.details, error.details) if part),
                resolution="seter status shows where everything is. Mend the cause and deploy again: that goes on.",
            ) from cause
        stays = [node for node in way.changed if node in made]
        raise RolledBack(
            f"{cause.message}; what had been changed was put back: {', '.join(able) or 'nothing'}",
            details=cause.details,
            resolution=(f"Made anew, and left so: {', '.join(stays)}. " if stays else "")
            + "Mend the cause and deploy again.",
        ) from cause

    def _go_back(self, way: Way, able: Sequence[str], untouched: Sequence[str]) -> None:
        self._acts.let_go()
        away = [node for node in able if node in way.out or node in way.failed]
        _all_do(self._acts.go_back, away)
        _all_do(self._acts.check, away)
        _all_do(self._acts.admit, [node for node in (*away, *untouched) if self._group(node).withdraws])
        for group in reversed(self._wanted.groups):
            self._group_back(group, [node for node in reversed(able) if node in group.nodes and node not in away])
        for step in self._plan.steps:
            if step.act is Act.CLUSTER:
                self._acts.cluster_back(step.group, step.role, again=(step.group, step.role) in way.set_up)
        self._acts.check_system(all_of_them=False)

    def _group_back(self, group: WantedGroup, nodes: Sequence[str]) -> None:
        size = room(group, self._rules)
        for start in range(0, len(nodes), size):
            batch = nodes[start : start + size]
            away = batch if group.withdraws else []
            for act, those in (
                (self._acts.withdraw, away),
                (self._acts.go_back, batch),
                (self._acts.check, batch),
                (self._acts.admit, away),
            ):
                _all_do(act, those)

    def _group(self, node: str) -> WantedGroup:
        return next(group for group in self._wanted.groups if node in group.nodes)


def _all_do(act: Callable[[Sequence[str]], Failures], nodes: Sequence[str]) -> None:
    for error in act(nodes).values() if nodes else ():
        raise error
