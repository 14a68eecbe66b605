"""The verb `test`: the checks of artefacts that the store has, once more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.console import Report
from common.errors import BadInput, Error, NotFound
from common.files import write_atomically
from common.model import Artifact, Event
from common.run import find
from naust import listing
from naust.address import uri
from naust.store.interface import Store
from smie import leftovers
from smie.builder import builder
from smie.builder.interface import cleared
from smie.checks.kinds import check
from smie.checks.results import joined
from smie.checks.running import LIMIT, Checked, ChecksFailed
from smie.recipe import Recipe
from smie.workspace import Workspace

AGAIN = "Mend the role and build it again, or mend the check and test again."


@dataclass(frozen=True, slots=True)
class Tested:
    """How the checks of one artefact of the store came out; `log` is what pytest said."""

    artifact: Artifact
    checked: Checked
    log: Path

    def shown(self, store_url: str) -> dict[str, object]:
        """As `--json` prints it."""
        return {
            "artifact": self.checked.title,
            "uri": uri(store_url, self.artifact),
            "digest": self.artifact.digest,
            "ok": not self.checked.failed,
            "checks": [
                {
                    "about": one.about,
                    "promise": one.promise,
                    "ok": one.ok,
                    "fault": one.fault,
                    "seconds": one.seconds,
                }
                for one in self.checked.checks
            ],
            "log": str(self.log),
        }


def test(
    store: Store, recipes: Sequence[Recipe], workspace: Workspace, report: Report, *,
    limit: timedelta = LIMIT, junit: Path | None = None,
) -> tuple[Tested, ...]:  # fmt: skip
    """Check the newest artefact of each of these recipes. With `junit`, all results go to that file too.

    Raises NotFound for what was not built from these definitions, before anything is started; Corrupt, Unavailable.
    """
    found = _found(store, recipes)
    find("docker")
    for kind in dict.fromkeys(recipe.kind for recipe in recipes):
        builder(kind).sweep(leftovers.is_dead)
    with workspace.build(leftovers.identity("test")) as folder:
        tested = tuple(_one(store, recipe, there, workspace, report, folder, limit) for recipe, there in found)
        if junit is not None:
            write_atomically(junit, joined([(one.checked.title, one.checked.junit) for one in tested]))
    return tested


def chosen(recipes: Iterable[Recipe], names: Sequence[str]) -> tuple[Recipe, ...]:
    """What is meant by these names: the artefacts that are called so; where one is a system's or a group's, or none is
    given, all that stands in them. Raises BadInput if nothing of it can be looked at."""
    every = tuple(recipes)
    titles = {recipe.name for recipe in every}
    wide = not names or any(name not in titles for name in names)
    meant = [recipe for recipe in every if recipe.name in names or wide]
    return tuple(meant)


def failure(tested: Sequence[Tested]) -> Error | None:
    """What to raise after all has been looked at."""
    failed = [ChecksFailed(one.checked, one.log, AGAIN) for one in tested if one.checked.failed]
    if len(failed) < 2:
        return failed[0] if failed else None
    return Error(
        f"{len(failed)} of {len(tested)} artefacts are not what their roles promise",
        details="\n\n".join(str(error) for error in failed),
        resolution=AGAIN,
    )


def _found(store: Store, recipes: Sequence[Recipe]) -> list[tuple[Recipe, Artifact]]:
    found = [(one, listing.find(store, one.fingerprint, one.kind, one.name)) for one in recipes]
    if missing := [one for one, there in found if there is None]:
        raise NotFound(
            f"{', '.join(one.title for one in missing)} {'was' if len(missing) == 1 else 'were'} not built from these "
            "definitions",
            resolution=f"Build it first: smie build {' '.join(dict.fromkeys(one.name for one in missing))}",
        )
    return [(one, there) for one, there in found if there is not None]


def _one(
    store: Store, recipe: Recipe, there: Artifact, workspace: Workspace, report: Report, folder: Path, limit: timedelta
) -> Tested:
    identity, log = leftovers.identity(recipe.name), workspace.log(recipe.kind, f"{recipe.name}.checks")
    own = folder / f"{recipe.kind}-{recipe.name}"
    own.mkdir()
    report(Event("checks", recipe.title, str(there.reference)))
    with cleared(builder(recipe.kind), identity):
        checked = check(store, there, recipe, own, log, identity, limit=limit)
    if checked is None:
        raise BadInput(
            f"{recipe.title} cannot be started here", resolution="It is checked while it is built: smie build."
        )
    return Tested(there, checked, log)
