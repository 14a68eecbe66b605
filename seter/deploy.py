"""`seter deploy`: make what is there what is wanted.

Cut at any point, by kill -9 too, the next deploy looks again and does what is left: nothing is decided from memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import timedelta

from common.console import Report, live
from common.errors import BadInput, Conflict
from common.model import Event
from common.progress import Board, Job
from seter import artifacts, record
from seter.apply import AddressesTaken, Apply
from seter.clocks import refuse_clocks
from seter.fenced import Fenced
from seter.lease import Lease
from seter.lost import refuse_lost, tell_lost
from seter.plan import Plan
from seter.rollout import Rollout
from seter.survey import Request, Survey, survey
from seter.traffic import CUT_AFTER

TRIES = 5  # surveys in a row that may lose their addresses to somebody else
Confirm = Callable[[Plan], bool]


class Moved(Conflict):
    """What is there is not what it was when the plan was shown."""

    def __init__(self) -> None:
        super().__init__(
            "what is there has changed since the plan was shown",
            resolution="Nothing was changed. Run the command again and look at the new plan.",
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a deploy did. `seconds` is how long it took in all."""

    plan: Plan
    seconds: float


def deploy(
    request: Request,
    *,
    report: Report,
    confirm: Confirm,
    cut_after: timedelta = CUT_AFTER,
    pause_after: str = "",
) -> Outcome:
    """Look, plan, ask, and carry out the plan that was shown.

    `confirm` is shown the plan and says whether to go on; it is not asked when there is nothing to do, and asked again
    when the world moved meanwhile: an engine may still be busy with what a killed run began. Raises BadInput when it
    says no, Conflict when another run holds the lease or the world never stands still, RolloutStopped when nodes
    failed, RolledBack when they did and all was put back, LeftOut when no more failed than may, Paused after the first
    `canary` or `batch` if that is what `pause_after` says.
    """
    started = time.monotonic()
    for left in reversed(range(TRIES)):
        seen = survey(request, report)
        refuse_lost(seen)
        refuse_clocks(seen)
        if seen.plan.is_empty and request.saved:
            confirm(seen.plan)
        if seen.plan.is_empty:
            _finish_checks(seen, report)
            tell_lost(seen)
            return Outcome(seen.plan, time.monotonic() - started)
        if not confirm(seen.plan):
            raise BadInput("nothing was changed", resolution="Say yes to the plan, or give --yes.")
        try:
            with _leased(request, report) as lease:
                plan = _carry_out(request, seen, report, lease, cut_after, pause_after)
        except Moved as moved:
            if not left:
                raise
            report(Event("plan", moved.message, "making another"))
        else:
            tell_lost(seen)
            return Outcome(plan, time.monotonic() - started)
    raise AssertionError("not reached")


def _finish_checks(seen: Survey, report: Report) -> None:
    """Nothing differs; but if the last deploy did not get through its checks, they are still owed."""
    if _checks_are_owed(seen):
        with _leased(seen.request, report) as lease:
            _roll_out(seen, report, lease, CUT_AFTER)


def _leased(request: Request, report: Report) -> AbstractContextManager[Lease]:
    """Runs on different groups need not wait for each other."""
    return record.leased(request.keep, request.verb, claim=request.claim, groups=request.groups, report=report)


def _checks_are_owed(seen: Survey) -> bool:
    """What can still go back belongs to a roll-out that has not ended."""
    return bool(_unfinished(seen)) or any(state.kept for state in seen.observed.nodes.values())


def _unfinished(seen: Survey) -> list[str]:
    """The nodes that an earlier run, cut off, may have left withdrawn; of the groups that this one is about."""
    groups = [group.name for group in seen.blueprint.groups if group.name in (seen.request.groups or (group.name,))]
    cut = record.unsettled(seen.keep, groups)
    return [node.name for node in seen.blueprint.nodes if node.group in cut]


def _carry_out(
    request: Request, shown: Survey, report: Report, lease: Lease, cut_after: timedelta, pause_after: str
) -> Plan:
    """Look once more now that nobody else deploys; a subnet that somebody took meanwhile costs one more look."""
    for _ in range(TRIES):
        seen = survey(request, report)
        if _moved(shown, seen):
            raise Moved()
        if alone := [node for node, state in seen.observed.nodes.items() if state.alone]:
            _finish_going_back(seen, alone, report, lease)
            raise Moved()
        try:
            _roll_out(seen, report, lease, cut_after, pause_after)
        except AddressesTaken as taken:
            report(Event("network", taken.message))
            shown = survey(request, report)
        else:
            return seen.plan
    raise Conflict("no subnet stayed free", resolution="See what makes networks on this engine, then deploy again.")


def _finish_going_back(seen: Survey, nodes: Sequence[str], report: Report, lease: Lease) -> None:
    """They could not start what ran before, only what set the node up."""
    report(Event("earlier", ", ".join(nodes), "went back by itself, since it heard nothing; the rest of it follows"))
    for error in Fenced(Apply(seen, report), lease).go_back(nodes).values():
        raise error


def _moved(shown: Survey, seen: Survey) -> bool:
    """Secrets that are not saved yet are others at each look, so then only what is done to what is compared."""
    if shown.vault.has_unsaved:
        first, second = ([(step.act, step.node, step.role) for step in each.plan.steps] for each in (shown, seen))
        return first != second
    return shown.plan.fingerprint != seen.plan.fingerprint


def _roll_out(seen: Survey, report: Report, lease: Lease, cut_after: timedelta, pause_after: str = "") -> None:
    """Carry out the plan, then the checks that an earlier deploy did not get to; all of it is in the history."""
    lease.check()
    seen.vault.save()
    if kept := [node for node, state in seen.observed.nodes.items() if state.kept]:
        report(
            Event("earlier", f"a roll-out that did not end changed {', '.join(kept)}", "this one goes on from there")
        )
    touched = {step.node for step in seen.plan.steps}
    unfinished = _unfinished(seen)
    jobs = [Job(node) for group in seen.wanted.groups for node in seen.plan.nodes_of(group.name)]
    with record.recorded(seen, lease, report):
        used = _used(seen)
        artifacts.verify_all(seen.store, (image for images in used.values() for image in images), report)
        seen.provisioner.load(seen.store, used, report)
        with live(report, Board(jobs, 1)) as told, closing(Apply(seen, told, cut_after=cut_after)) as apply:
            acts = Fenced(apply, lease)
            Rollout(
                seen.plan,
                seen.wanted,
                seen.observed,
                acts,
                rules=seen.blueprint.system.rollout,
                unfinished=unfinished,
                pause_after=pause_after,
            ).run()
            for error in acts.check([node for node in unfinished if node not in touched]).values():
                raise error


def _used(seen: Survey) -> dict[str, list[artifacts.Image]]:
    """Node → the images that this plan starts something from there."""
    node_image = f"container/{seen.blueprint.target.image}"
    seats, used = seen.blueprint.seat, dict[str, list[artifacts.Image]]()
    for step in seen.plan.steps:
        if step.act.makes_node and seen.shapes[step.node].image and seen.shapes[step.node].machine is None:
            used.setdefault(step.node, []).append(seen.images[node_image])
        if step.act.starts_process:
            used.setdefault(step.node, []).append(seen.image_of(seats[step.node, step.role]))
    return used
