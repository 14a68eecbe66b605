"""What experiments left, as the plain data that reports are made of. Pure."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from seter.chaos.allowance import distrusted, judge
from seter.chaos.run import Chaos, Ended
from seter.report import series
from seter.report.model import (
    SKIPPED,
    Environment,
    Experiment,
    Fault,
    Run,
    Step,
)
from seter.survey import Survey

_PARTS = (("run", "method"), ("rollbacks", "way back"))


def run_of(chaos: Chaos, command: Sequence[str]) -> Run:
    """The whole run; `command` repeats it."""
    began, seen = chaos.began, chaos.seen
    loads = [series.load_of(each.load, began) for each in chaos.ended if "failures" in each.load]
    load = series.together(loads) if loads else None
    hops = [(each.at - began, each.count) for one in chaos.ended for each in one.hops if each.count is not None]
    last = max((each.ended for each in chaos.ended), default=began)
    return Run(
        kind="chaos",
        deployment=str(seen.blueprint.deployment),
        began=datetime.fromtimestamp(began, UTC),
        length=last - began,
        environment=_environment(seen, command),
        experiments=(
            *(experiment_of(each, began) for each in chaos.ended),
            *(
                Experiment(each.name, each.title, SKIPPED, why=why, blast=", ".join(each.touches))
                for each, why in chaos.left_out
            ),
        ),
        seconds=series.with_routes(load.seconds if load else (), hops),
        lag=load.lag if load else None,
        profile=load.profile if load else "",
        requests=load.requests if load else (),
        untold=load.untold if load else 0,
    )


def experiment_of(ended: Ended, began: float = 0.0) -> Experiment:
    """One experiment, on the clock of a run that began at `began`."""
    experiment, journal = ended.experiment, ended.journal
    allow = experiment.terms.allow
    steps = tuple(_steps(journal))
    failed = [step for step in steps if not step.ok]
    before = journal.get("steady_states", {}).get("before") or {}
    unsteady = bool(before) and not before.get("steady_state_met", False)
    reasons = [
        *(["not all was well before"] if unsteady else []),
        *(f"{step.name}: {step.said}" for step in failed),
        *(["too many requests failed for too long: it was ended early"] if ended.stopped else []),
        *ended.bad,
    ]
    return Experiment(
        name=experiment.name,
        title=experiment.title,
        status="failed" if failed or unsteady else str(journal["status"]),
        deviated=bool(journal.get("deviated", False)),
        begin=ended.began - began,
        end=ended.ended - began,
        undone=not any(step.part == _PARTS[1][1] for step in failed),
        invalid=distrusted(allow, ended.load, ended.marks),
        why="; ".join(reasons),
        blast=", ".join(experiment.touches),
        allowances=judge(allow, ended.load, ended.marks, ended.back),
        faults=tuple(
            Fault(mark.what, mark.node, mark.begun - began, None if mark.ended is None else mark.ended - began)
            for mark in ended.marks
        ),
        steps=steps,
    )


def _steps(journal: Mapping[str, Any]) -> Iterator[Step]:
    for key, part in _PARTS:
        for run in journal.get(key, ()):
            ok = run.get("status") == "succeeded"
            why = " ".join("".join(run.get("exception") or ["it was not done"]).split())[-300:]
            said = str(run.get("output") or "") if ok else why
            yield Step(part, str(run["activity"]["name"]), ok, float(run.get("duration", 0.0)), said)


def _environment(seen: Survey, command: Sequence[str]) -> Environment:
    artefacts = {image.artifact.reference.name: str(image.artifact.digest) for image in seen.images.values()}
    return Environment(
        seter=version("seter"),
        command=tuple(command),
        definitions=seen.plan.fingerprint,
        versions=(("python", platform.python_version()), ("chaostoolkit-lib", version("chaostoolkit-lib"))),
        artefacts=tuple(sorted(artefacts.items())),
        machine=(("kernel", platform.release()), ("machine", platform.machine())),
    )
