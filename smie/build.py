"""The verb `build`: what is not in the store yet is made, checked, pushed and loaded into the engine.

An artefact is in the store whole or not at all, each succeeds or fails by itself, and what was begun is cleared away
however it ends: here, or by the next run if we are killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from common.console import Report
from common.errors import Error, Partial
from naust.store.interface import Store
from smie.outcome import Outcome
from smie.plan import Entry, plan, to_build
from smie.recipe import Recipe
from smie.schedule import Skipped, Task, places, run_all
from smie.workspace import Workspace

if TYPE_CHECKING:
    from smie.site import Site

PREFETCH = "fetch"


def build(
    store: Store,
    recipes: Sequence[Recipe],
    workspace: Workspace,
    report: Report,
    *,
    jobs: int | None = None,
    skip_boot: bool = False,
) -> tuple[Outcome, ...]:
    """See that all of these are in the store; disks were booted before, unless `skip_boot`. Raises Missing or
    Unavailable before anything was begun."""
    entries = plan(store, recipes)
    missing = to_build(entries)
    if not missing:
        return tuple(Outcome(entry.recipe, "present", entry.artifact) for entry in entries)
    from smie.site import Site  # brings in Docker's library, which a build that has nothing to do does not need

    site = Site.open(store, workspace, report, [entry.recipe for entry in missing], skip_boot=skip_boot)
    done = run_all(_tasks(site, missing), jobs or places(), site.halt)
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
        tasks[entry.recipe.title] = Task(_making(site, entry), needs, weight(entry.recipe))
    if len(missing) > 1:
        tasks[PREFETCH] = Task(lambda: site.prefetch(recipes), weight=sum(map(weight, recipes)))
    return tasks


def _making(site: Site, entry: Entry) -> Callable[[], Outcome]:
    return lambda: site.make(entry.recipe, entry.reasons)


def weight(recipe: Recipe) -> int:
    """Bytes of packages: about how long it takes."""
    return sum(package.size for package in recipe.packages)
