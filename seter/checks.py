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
from common.probe.interface import Execute, Said, Scene, wait_for
from common.probe.kinds import probe_of
from common.role import Check, Value
from common.services import said_of
from seter.provisioner.interface import Answer
from seter.survey import Survey

AT_ONCE = 12
PER_NODE = 2  # a check is a program or two: many at once would take a small node's time from what they look at
Question = Callable[[threading.Event], "Found"]  # asks until the answer is good, its time is over or the event is set


@dataclass(frozen=True, slots=True)
class Found:
    """How one check came out. `subject` is the role and node, or the system; `node` is set where it is about one."""

    subject: str
    verdict: Verdict
    node: str = ""

    def __str__(self) -> str:
        verdict = self.verdict
        text = f"{self.subject}: {verdict.check}: {verdict.measured}"
        return text if verdict.ok else f"{text}; expected {verdict.expected}"


def verdicts(survey: Survey, nodes: Sequence[str], report: Report) -> list[Found]:
    """All checks that there are: of roles on these nodes, of the system, and of the system through these nodes."""
    return [
        *check_nodes(survey, nodes, report),
        *check_system(survey, report),
        *check_through(survey, nodes, report),
    ]


def check_nodes(survey: Survey, nodes: Sequence[str], report: Report, *, wait: bool = True) -> list[Found]:
    """All checks of all roles on these nodes, side by side, each until it holds or its time is over; without `wait` one
    try each. Those of the system that go through a node follow in `check_through`."""
    asked: list[Question] = []
    for node in nodes:
        turns = threading.Semaphore(PER_NODE)
        for seat in survey.blueprint.seats_of(node):
            for check in seat.role.checks:
                scene = make_scene(survey, (node,), seat.role.name)
                scene = replace(scene, execute=_in_turn(scene.execute, turns))
                asked.append(_question(f"{seat.role.name} on {node}", _patient(check, wait), scene, report, node))
    return _all(asked)


def _in_turn(execute: Execute, turns: threading.Semaphore) -> Execute:
    def run(node: str, role: str, argv: Sequence[str]) -> Said:
        with turns:
            return execute(node, role, argv)

    return run


def check_through(
    survey: Survey, nodes: Sequence[str], report: Report, *, wait: bool = True, sizes: bool = True
) -> list[Found]:
    """The system's checks that go through these nodes, each by its own address, as far as who looks is there. Without
    `sizes` the smallest of their objects is enough."""
    checks = [check for check in survey.blueprint.system.checks if check.through]
    if not any(node in survey.groups().get(check.through, ()) for check in checks for node in nodes):
        return []
    serving = {name for name, state in survey.provisioner.observe(survey.vault.key).nodes.items() if state.serves}
    asked = []
    for check in checks:
        looking = [node for node in survey.groups().get(check.on, ()) if node in serving][:1]
        through = [node for node in nodes if node in survey.groups().get(check.through, ()) and looking]
        for node in through:
            whole = make_scene(survey, looking, role_of(check, survey))
            scene = replace(whole, through=address_of(survey, looking[0], node))
            short = check if sizes else replace(check, sizes=tuple(sorted(check.sizes)[:1]))
            asked.append(_question(f"through {node}", _patient(short, wait), scene, report, node))
    return _all(asked)


def address_of(survey: Survey, observer: str, node: str) -> str:
    """The node's address as the observer knows it."""
    groups = survey.variables[observer]["groups_of"]
    return str(next(each["address"] for nodes in groups.values() for each in nodes if each["name"] == node))


def check_system(
    survey: Survey,
    report: Report,
    *,
    only_complete: bool = False,
    names: Collection[str] | None = None,
    wait: bool = True,
    without: Collection[str] = (),
) -> list[Found]:
    """The system's checks, in order, or those of these names; without `wait` one try each.

    `only_complete` leaves out those of groups that do not serve completely yet; nothing is expected of nodes `without`.
    """
    observed = survey.provisioner.observe(survey.vault.key) if only_complete else survey.observed
    serving = {name for name, state in observed.nodes.items() if state.serves} | set(without)
    complete = {group for group, nodes in survey.groups().items() if serving.issuperset(nodes)}
    asked = []
    for check in survey.blueprint.checks:
        if check.through or check.throughout or (names is not None and check.name not in names):
            continue
        if check.on and check.on not in survey.groups():
            report(Event("left out", f"{survey.blueprint.system.name}: {check.name}", f"{check.on} are others' to ask"))
            continue
        if not only_complete or complete.issuperset(_groups_of(check, survey)):
            whole = make_scene(survey, survey.groups().get(check.on, ()), role_of(check, survey), check.service)
            scene = replace(
                whole,
                nodes=tuple(node for node in whole.nodes if node not in without),
                groups={name: tuple(n for n in nodes if n not in without) for name, nodes in whole.groups.items()},
            )
            asked.append(_question(survey.blueprint.system.name, _patient(check, wait), scene, report))
    return _all(asked)


def _patient(check: Check, wait: bool) -> Check:
    return check if wait else replace(check, within=timedelta(0))


def _groups_of(check: Check, survey: Survey) -> set[str]:
    """A check of routes needs the two groups it names; any other needs the system as a whole."""
    return {check.on, check.expect} if check.routes else set(survey.groups())


def role_of(check: Check, survey: Survey) -> str:
    """Where a system's check runs its commands: for S3 in the client, else in the last role that has a process."""
    roles = [use.role for use in survey.blueprint.group(check.on).roles if use.role.process is not None]
    lasting = [role.name for role in roles if role.process is not None and role.process.type != "oneshot"]
    return lasting[-1]


def make_scene(survey: Survey, nodes: Sequence[str], role: str, service: str = "") -> Scene:
    """What a probe may know and do; with what is said of one service, the first by default."""
    return Scene(
        execute=executor(survey),
        nodes=tuple(nodes),
        role=role,
        groups=survey.groups(),
        parameters=_parameters(survey, nodes, role, service),
    )


def _parameters(survey: Survey, nodes: Sequence[str], role: str, service: str) -> Mapping[str, Value]:
    own = survey.blueprint.seat[nodes[0], role].parameters if nodes else {}
    system, target = survey.blueprint.system, survey.blueprint.target
    return {**dict(system.parameters), **dict(target.parameters), **own, **said_of(system, target, service)}


def executor(survey: Survey, user: str = "") -> Callable[[str, str, Sequence[str]], Answer]:
    """Runs a command as the role's user or this one; a process that does not run is an answer, not an error."""

    def execute(node: str, role: str, argv: Sequence[str]) -> Answer:
        try:
            return survey.provisioner.execute(node, role, argv, user=user or process_user(survey, node, role))
        except Error as error:
            return Answer(1, "", error.message)

    return execute


def process_user(survey: Survey, node: str, role: str) -> str:
    """Who the role's process runs as there; empty without a process."""
    process = survey.blueprint.seat[node, role].role.process
    return process.user if process is not None else ""


def _question(subject: str, check: Check, scene: Scene, report: Report, node: str = "") -> Question:
    def ask(stop: threading.Event) -> Found:
        found = Found(subject, wait_for(probe_of(check), check, scene, stop), node)
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
