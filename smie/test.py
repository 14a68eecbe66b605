"""The verb `test`: the checks of artefacts that the store has, once more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.console import Report
from common.errors import BadInput, Error, NotFound
from common.files import write_atomically
from common.model import Artifact, Event, Kind
from common.run import find
from naust import listing
from naust.address import uri
from naust.store.interface import Store
from smie import isolation, leftovers
from smie.builder import builder
from smie.builder.interface import cleared
from smie.checks.kinds import check
from smie.checks.results import joined
from smie.checks.running import LIMIT, Checked, ChecksFailed
from smie.recipe import Recipe
from smie.stored import tools_tree
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
    tools: Recipe | None = None, limit: timedelta = LIMIT, junit: Path | None = None,
) -> tuple[Tested, ...]:  # fmt: skip
    """Check the newest artefact of each of these recipes; root file systems on disks that are written with `tools`.
    With `junit`, all results go to that file too.

    Raises NotFound for what was not built from these definitions, before anything is started; Corrupt, Unavailable.
    """
    found = _found(store, recipes)
    if tools is not None:
        isolation.check((tools,))
        _found(store, (tools,))
    if any(recipe.kind == Kind.CONTAINER for recipe in recipes):
        find("docker")
    for kind in dict.fromkeys(recipe.kind for recipe in recipes):
        builder(kind).sweep(leftovers.is_dead)
    with workspace.build(leftovers.identity("test")) as folder:
        tree = tools_tree(store, workspace, tools, folder) if tools else None
        tested = tuple(_one(store, recipe, there, workspace, report, folder, tree, limit) for recipe, there in found)
        if junit is not None:
            write_atomically(junit, joined([(one.checked.title, one.checked.junit) for one in tested]))
    return tested


def chosen(recipes: Iterable[Recipe], names: Sequence[str], kinds: Sequence[Kind] = ()) -> tuple[Recipe, ...]:
    """What is meant by these names: the artefacts that are called so; where one is a system's or a group's, or none is
    given, all that stands in them. With `kinds`, only those. Without, a root file system is left out if there is a disk
    of it, which has the same in it; and what nothing can be started from is left out where it was not named."""
    every = tuple(recipe for recipe in recipes if not kinds or recipe.kind in kinds)
    titles = {recipe.name for recipe in every}
    disks = {recipe.name for recipe in every if recipe.kind == Kind.VM and not kinds}
    wide = not names or any(name not in titles for name in names)
    meant = [recipe for recipe in every if recipe.name in names or (wide and is_startable(recipe))]
    return tuple(recipe for recipe in meant if recipe.kind != Kind.ROOTFS or recipe.name not in disks)


def is_startable(recipe: Recipe) -> bool:
    """Whether something can be started from it: from any but a base for machines."""
    return recipe.kind == Kind.CONTAINER or bool(recipe.roles)


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
    store: Store, recipe: Recipe, there: Artifact, workspace: Workspace, report: Report, folder: Path,
    tools: Path | None, limit: timedelta,
) -> Tested:  # fmt: skip
    identity, log = leftovers.identity(recipe.name), workspace.log(recipe.kind, f"{recipe.name}.checks")
    own = folder / f"{recipe.kind}-{recipe.name}"
    own.mkdir()
    report(Event("checks", recipe.title, str(there.reference)))
    with cleared(builder(recipe.kind), identity):
        checked = check(store, there, recipe, own, log, identity, tools=tools, limit=limit)
    if checked is None:
        raise BadInput(
            f"{recipe.title} cannot be started",
            resolution="Name a role or a group that stands on it, or a base for containers.",
        )
    return Tested(there, checked, log)
