"""What experiments may look at: functions for providers of type python in their files."""

from __future__ import annotations

from seter.chaos.scene import current
from seter.checks import check_system


def checks_hold() -> bool:
    """Every check of the system holds, each within the time that it gives itself."""
    scene = current()
    return all(found.verdict.ok for found in check_system(scene.seen, scene.report))


def deploy_has_nothing_to_do() -> bool:
    """What runs is what the definitions say."""
    from seter.survey import survey

    scene = current()
    return survey(scene.request, scene.report).plan.is_empty
