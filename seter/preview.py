"""All that a plan will do, for people and programs: verdicts, artefacts, files as they change, order, what serves
meanwhile. Nothing in it is secret: values are masked, and a changed secret is called that."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from common.errors import Corrupt, Error, NotFound
from seter import history
from seter.definition import Text, unpacked
from seter.diff import Changed, changes
from seter.history import History
from seter.plan import Act, Step
from seter.rehearse import Stage, rehearse
from seter.state import NodeState
from seter.survey import Survey
from seter.tree import ROOT, File, files_digest

UNTOLD = {
    Act.CLUSTER: "the role's cluster step looks on the node at what is left to do",
}


class Verdict(StrEnum):
    """What can be said of a step beforehand."""

    CHANGES = "will change"
    SAME = "no change"
    UNTOLD = "cannot tell"


@dataclass(frozen=True, slots=True)
class Detail:
    """A step; `because` is why nobody can tell, if so. `before` and `after` are what it starts from: artefacts for what
    starts a process, else empty. `machine` is what becomes of the node's machine, where something of ours makes it."""

    group: str
    node: str
    role: str
    act: Act
    verdict: Verdict
    reason: str
    because: str
    before: str
    after: str
    machine: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What `--json` prints. `unchanged` are (node, role) for which nothing is done, `untold` (node, why) those that do
    not answer; paths of `files` are NODE/ROLE/PATH; `basis` is what it was compared with."""

    deployment: str
    fingerprint: str
    basis: str
    steps: tuple[Detail, ...]
    unchanged: tuple[tuple[str, str], ...]
    untold: tuple[tuple[str, str], ...]
    files: tuple[Changed, ...]
    order: tuple[Stage, ...]


def preview(seen: Survey) -> Preview:
    """What the plan of this survey will do."""
    touched = {(step.node, role) for step in seen.plan.steps for role in _roles(seen, step)}
    seats = [seat.key for seat in seen.blueprint.seats if seat.key[0] in seen.wanted.nodes]
    return Preview(
        seen.plan.deployment,
        seen.plan.fingerprint,
        seen.basis,
        tuple(_detail(seen, step) for step in seen.plan.steps),
        tuple(key for key in seats if key not in touched and key[0] not in seen.observed.unreachable),
        tuple(seen.observed.unreachable.items()),
        tuple(_files(seen)),
        rehearse(seen.plan, seen.wanted, seen.observed, seen.blueprint.system.rollout),
    )


def _roles(seen: Survey, step: Step) -> Iterator[str]:
    """The roles that a step concerns."""
    if step.role:
        yield step.role
    elif step.act is not Act.WRITE_FILES:
        yield from (seat.role.name for seat in seen.blueprint.seats_of(step.node))
    else:
        yield from _differing(seen, step.node)


def _differing(seen: Survey, node: str) -> Iterator[str]:
    """The roles of a node whose files are not what they should be."""
    there = seen.observed.nodes.get(node)
    for role, state in seen.wanted.nodes[node].roles:
        now = there.role(role) if there is not None else None
        if now is None or now.files != state.files:
            yield role


def _detail(seen: Survey, step: Step) -> Detail:
    because = UNTOLD.get(step.act, "") or _unrendered(seen, step)
    before = after = ""
    if step.act.starts_process:
        there = seen.observed.nodes.get(step.node)
        now = there.role(step.role) if there is not None else None
        before = _named(seen, now.artifact) if now is not None else ""
        after = str(seen.image_of(seen.blueprint.seat[step.node, step.role]).artifact.reference)
    verdict = Verdict.UNTOLD if because else Verdict.CHANGES
    machine = _machine(seen, step)
    return Detail(step.group, step.node, step.role, step.act, verdict, step.reason, because, before, after, machine)


def _machine(seen: Survey, step: Step) -> tuple[str, ...]:
    """Asked of whoever makes it, unless the plan looks at nothing."""
    if seen.opened is None or not (step.act.makes_node or step.act is Act.REMOVE_NODE):
        return ()
    return seen.opened.foresee(step.node, seen.shapes.get(step.node))


def _unrendered(seen: Survey, step: Step) -> str:
    """Why nobody can tell what a step does that follows from files which were not rendered."""
    roles = [role for role in _roles(seen, step) if (step.node, role) in seen.unrendered]
    there = seen.observed.nodes.get(step.node)
    if not roles or there is None or not there.running or step.act.makes_node or step.act is Act.START:
        return ""
    return f"what the files of {', '.join(roles)} are made from differs, and they are not rendered yet (--render)"


def _named(seen: Survey, digest: str) -> str:
    """The artefact's name, if it is one of those that are wanted; else its digest."""
    for image in seen.images.values():
        if str(image.artifact.digest) == digest:
            return str(image.artifact.reference)
    return digest


