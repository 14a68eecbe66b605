"""`seter chaos`: run experiments on a deployment, one after the other, and say which of them it bore.

Before each, everything must be well: only a whole system can prove anything. After each, everything is taken back,
also after Ctrl-C; what a killed run left is taken back by the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from common.console import Report
from common.errors import Conflict, Error
from common.model import Event
from seter.chaos import toolkit, undo
from seter.chaos.allowance import Mark
from seter.chaos.experiments import Experiment, chosen, missing
from seter.chaos.ledger import Ledger
from seter.chaos.scene import Scene, on
from seter.chaos.watching import Hops, Watching
from seter.chaos.who import answering, is_told, named
from seter.checks import check_system, executor
from seter.deploy import deploy
from seter.prove import make_cast
from seter.survey import Request, Survey, survey

Confirm = Callable[[Sequence[Experiment]], None]  # raises BadInput when the answer is no


@dataclass(frozen=True, slots=True)
class Ended:
    """What one experiment left: `load` is what the client counted, `journal` the Chaos Toolkit's, `bad` the checks that
    did not hold afterwards, `back` after how many seconds all did. Times are Unix time."""

    experiment: Experiment
    began: float
    ended: float
    marks: tuple[Mark, ...]
    hops: tuple[Hops, ...]
    load: Mapping[str, Any]
    back: float | None
    bad: tuple[str, ...]
    journal: Mapping[str, Any]
    stopped: bool = False  # by its stop condition


@dataclass(frozen=True, slots=True)
class Chaos:
    """All that was run, and what was not, with the reason; `seen` is the deployment as it was at first."""

    seen: Survey
    began: float
    ended: tuple[Ended, ...]
    left_out: tuple[tuple[Experiment, str], ...]


def chaos(
    request: Request,
    names: Sequence[str],
    report: Report,
    confirm: Confirm,
    *,
    every: bool = False,
    ended: Callable[[Ended], None] = lambda outcome: None,
) -> Chaos:
    """Run these experiments, without names the default ones, or all; `ended` is told of each.

    Raises BadInput when the target is not marked for experiments or the answer is no, Conflict when the deployment is
    not what the definitions say, Error for what could not be taken back; KeyboardInterrupt once all is taken back.
    """
    began = time.time()
    seen = survey(request, report)
    make_cast(seen.blueprint.system, seen.blueprint.target)
    wanted = chosen(seen.blueprint.system, seen.blueprint.target, names, every=every)
    asked = [(each, missing(seen.blueprint, each)) for each in wanted]
    fit = [each for each, lack in asked if not lack]
    left_out = tuple((each, lack) for each, lack in asked if lack)
    confirm(fit)
    for each, why in left_out:
        report(Event("left out", each.name, why))
    tidy(request, report)
    done = []
    for experiment in fit:
        one = _one(request, experiment, report)
        done.append(one)
        ended(one)
        if one.stopped:
            report(Event("stopped", experiment.name, "too many requests failed for too long; no other one follows"))
            break
    return Chaos(seen, began, tuple(done), left_out)


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


def _one(request: Request, experiment: Experiment, report: Report) -> Ended:
    began = time.time()
    seen = survey(request, report)
    if not seen.plan.is_empty:
        raise Conflict(
            f"{request.deployment} is not as it should be: {len(seen.plan.steps)} steps are due",
            resolution=f"Run: seter deploy {request.deployment.system} --target {request.deployment.target}",
        )
    cast = make_cast(seen.blueprint.system, seen.blueprint.target)
    scene = Scene(seen, Ledger(request.keep.folder), report, lambda: _heal(request, report))
    watching = Watching(
        executor(seen),
        lambda argv: seen.provisioner.first(cast.client, cast.client_role, argv),
        cast,
        experiment.terms.load,
        experiment.terms.stop,
        toolkit.stop,
    )
    report(Event("experiment", experiment.name, experiment.title))
    names = answering(seen, cast.gateways)
    with on(scene), toolkit.stoppable():
        watching.begin()
        try:
            journal = toolkit.run(experiment.document)
        finally:
            _take_back(scene)
            back = time.monotonic()
    if journal["status"] == "interrupted" and not watching.stopped:
        raise KeyboardInterrupt
    bad = tuple(str(found) for found in check_system(seen, report) if not found.verdict.ok)
    took = time.monotonic() - back
    load = watching.end()
    if not is_told(load, names):  # of servers that were started since
        names |= answering(seen, cast.gateways)
    load = named(load, seen, cast.gateways, timedelta(seconds=time.time() - began), names)
    left = survey(request, report).plan
    if not left.is_empty:
        report(Event("deploy", "what it left", f"{len(left.steps)} steps"))
        _heal(request, report)
    return Ended(
        experiment, began, time.time(), tuple(scene.marks), tuple(watching.hops), load, None if bad else took, bad,
        journal, watching.stopped,
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
