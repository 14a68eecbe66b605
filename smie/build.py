"""The verb `build`: what is not in the store yet is made, checked, pushed and loaded into the engine.

An artefact is in the store whole or not at all, each succeeds or fails by itself, and what was begun is cleared away
however it ends: here, or by the next run if we are killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from common.console import Report, live
from common.errors import Error, Partial
from common.model import Kind
from common.progress import Board, Job
from naust.store.interface import Store
from smie.builder import BOOTED, way
from smie.interrupted import cleaned
from smie.memory import available
from smie.otherwise import Otherwise
from smie.outcome import Outcome
from smie.plan import Entry, plan, to_build
from smie.recipe import Recipe
from smie.schedule import Skipped, Task, places, run_all
from smie.times import expected, weight
from smie.workspace import Workspace

if TYPE_CHECKING:
    from smie.site import Site

PREFETCH = "fetch"
# Bytes that a build needs at once, measured as the sum of what its processes and its container have for themselves.
NEED = {Kind.CONTAINER: 512 << 20, Kind.ROOTFS: 768 << 20, Kind.VM: 1 << 30, BOOTED: 3 << 29}


def build(
    store: Store,
    recipes: Sequence[Recipe],
    workspace: Workspace,
    report: Report,
    *,
    jobs: int | None = None,
    memory: int | None = None,
    limit: timedelta | None = None,
    skip_boot: bool = False,
    debug: bool = False,
    other: Otherwise | None = None,
) -> tuple[Outcome, ...]:
    """See that all of these are in the store: at most `jobs` at once, in `memory` bytes. What takes longer than `limit`
    is ended, and fails; disks were booted before, unless `skip_boot`; with `debug` what fails is left open. With
    `other` they are built to be compared alone (`smie.again`). Raises Missing or Unavailable before anything was begun,
    and Interrupted once all is cleaned up."""
    entries = plan(store, recipes)
    missing = to_build(entries)
    if not missing:
        return tuple(Outcome(entry.recipe, "present", entry.artifact) for entry in entries)
    from smie.site import Site  # brings in Docker's library, which a build that has nothing to do does not need

    at_once = jobs or places()
    with live(report, Board(_jobs(workspace, missing), at_once)) as told:
        site = Site.open(
            store, workspace, told, [entry.recipe for entry in missing], limit, skip_boot=skip_boot, debug=debug,
            other=other,
        )  # fmt: skip
        done: dict[str, Outcome | Error | Skipped | None] = {}
        try:
            run_all(_tasks(site, missing), at_once, site.halt, memory=memory or available() or None, done=done)
        except KeyboardInterrupt:
            built = [title for title, outcome in done.items() if isinstance(outcome, Outcome)]
            raise cleaned(site.builders.values(), workspace, site.stopped, built) from None
    outcomes = {entry.recipe.fingerprint: _outcome(entry, done.get(entry.recipe.title)) for entry in entries}
    return tuple(outcomes.values())


def failure(outcomes: Sequence[Outcome]) -> Error | None:
    """What to raise after all has been tried: the error itself if it is the only thing to say."""
    failed = [outcome for outcome in outcomes if outcome.error]
    if not failed:
        return None
    if len(failed) == len([outcome for outcome in outcomes if outcome.act != "present"]) == 1:
        return failed[0].error
    skipped = [outcome.recipe.title for outcome in outcomes if outcome.act == "skipped"]
    names = ", ".join(outcome.recipe.title for outcome in failed)
    left = f"; not tried because of that: {', '.join(skipped)}" if skipped else ""
    whole = any(outcome.act in ("built", "taken") for outcome in outcomes)
    return (Partial if whole else Error)(
        f"{names} could not be built{left}",
        details="\n\n".join(str(outcome.error) for outcome in failed),
        resolution="What was built is in the store. Mend the cause and run the same command again.",
    )


def _outcome(entry: Entry, result: Outcome | Error | Skipped | None) -> Outcome:
    if result is None:
        return Outcome(entry.recipe, "present", entry.artifact)
    if isinstance(result, Skipped):
        return Outcome(entry.recipe, "skipped")
    return Outcome(entry.recipe, "failed", error=result) if isinstance(result, Error) else result


def _tasks(site: Site, missing: Sequence[Entry]) -> dict[str, Task[str, Outcome | None]]:
    """One for each artefact, and one that fetches for all of them while the base is being made."""
    recipes = sorted(
        (entry.recipe for entry in missing if entry.recipe.packages),
        key=lambda recipe: (recipe.parent is not None, -weight(recipe)),
    )
    tasks: dict[str, Task[str, Outcome | None]] = {}
    for entry in missing:
        needs = tuple(recipe.title for recipe in entry.recipe.needs)
        tasks[entry.recipe.title] = Task(_making(site, entry), needs, weight(entry.recipe), NEED[way(entry.recipe)])
    if len(missing) > 1:
        tasks[PREFETCH] = Task(lambda: site.prefetch(recipes), weight=sum(map(weight, recipes)))
    return tasks


def _making(site: Site, entry: Entry) -> Callable[[], Outcome]:
    return lambda: site.make(entry.recipe, entry.reasons)


def _jobs(workspace: Workspace, missing: Sequence[Entry]) -> tuple[Job, ...]:
    """The same as the display wants it, the heaviest first, as they are begun."""
    return tuple(
        Job(one.title, expected(workspace, one), tuple(need.title for need in one.needs))
        for one in sorted((entry.recipe for entry in missing), key=lambda recipe: -weight(recipe))
    )
