"""`seter rollback` and `seter reproduce`: an earlier run's definitions and artefacts again, by an ordinary deploy.

What is kept as it is: the secrets, and what roles hold. Nothing is looked up by name: each artefact is the one with the
recorded digest, whatever is newest now.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from common.catalog import Catalog
from common.console import Report
from common.errors import BadInput, Error, NotFound
from common.model import Kind
from seter.definition import Text, lay_out
from seter.deploy import Confirm, Outcome, deploy
from seter.diff import definition_of
from seter.history import History, Run, by_digest
from seter.survey import Request
from seter.traffic import CUT_AFTER

if TYPE_CHECKING:
    from naust.store.interface import Store


@dataclass(frozen=True, slots=True)
class Way:
    """A run that one can go back to; `missing` are artefacts that are no longer there, or may not be used."""

    number: int
    finished: datetime | None
    who: str
    verb: str
    reason: str
    missing: tuple[str, ...]


def ways(request: Request) -> tuple[Way, ...]:
    """Where one can go back to, the newest first: every run that got through."""
    from naust.store import open_store

    runs, store = History(request.keep), open_store(request.store)
    found = []
    for brief in runs.runs():
        if brief.is_done and brief.verb != "destroy":
            missing = tuple(
                name for name in by_digest(runs.find(brief.number).artifacts).values() if not _is_there(store, name)
            )
            found.append(Way(brief.number, brief.finished, brief.who, brief.verb, brief.reason, missing))
    return tuple(found)


def _is_there(store: Store, name: str) -> bool:
    from naust.listing import resolve
    from naust.revoke import check

    if name.startswith(f"{Kind.ROOTFS}/"):  # of hosts: a recipe's fingerprint, which no store has
        return True
    try:
        check(store, resolve(store, name))
    except Error:
        return False
    return True


def rollback(
    request: Request, number: int, *, report: Report, confirm: Confirm, cut_after: timedelta = CUT_AFTER
) -> Outcome:
    """Bring the deployment to what that run made of it. Raises BadInput for a run that did not get through, NotFound,
    and what `deploy` raises."""
    run = _done(History(request.keep), number)
    with again(request, run, "rollback", f"run {number}") as asked:
        return deploy(asked, report=report, confirm=confirm, cut_after=cut_after)


def reproduce(
    request: Request,
    source: Request,
    number: int,
    *,
    report: Report,
    confirm: Confirm,
    cut_after: timedelta = CUT_AFTER,
) -> Outcome:
    """Make of `request`'s deployment what a run made of `source`'s: the same definitions and digests, with secrets,
    names and addresses of its own. A target that the run did not know comes from the definitions of today.

    Raises as `rollback`; BadInput for the same deployment."""
    if request.deployment == source.deployment:
        raise BadInput(
            f"{request.deployment} is itself what is to be reproduced",
            resolution="Give another instance or target with --as-instance or --as-target; or use seter rollback.",
        )
    run = _done(History(source.keep), number)
    with again(request, run, "reproduce", f"run {number} of {source.deployment}", History(source.keep)) as asked:
        return deploy(asked, report=report, confirm=confirm, cut_after=cut_after)


@contextmanager
def again(request: Request, run: Run, verb: str, origin: str, runs: History | None = None) -> Iterator[Request]:
    """The request with the definitions and artefacts of a run; they are laid out while the block runs."""
    definition = definition_of(runs or History(request.keep), run.number)
    with tempfile.TemporaryDirectory(prefix="seter-definition-") as folder:
        lay_out(_with_target(definition, request), Path(folder))
        asked = replace(request, systems=Path(folder), pins=by_digest(run.artifacts), verb=verb, origin=origin)
        yield asked


def _with_target(definition: dict[str, Text], request: Request) -> dict[str, Text]:
    system, target = request.deployment.system, request.deployment.target
    path = f"{system}/targets/{target}.hcl"
    if path in definition:
        return definition
    file = Catalog.open(request.systems).folder / path
    if not file.is_file():
        raise NotFound(f"there is no target {target!r}, neither then nor now", resolution=f"Write {file}.")
    return {**definition, path: Text(0o644, file.read_bytes())}


def _done(runs: History, number: int) -> Run:
    run = runs.find(number)
    if not run.is_done or run.verb == "destroy":
        good = ", ".join(str(each.number) for each in runs.runs() if each.is_done and each.verb != "destroy")
        raise BadInput(
            f"run {number} is nothing to go back to: {run.verb}, {run.result}",
            resolution=f"These got through: {good or 'none'}.",
        )
    return run
