"""`seter doctor`: whether everything that a deploy needs is there, from here, before anything is deployed.

All is asked side by side, each question for itself, so that what does not answer costs one time-out and hides nothing.
Nothing of a deployment is changed; to know whether its state can be written, a value of our own is, and goes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from common.console import Report
from common.errors import Error
from common.model import Event
from seter import storing, workplace
from seter.blueprint import Blueprint, read_blueprint
from seter.finding import Finding, Question, State, fail, failed, worst
from seter.survey import Request, open_provisioner

AT_ONCE = 64  # questions; they wait for others, not for our cores
LONGEST = timedelta(seconds=60)  # for all that is asked of one thing


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of this machine, state and store, then engines and hosts as the target has them."""

    deployment: str
    state: State
    findings: tuple[Finding, ...]

    def count(self, state: State) -> int:
        """How many of them are of this state."""
        return sum(each.state is state for each in self.findings)


def doctor(request: Request, report: Report) -> Diagnosis:
    """Ask everything. Raises BadInput for definitions that are wrong; whatever else is wrong is a finding."""
    blueprint = read_blueprint(request.deployment, request.systems, request.state, lenient=True)
    asked: dict[str, Question] = {
        **workplace.questions(blueprint, request.keep),
        **storing.questions(request.keep, request.store),
    }
    nodes, wrong = _of_nodes(blueprint, request)
    found = (*answers({**asked, **nodes}, report), *wrong)
    return Diagnosis(str(request.deployment), worst(found), found)


def _of_nodes(blueprint: Blueprint, request: Request) -> tuple[Mapping[str, Question], tuple[Finding, ...]]:
    """What the target's engines and hosts are asked; what is wrong with it already."""
    try:
        return open_provisioner(blueprint, request.state).examinations(), ()
    except Error as error:
        return {}, (failed("target", blueprint.target.kind, error),)


def answers(asked: Mapping[str, Question], report: Report, within: timedelta = LONGEST) -> tuple[Finding, ...]:
    """The findings of all, in the order of the questions. One that raises an Error, or takes too long, is a finding."""
    slots, deadline = threading.Semaphore(AT_ONCE), time.monotonic() + within.total_seconds()
    found: dict[str, Sequence[Finding]] = {}

    def ask(name: str, question: Question) -> None:
        with slots:
            try:
                found[name] = question()
            except Error as error:
                found[name] = (failed(name, "it", error),)
        report(Event("asked", name))

    # What does not end is not waited for at our own end either.
    threads = [threading.Thread(target=ask, args=pair, daemon=True) for pair in asked.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return tuple(_all(asked, found, within))


def _all(asked: Mapping[str, Question], found: Mapping[str, Sequence[Finding]], within: timedelta) -> Iterator[Finding]:
    says = f"no answer within {within.total_seconds():.0f} s"
    for name in asked:
        late = fail(name, "it", says, "See what it is busy with; try again.")
        yield from found.get(name, (late,))
