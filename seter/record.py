"""The lease and the history around what changes a deployment.

The history is for people; two things are read from it: whether the last run got to its checks, and, where the operator
asks for it, what it left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from common import console
from common.console import Report
from common.errors import Error
from common.model import Event
from seter import artifacts, history
from seter.acts import Paused, RolledBack
from seter.definition import pack, read_definition
from seter.history import BACK, DONE, INTERRUPTED, PAUSED, History, Run
from seter.keep import Keep
from seter.lease import Claim, Lease, held
from seter.recorded import states_after

if TYPE_CHECKING:
    from seter.survey import Survey

OLD = "record.json"  # of earlier versions: the last run alone, in the deployment's folder


@contextmanager
def leased(
    keep: Keep, verb: str, *, claim: Claim | None = None, groups: tuple[str, ...] = (), report: Report | None = None
) -> Iterator[Lease]:
    """Hold the deployment's lease, on all groups or on these. Raises Conflict naming who has it."""
    claim = claim or Claim()
    reason = f"{verb} {keep.deployment}{f' ({claim.reason})' if claim.reason else ''}"
    with (
        held(
            keep.cells, str(keep.deployment), groups, replace(claim, reason=reason), report or console.reporter()
        ) as lease,
        keep.fenced(lease.check),
    ):
        yield lease


@contextmanager
def recorded(seen: Survey, lease: Lease, report: Report) -> Iterator[None]:
    """The plan's run is in the history: while it runs, and how it ended, whatever ends it."""
    request, systems = seen.request, seen.blueprint.roles_folder.parent
    parts = {
        history.DEFINITION: pack(read_definition(systems, seen.blueprint.system.name)),
        history.CONFIGURATION: history.configuration(
            {node: tree.files for node, tree in seen.trees.items()}, seen.vault.values()
        ),
    }
    run = Run(
        deployment=str(request.deployment),
        verb=request.verb,
        artifacts=artifacts.names(seen.images),
        steps=tuple(str(step) for step in seen.plan.steps),
        groups=request.groups,
        limit=(*request.limit, *((f"role:{request.role}",) if request.role else ())),
        reason=request.claim.reason,
        words=lease.words,
        plan=request.saved,
        origin=request.origin,
    )
    history.refuse_used(History(seen.keep), request.saved)
    hidden = history.words_of(seen.vault.values())
    with noted(seen.keep, run, parts, report, hidden=hidden, after=lambda: {history.STATES: states_after(seen)}):
        yield


@contextmanager
def noted(
    keep: Keep,
    run: Run,
    parts: Mapping[str, bytes],
    report: Report,
    *,
    hidden: Iterable[str] = (),
    after: Callable[[], Mapping[str, bytes]] = dict,
) -> Iterator[None]:
    """A run in the history while the block runs, and how the block ended, with what `after` gives when it went well."""
    runs = History(keep)
    written = runs.begin(run, parts)
    try:
        yield
    except BaseException as error:
        try:
            runs.conclude(written, history.masked(_result(error), hidden), {})
        except Error as failure:
            report(Event("history", f"run {written.run.number}", f"its end could not be written: {failure.message}"))
        raise
    runs.conclude(written, DONE, after())


def _result(error: BaseException) -> str:
    """In the history's words."""
    if isinstance(error, RolledBack):
        return f"{BACK}: {error.message}"
    if isinstance(error, Paused):
        return PAUSED
    return f"failed: {error.message}" if isinstance(error, Error) else INTERRUPTED


def unsettled(keep: Keep, groups: Iterable[str]) -> frozenset[str]:
    """Those of the groups, whose lease we have, in which the last run did not get to its end: checks are owed there,
    and nodes may be withdrawn. A run on some nodes only settles nothing for the others."""
    runs = History(keep).runs()
    if not runs:
        settled = str(last(keep).get("result", DONE)).partition(":")[0] in history.SETTLED
        return frozenset() if settled else frozenset(groups)
    return frozenset(group for group in groups if _is_open(group, runs))


def _is_open(group: str, runs: Iterable[Run]) -> bool:
    for run in runs:
        if not run.groups or group in run.groups:
            if not run.left_nothing_open:
                return True
            if not run.limit:
                return False
    return False


def last(keep: Keep) -> Mapping[str, object]:
    """The last run, for people; empty when there is none."""
    run = History(keep).last()
    if run is not None:
        shown = console.plain(run)
        assert isinstance(shown, dict)
        return {key: value for key, value in shown.items() if key not in ("artifacts", "steps", "words")}
    file = keep.folder / OLD
    try:
        content = json.loads(file.read_text()) if file.exists() else {}
    except ValueError as error:
        raise Error(f"{file} cannot be read: {error}", resolution="Remove it; it is only for people.") from error
    return content if isinstance(content, dict) else {}
