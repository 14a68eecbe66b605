"""`seter chaos`: run experiments on a deployment, one after the other, and say which of them it bore.

Before each, everything must be well: only a whole system can prove anything. After each, everything is taken back,
also after Ctrl-C; what a killed run left is taken back by the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.console import Report
from common.errors import Conflict, Error
from common.model import Event, Verdict
from seter.chaos import toolkit, undo
from seter.chaos.allowance import Mark, judge
from seter.chaos.experiments import Experiment, chosen
from seter.chaos.ledger import Ledger
from seter.chaos.scene import Scene, on
from seter.chaos.watching import Hops, Watching
from seter.checks import check_system, executor
from seter.deploy import deploy
from seter.prove import make_cast
from seter.survey import Request, survey

Confirm = Callable[[Sequence[Experiment]], None]  # raises BadInput when the answer is no


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one experiment came out. `load` is what the client counted, `journal` the Chaos Toolkit's."""

    experiment: str
    title: str
    touches: tuple[str, ...]
    allowed: str
    verdicts: tuple[Verdict, ...]
    marks: tuple[Mark, ...]
    hops: tuple[Hops, ...]
    load: Mapping[str, Any]
    seconds: float
    journal: Mapping[str, Any]

    @property
    def held(self) -> bool:
        """It cost no more than was allowed."""
        return all(verdict.ok for verdict in self.verdicts)


def chaos(
    request: Request,
    names: Sequence[str],
    report: Report,
    confirm: Confirm,
    *,
    every: bool = False,
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Outcome, ...]:
    """Run these experiments, without names the default ones, or all; `ended` is told of each.

    Raises BadInput when the target is not marked for experiments or the answer is no, Conflict when the deployment is
    not what the definitions say, Error for what could not be taken back; KeyboardInterrupt once all is taken back.
    """
    seen = survey(request, report)
    make_cast(seen.blueprint.system, seen.blueprint.target)
    wanted = chosen(seen.blueprint.system, seen.blueprint.target, names, every=every)
    if fit := [each for each in wanted if not each.terms.needs]:
        confirm(fit)
    for each in wanted:
        if each.terms.needs:
            needs = " and ".join(each.terms.needs)
            report(
                Event("left out", each.name, f"nodes of kind {seen.blueprint.target.kind} have no {needs} of their own")
            )
    tidy(request, report)
    outcomes = []
    for experiment in fit:
        outcome = _one(request, experiment, report)
        outcomes.append(outcome)
        ended(outcome)
    return tuple(outcomes)


def tidy(request: Request, report: Report) -> int:
    """Take back what a run that was killed left; how many things that was."""
    ledger = Ledger(request.keep.folder)
    left = len(ledger.due)
    if left:
        report(Event("earlier", f"an experiment was cut off; {left} things are taken back first"))
        scene = Scene(survey(request, report), ledger, report, lambda: _heal(request, report))
        with on(scene):
            _take_back(scene)
    return left


def _one(request: Request, experiment: Experiment, report: Report) -> Outcome:
    seen = survey(request, report)
    if not seen.plan.is_empty:
        raise Conflict(
            f"{request.deployment} is not as it should be: {len(seen.plan.steps)} steps are due",
            resolution=f"Run: seter deploy {request.deployment.system} --target {request.deployment.target}",
        )
    begun = time.monotonic()
    cast = make_cast(seen.blueprint.system, seen.blueprint.target)
    scene = Scene(seen, Ledger(request.keep.folder), report, lambda: _heal(request, report))
    watching = Watching(executor(seen), cast, experiment.terms.load)
    report(Event("experiment", experiment.name, experiment.title))
    with on(scene):
        watching.begin()
        try:
            journal = toolkit.run(experiment.document, lambda kind, activity: None)
        finally:
            _take_back(scene)
            back = time.monotonic()
    if journal["status"] == "interrupted":
        raise KeyboardInterrupt
    well = check_system(seen, report)
    took = time.monotonic() - back
    load = watching.end()
    verdicts = [
        *_carried_out(journal),
        *judge(experiment.terms.allow, load, scene.marks),
        _back_verdict(experiment, [str(found) for found in well if not found.verdict.ok], took),
    ]
    left = survey(request, report).plan
    if not left.is_empty:
        report(Event("deploy", "what it left", f"{len(left.steps)} steps"))
        _heal(request, report)
    return Outcome(
        experiment.name, experiment.title, experiment.touches, str(experiment.terms.allow), tuple(verdicts),
        tuple(scene.marks), tuple(watching.hops), load, time.monotonic() - begun, journal,
    )  # fmt: skip


def _heal(request: Request, report: Report) -> None:
    deploy(replace(request, verb="deploy"), report=report, confirm=lambda plan: True)


def _take_back(scene: Scene) -> None:
    """Raises Error for what could not be, which stays on disk for the next run."""
    if faults := scene.take_back(undo.WAYS):
        due = "; ".join(each.what for each in scene.ledger.due)
        raise Error(
            f"an experiment could not be taken back: {due}",
            details="\n".join(fault.message for fault in faults),
            resolution="Run seter chaos again, which takes it back first, or seter deploy.",
        )


def _carried_out(journal: Mapping[str, Any]) -> list[Verdict]:
    """That it was an experiment at all: the system was well before, and every action was done."""
    before = journal.get("steady_states", {}).get("before") or {}
    verdicts = []
    if before and not before.get("steady_state_met", False):
        verdicts.append(Verdict("before", False, "the steady state was not met", "all is well before"))
    for run in [*journal.get("run", ()), *journal.get("rollbacks", ())]:
        if run.get("status") != "succeeded":
            why = " ".join("".join(run.get("exception") or ["it was not done"]).split())[-300:]
            verdicts.append(Verdict(str(run["activity"]["name"]), False, why, "it is carried out"))
    if not verdicts and journal["status"] != toolkit.COMPLETED:
        verdicts.append(Verdict("experiment", False, str(journal["status"]), toolkit.COMPLETED))
    return verdicts


def _back_verdict(experiment: Experiment, bad: Sequence[str], took: float) -> Verdict:
    allowed = experiment.terms.allow.back_within.total_seconds()
    measured = f"not so: {bad[0]}" if bad else f"after {took:.1f} s"
    return Verdict("all is well again", not bad and took <= allowed, measured, f"within {allowed:g} s")