def _files(seen: Survey) -> Iterator[Changed]:
    """Each file that will be another one, node by node."""
    hidden, earlier = history.words_of(seen.vault.values()), _Earlier(seen)
    for step in seen.plan.steps:
        if step.act is not Act.WRITE_FILES:
            continue
        there = seen.observed.nodes.get(step.node)
        if there is not None and there.secrets != seen.wanted.nodes[step.node].secrets:
            yield Changed(f"{step.node}/secrets", "changed (secret)")
        for role in _differing(seen, step.node):
            if (step.node, role) in seen.unrendered:
                yield Changed(f"{step.node}/{role}", Verdict.UNTOLD)
                continue
            after = seen.trees[step.node].files.get(role, ())
            before = earlier.files(step.node, role, after)
            old, new = (_texts(files, f"{step.node}/{role}", hidden) for files in (before, after))
            yield from changes(old, new)


def _texts(files: tuple[File, ...], root: str, hidden: list[str]) -> dict[str, Text]:
    def shown(data: bytes) -> bytes:
        return history.masked(data.decode(errors="replace"), hidden).encode()

    return {f"{root}/{file.path}": Text(file.mode, shown(file.data)) for file in files}


class _Earlier:
    """The files that lie on nodes: those of the last run if they are the same still, else fetched."""

    def __init__(self, seen: Survey) -> None:
        self._seen = seen
        self._kept: Mapping[str, Any] | None = None

    def files(self, node: str, role: str, after: tuple[File, ...]) -> tuple[File, ...]:
        """Those of one role; of a node that is not there, none."""
        there = self._seen.observed.nodes.get(node)
        state = there.role(role) if there is not None else None
        if there is None or state is None:
            return ()
        recorded = self._recorded(node, role)
        if files_digest(recorded) == state.files:
            return recorded
        return () if self._seen.request.recorded else self._fetched(node, role, there, after)

    def _recorded(self, node: str, role: str) -> tuple[File, ...]:
        if self._kept is None:
            self._kept = _last_configuration(History(self._seen.keep))
        files = self._kept.get(node, {}).get(role, {})
        return tuple(File(path, text.encode(), mode, uid) for path, (mode, uid, text) in files.items())

    def _fetched(self, node: str, role: str, there: NodeState, after: tuple[File, ...]) -> tuple[File, ...]:
        found = []
        for file in after if there.running else ():
            data = io.BytesIO()
            try:
                self._seen.provisioner.fetch(node, f"{ROOT}/now/{role}/{file.path}", data)
            except NotFound:
                continue
            except Error:
                break  # what cannot be looked at is no reason not to plan
            found.append(File(file.path, data.getvalue(), file.mode, file.uid))
        return tuple(found)


def _last_configuration(runs: History) -> Mapping[str, Any]:
    for run in runs.runs():
        if run.verb != "destroy":
            try:
                nodes = unpacked(runs.part(run.number, history.CONFIGURATION), f"run {run.number}")["nodes"]
            except (Corrupt, NotFound, KeyError):
                continue
            return nodes if isinstance(nodes, dict) else {}
    return {}
