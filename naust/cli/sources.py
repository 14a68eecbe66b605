"""What the verbs of sources share: the definition that is meant, how far it is, what the keep rules let go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common import console
from common.errors import BadInput

if TYPE_CHECKING:
    from common.console import Report
    from common.model import Event
    from naust.source.definition import Definition, Keep
    from naust.store.interface import Store

Sources = Annotated[
    Path | None, typer.Option("--sources", help="The definition; else ./sources.hcl, ./systems/sources.hcl.")
]
Tidy = Annotated[bool, typer.Option("--tidy", help="Then take away what the keep rules let go; naust gc frees it.")]
_PLACES = ("sources.hcl", "systems/sources.hcl")


def defined(path: Path | None) -> Definition:
    """The definition. Raises BadInput if there is none, BadDefinition with all that is wrong in it."""
    from naust.source.shapes import load

    found = path or next((place for place in map(Path, _PLACES) if place.is_file()), None)
    if found is None:
        raise BadInput(
            "there is no sources.hcl here", resolution="Write one (naust mirror --manual), or --sources FILE."
        )
    return load(found)


def brief(report: Report, verbose: bool) -> Report:
    """Without a line for each of a million files."""

    def show(event: Event) -> None:
        if verbose or event.kind != "item":
            report(event)

    return show


def tidied(store: Store, rules: Iterable[tuple[str, Keep]], *, dry_run: bool = False) -> None:
    """Take away what the rules let go, and say what that was."""
    from naust.source.retention import built_from, tidy

    wanted = [(name, keep) for name, keep in rules if not keep.all]
    held = built_from(store) if wanted else ()
    for name, keep in wanted:
        for gone in tidy(store, name, keep, dry_run=dry_run, held=held):
            console.note(f"{gone} {'would go' if dry_run else 'is gone'}")
