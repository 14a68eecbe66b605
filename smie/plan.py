"""What a build would do, and because of which inputs: the recipe's against those of the newest artefact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.model import Artifact
from naust import listing, manifest
from naust.store.interface import Store
from smie.recipe import Recipe

NEVER = "never built"


@dataclass(frozen=True, slots=True)
class Entry:
    """One artefact: without reasons it is up to date, and `artifact` is it; else `artifact` is the newest there is."""

    recipe: Recipe
    artifact: Artifact | None
    reasons: tuple[str, ...]

    def shown(self) -> dict[str, object]:
        """As `--json` prints it."""
        return {
            "artifact": self.recipe.title,
            "version": self.recipe.version,
            "made_from": self.recipe.fingerprint,
            "build": bool(self.reasons),
            "reasons": self.reasons,
            "newest": self.artifact.reference if self.artifact else None,
        }


def plan(store: Store, recipes: Iterable[Recipe]) -> tuple[Entry, ...]:
    """What there is of these, and why the others have to be built. Damaged artefacts do not count."""
    return tuple(_entry(store, recipe) for recipe in recipes)


def _entry(store: Store, recipe: Recipe) -> Entry:
    if there := listing.find(store, recipe.fingerprint, recipe.kind, recipe.name):
        return Entry(recipe, there, ())
    newest = next(iter(listing.artifacts(store, recipe.kind, recipe.name, damaged=lambda error: None)), None)
    if newest is None:
        return Entry(recipe, None, (NEVER,))
    if newest.made_from == recipe.fingerprint:
        return Entry(recipe, newest, ("the artefact in the store is damaged",))
    newest = listing.resolve(store, newest.reference)
    return Entry(recipe, newest, reasons(recipe, newest))


def reasons(recipe: Recipe, newest: Artifact) -> tuple[str, ...]:
    """Why a recipe is not what the newest artefact was made from, one input each."""
    before = {name: (version, digest) for name, version, digest in manifest.inputs(newest)}
    now = {part.title: (part.version, str(part.digest)) for part in recipe.inputs}
    names = [part.title for part in recipe.inputs] + [name for name in before if name not in now]
    found = tuple(text for name in names if (text := difference(name, before.get(name), now.get(name))))
    return found or ("smie makes recipes in another way now",)


def difference(name: str, before: tuple[str, str] | None, now: tuple[str, str] | None) -> str:
    """How an input changed, `(version, digest)` each; empty when it did not."""
    if before == now:
        return ""
    if before is None or now is None:
        return f"{name} {(now or before or ('', ''))[0]}".rstrip() + (" added" if before is None else " removed")
    if name.startswith("file "):
        return f"{name} changed" if before[1] != now[1] else f"{name} has mode {now[0]}, was {before[0]}"
    return f"{name} changed" if before[0] == now[0] else f"{name} {before[0]} → {now[0]}"


def recorded(recipe: Recipe) -> list[Mapping[str, str]]:
    """The recipe's inputs as they are kept with the artefact."""
    return [{"name": part.title, "version": part.version, "digest": str(part.digest)} for part in recipe.inputs]


def to_build(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Those that are not there."""
    return tuple(entry for entry in entries if entry.reasons)
