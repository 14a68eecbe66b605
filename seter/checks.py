"""Runs checks: those of roles, on each of their nodes, and those of the system."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

from common.console import Report
from common.errors import Error
from common.model import Event, Verdict
from common.probe.interface import Scene, wait_for
from common.probe.kinds import probe_of
from common.role import Check, Value
from seter.provisioner.interface import Answer
from seter.survey import Survey

AT_ONCE = 12
Question = Callable[[threading.Event], "Found"]  # asks until the answer is good, its time is over or the event is set


@dataclass(frozen=True, slots=True)
class Found:
    """How one check came out. `subject` is the role and node, or the system."""

    subject: str
    verdict: Verdict

    def __str__(self) -> str:
        verdict = self.verdict
        text = f"{self.subject}: {verdict.check}: {verdict.measured}"
        return text if verdict.ok else f"{text}; expected {verdict.expected}"


def check_nodes(survey: Survey, nodes: Sequence[str], report: Report) -> list[Found]:
    """All checks of all roles on these nodes, side by side, each until it holds or its time is over."""
    asked: list[Question] = []
    for node in nodes:
        for seat in survey.blueprint.seats_of(node):
            for check in seat.role.checks:
                scene = make_scene(survey, (node,), seat.role.name)
                asked.append(_question(f"{seat.role.name} on {node}", check, scene, report))
    return _all(asked)


def check_system(
    survey: Survey,
    report: Report,
    *,
    only_complete: bool = False,
    names: Collection[str] | None = None,
    wait: bool = True,
) -> list[Found]:
    """The system's checks, in order, or those of these names; without `wait` one try each.

    `only_complete` leaves out those of groups that do not serve completely yet.
    """
    observed = survey.provisioner.observe(survey.vault.key) if only_complete else survey.observed
    serving = {name for name, state in observed.nodes.items() if state.serves}
    complete = {group for group, nodes in survey.groups().items() if serving.issuperset(nodes)}
    asked = []
    for check in survey.blueprint.system.checks:
        if names is not None and check.name not in names:
            continue
        if check.on and check.on not in survey.groups():
            report(Event("left out", f"{survey.blueprint.system.name}: {check.name}", f"{check.on} are others' to ask"))
            continue
        if not only_complete or complete.issuperset(_groups_of(check, survey)):
            scene = make_scene(survey, survey.groups().get(check.on, ()), _role_for(check, survey))
            patient = check if wait else replace(check, within=timedelta(0))
            asked.append(_question(survey.blueprint.system.name, patient, scene, report))
    return _all(asked)


def _groups_of(check: Check, survey: Survey) -> set[str]:
    """A check of routes needs the two groups it names; any other needs the system as a whole."""
    return {check.on, check.expect} if check.routes else set(survey.groups())


def _role_for(check: Check, survey: Survey) -> str:
    """Where a system's check runs its commands: for S3 in the client, else in the last role that has a process."""
    roles = [use.role for use in survey.blueprint.group(check.on).roles if use.role.process is not None]
    lasting = [role.name for role in roles if role.process is not None and role.process.type != "oneshot"]
    return lasting[-1]


def make_scene(survey: Survey, nodes: Sequence[str], role: str) -> Scene:
    """What a probe may know and do."""
    return Scene(
        execute=executor(survey),
        nodes=tuple(nodes),
        role=role,
        groups=survey.groups(),
        parameters=_parameters(survey, nodes, role),
    )


def _parameters(survey: Survey, nodes: Sequence[str], role: str) -> Mapping[str, Value]:
    own = survey.blueprint.seat[nodes[0], role].parameters if nodes else {}
    return {**dict(survey.blueprint.system.parameters), **dict(survey.blueprint.target.parameters), **own}


def executor(survey: Survey) -> Callable[[str, str, Sequence[str]], Answer]:
    """Runs a command as the role's user; a process that does not run is an answer, not an error."""

    def execute(node: str, role: str, argv: Sequence[str]) -> Answer:
        process = survey.blueprint.seat[node, role].role.process
        try:
            return survey.provisioner.execute(node, role, argv, user=process.user if process is not None else "")
        except Error as error:
            return Answer(1, "", error.message)

    return execute


def _question(subject: str, check: Check, scene: Scene, report: Report) -> Question:
    def ask(stop: threading.Event) -> Found:
        found = Found(subject, wait_for(probe_of(check), check, scene, stop))
        report(Event("check" if found.verdict.ok else "failed", str(found)))
        return found

    return ask


def _all(asked: Sequence[Question]) -> list[Found]:
    """Side by side. Ctrl-C ends the waiting of all."""
    stop = threading.Event()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            return list(threads.map(lambda ask: ask(stop), asked))
        except BaseException:
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
