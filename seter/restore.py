"""`seter restore`: what a role holds back to a copy that `seter backup` made.

How a role takes it back is its own matter (block `restore` of its role.hcl): every node prepares, which changes
nothing; only when all have, every node commits and its process starts anew. A failure before leaves all as it was.
"""

from __future__ import annotations

import secrets as random_source
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common.console import Report
from common.errors import BadInput
from common.model import Artifact, Event
from seter import checks
from seter.able import able, asked
from seter.acts import RolloutStopped
from seter.backup import DEPLOYMENT, ROLE, backup_of
from seter.blueprint import Blueprint, Seat, read_blueprint
from seter.provisioner.interface import Answer
from seter.record import leased
from seter.secrets import decrypt_stream
from seter.state import OWED
from seter.survey import Request, Survey, survey
from seter.tree import STATE

Question = Callable[[str], None]  # raises BadInput when the answer is no


@dataclass(frozen=True, slots=True)
class Restored:
    """What `--json` prints. `made` is when the copy was made, ISO 8601."""

    artifact: str
    role: str
    nodes: tuple[str, ...]
    made: str


def restore(request: Request, wanted: str, *, role: str = "", ask: Question, report: Report) -> Restored:
    """Put the state of a role back to a copy, on all its nodes; they restart together, when all are prepared. Without a
    name it is the deployment's newest, of this role if several can.

    Cluster steps of the group are owed afterwards: the next deploy brings to what was restored what the definitions
    have. Raises BadInput for what is no backup or not wanted after all, RolloutStopped if a node cannot prepare
    (nothing has changed then) or is not good afterwards, Corrupt for damaged copies and those of another identity.
    """
    from naust.listing import resolve
    from naust.revoke import check
    from naust.store import open_store

    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    store = open_store(request.store)
    artifact = resolve(store, wanted or str(backup_of(blueprint, _only(blueprint, role))))
    check(store, artifact)
    role = artifact.annotation(ROLE)
    if not role:
        raise BadInput(f"{artifact.reference} is no backup", resolution="See naust list; those of seter are files.")
    seats = able(blueprint, role, "restore")[role]
    made = artifact.created.isoformat(timespec="seconds")
    nodes = tuple(seat.node.name for seat in seats)
    ask(
        f"{role} on {', '.join(nodes)} goes back to {made}, as {artifact.annotation(DEPLOYMENT)} was; "
        "what was changed there since is lost."
    )
    with leased(request.keep, "restore", claim=request.claim, report=report):
        seen = survey(request, report)
        _bring(seen, artifact, seats, report)
        _owe(seen, seats)
        _conclude(checks.check_nodes(seen, nodes, report))
    return Restored(str(artifact.reference), role, nodes, made)


def _only(blueprint: Blueprint, role: str) -> str:
    """The one role that is meant. Raises BadInput."""
    names = list(able(blueprint, role, "restore"))
    if len(names) > 1:
        raise BadInput("whose backup?", resolution=f"Name one of {', '.join(names)} with --role.")
    return names[0]


def _bring(seen: Survey, artifact: Artifact, seats: Sequence[Seat], report: Report) -> None:
    from naust.pull import into_stream

    nonce = random_source.token_hex(8)
    with tempfile.TemporaryFile() as sealed, tempfile.TemporaryFile() as plain:
        into_stream(seen.store, artifact, sealed)
        sealed.seek(0)
        decrypt_stream(sealed, plain, str(artifact.reference))
        size = plain.tell()
        try:
            for seat in seats:
                process = seat.role.process
                assert process is not None
                plain.seek(0)
                seen.provisioner.put(seat.node.name, _copy(seat, nonce), plain, size, process.uid)
            _all(seen, seats, lambda seat: _prepare(seen, seat, nonce, report))
        finally:
            _all(seen, seats, lambda seat: asked(seen.provisioner, seat, ["rm", "-f", _copy(seat, nonce)]))
    _all(seen, seats, lambda seat: _commit(seen, seat, report))


def _copy(seat: Seat, nonce: str) -> str:
    return f"{STATE}/{seat.role.name}/{nonce}.copy"


def _prepare(seen: Survey, seat: Seat, nonce: str, report: Report) -> None:
    assert seat.role.restore is not None
    argv = [part.replace("{file}", _copy(seat, nonce)) for part in seat.role.restore.prepare]
    _must(asked(seen.provisioner, seat, argv), seat, "cannot prepare", "Nothing was changed. ")
    report(Event("prepared", f"{seat.role.name} on {seat.node.name}"))


def _commit(seen: Survey, seat: Seat, report: Report) -> None:
    process = seat.role.process
    assert seat.role.restore is not None and process is not None
    answer = asked(seen.provisioner, seat, seat.role.restore.commit)
    _must(answer, seat, "does not take it", "Other nodes may have: run restore again once this is mended. ")
    seen.provisioner.restart(*seat.key, int(process.stop_within.total_seconds()))
    report(Event("restarted", f"{seat.role.name} on {seat.node.name}"))


def _must(answer: Answer, seat: Seat, what: str, so: str) -> None:
    if answer.code != 0:
        raise RolloutStopped(
            f"{seat.role.name} on {seat.node.name} {what}",
            details=(answer.stderr or answer.stdout).strip(),
            resolution=f"{so}seter status shows how the nodes fare.",
        )


def _all(seen: Survey, seats: Sequence[Seat], act: Callable[[Seat], object]) -> None:
    """On all nodes at once; the first error is raised when all have ended."""
    with ThreadPoolExecutor(len(seats)) as threads:
        for each in [threads.submit(act, seat) for seat in seats]:
            each.result()


def _owe(seen: Survey, seats: Sequence[Seat]) -> None:
    """What cluster steps once wrote may not be in the copy: they are to be done again."""
    group = next(group for group in seen.wanted.groups if group.name == seats[0].node.group)
    done = dict(seen.observed.nodes[group.first].cluster) if group.first in seen.observed.nodes else {}
    for role in group.roles:
        if role.has_cluster_step and done.get(role.name):
            seen.provisioner.cluster_done(group.first, role.name, OWED)


def _conclude(found: Sequence[checks.Found]) -> None:
    bad = [str(one) for one in found if not one.verdict.ok]
    if bad:
        raise RolloutStopped(
            f"it was restored, but {len(bad)} checks do not hold",
            details="\n".join(bad),
            resolution="See seter status; the state before is kept on the nodes as long as the role keeps it.",
        )
