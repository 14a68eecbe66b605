"""Nodes that do not answer count as failed, against the failure budget of the whole roll-out."""

from __future__ import annotations

from common.errors import Partial
from seter.acts import RolloutStopped
from seter.survey import Survey


def refuse_lost(seen: Survey) -> None:
    """Raise RolloutStopped, before anything is touched, when more nodes are lost than may fail."""
    lost, budget = seen.observed.unreachable, seen.blueprint.system.rollout.budget
    if len(lost) > budget:
        raise RolloutStopped(
            f"{_names(seen)} cannot be looked at, and {budget or 'no'} nodes may fail",
            details=_reasons(seen),
            resolution="Nothing was changed. Mend what is said above, raise `budget` of the system's rollout, or take "
            "what is gone for good out of the target.",
        )


def tell_lost(seen: Survey) -> None:
    """Raise Partial when nodes were left out."""
    if seen.observed.unreachable:
        raise Partial(
            f"{_names(seen)} could not be looked at and were left as they are; all others are as wanted",
            details=_reasons(seen),
            resolution="Deploy again when they answer.",
        )


def _names(seen: Survey) -> str:
    return ", ".join(seen.observed.unreachable)


def _reasons(seen: Survey) -> str:
    return "\n".join(seen.observed.unreachable.values())
