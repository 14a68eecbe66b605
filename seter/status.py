"""`seter status`: definition and reality side by side, for every role on every node."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from common.console import Report
from common.probe.interface import bounded
from seter.affected import Affected, revoked
from seter.affected import affected as where
from seter.blueprint import Seat
from seter.checks import Found, executor, verdicts
from seter.plan import Act
from seter.record import last
from seter.survey import Request, Survey, survey

AT_ONCE = 12
LONGEST_SUMMARY = 70  # characters


@dataclass(frozen=True, slots=True)
class RoleStatus:
    """One role on one node. `state` is running, done (a oneshot), stopped, missing, files, or
    unknown where the node does not answer; `differs` says what."""

    node: str
    role: str
    artifact: str
    state: str
    converged: bool
    differs: tuple[str, ...]
    summary: str
    says: object


@dataclass(frozen=True, slots=True)
class Status:
    """A deployment as it is."""

    deployment: str
    converged: bool
    roles: tuple[RoleStatus, ...]
    steps: tuple[str, ...]
    checks: tuple[Found, ...]
    last: Mapping[str, object]


def status(request: Request, report: Report, *, checks: bool = False) -> Status:
    """Look at everything, ask every role that can be asked, and change nothing."""
    seen = survey(replace(request, despite_revoked=True), report)
    bad = revoked(seen)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        roles = tuple(threads.map(lambda seat: _role_status(seen, seat, bad), seen.blueprint.seats))
    nodes = [node.name for node in seen.blueprint.nodes]
    found = tuple(verdicts(seen, nodes, report)) if checks else ()
    return Status(
        str(request.deployment),
        seen.plan.is_empty and not bad and not seen.observed.unreachable,
        roles,
        tuple(str(step) for step in seen.plan.steps),
        found,
        last(request.keep),
    )


def affected(request: Request, query: str, report: Report) -> Affected:
    """On which nodes these packages run. Raises BadInput for what is no query."""
    return where(survey(replace(request, despite_revoked=True), report), query)


def _role_status(seen: Survey, seat: Seat, revoked: Mapping[str, str]) -> RoleStatus:
    node, role = seat.key
    differs = tuple(
        f"{step.act}: {step.reason}"
        for step in seen.plan.of_node(node)
        if step.role in ("", role) and not (step.act is Act.WRITE_FILES and not _files_differ(seen, seat))
    )
    if node in seen.observed.unreachable:
        return RoleStatus(node, role, "", "unknown", False, (seen.observed.unreachable[node],), "", None)
    there = seen.observed.nodes[node].role(role) if node in seen.observed.nodes else None
    differs += tuple(revoked[each] for each in {there.artifact if there else "", _wanted(seen, seat)} & revoked.keys())
    state = _state(seen, seat)
    says = ask(seen, seat) if state in ("running", "done") else None
    image = seen.images.get(seat.artifact)
    artifact = str(image.artifact.reference) if image is not None and seat.role.process is not None else ""
    return RoleStatus(node, role, artifact, state, not differs, differs, summary(says), says)


def _wanted(seen: Survey, seat: Seat) -> str:
    """Digest of what its process should be started from."""
    image = seen.images.get(seat.artifact)
    return str(image.artifact.digest) if image is not None and seat.role.process is not None else ""


def _files_differ(seen: Survey, seat: Seat) -> bool:
    observed = seen.observed.nodes.get(seat.node.name)
    there = observed.role(seat.role.name) if observed is not None else None
    wanted = seen.wanted.nodes[seat.node.name].role(seat.role.name)
    return there is None or wanted is None or there.files != wanted.files


def _state(seen: Survey, seat: Seat) -> str:
    observed = seen.observed.nodes.get(seat.node.name)
    there = observed.role(seat.role.name) if observed is not None else None
    if seat.role.process is None:
        return "files" if there is not None else "missing"
    if there is None or not there.has_process:
        return "missing"
    if not there.running:
        return "stopped"
    return "done" if seat.role.process.type == "oneshot" else "running"


def ask(seen: Survey, seat: Seat) -> object:
    """What the role says of itself: the JSON of its status command, or the complaint of one that failed."""
    if not seat.role.status or (seat.role.process is not None and seat.role.process.type == "oneshot"):
        return None
    answer = executor(seen)(*seat.key, bounded(seat.role.status))
    try:
        return json.loads(answer.stdout)
    except ValueError:
        complaint = (answer.stderr.strip() or answer.stdout.strip()).splitlines()
        return {"summary": complaint[-1] if complaint else f"status {answer.code}"}


def summary(says: object) -> str:
    """One line of what a role says: its own summary, else its plain values."""
    if not isinstance(says, dict):
        return "" if says is None else str(says)[:LONGEST_SUMMARY]
    if "summary" in says:
        return str(says["summary"])[:LONGEST_SUMMARY]
    flat = [f"{name} {value}" for name, value in says.items() if isinstance(value, str | int | float)]
    return ", ".join(flat)[:LONGEST_SUMMARY]
