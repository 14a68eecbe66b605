"""One of two builds that are compared, as a process of its own: `python -m smie.twin REQUEST.json`.

It reads what it needs where the caller's smie has it and writes into its own folder alone: a store, a workspace. How it
went is printed as JSON, progress goes to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common import console
from common.catalog import Catalog
from common.errors import Error
from common.model import Kind
from naust.store import open_store
from smie.build import build, failure
from smie.wanted import recipes_of
from smie.workspace import Workspace

STORE = "store"
CACHE = "cache"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `source` is the store that snapshots are in, `cache` the workspace that indexes and packages
    are in; `folder` is where this build works, `revision` what git calls the definitions, `later` in seconds."""

    names: Sequence[str]
    kinds: Sequence[str]
    every: bool
    snapshot: str
    systems: str
    source: str
    cache: str
    folder: str
    revision: str
    later: float
    jobs: int | None


def main(argv: Sequence[str]) -> int:
    """Build; the exit code."""
    request = Request(**json.loads(Path(argv[0]).read_text()))
    try:
        _build(request)
    except Error as error:
        said = {"message": error.message, "details": error.details, "resolution": error.resolution}
        console.json_result(said | {"code": error.exit_code})
        return error.exit_code
    return 0


def _build(request: Request) -> None:
    recipes = recipes_of(
        request.names, Catalog.open(Path(request.systems)), open_store(request.source), Workspace(Path(request.cache)),
        kinds=tuple(map(Kind, request.kinds)), every=request.every, snapshot=request.snapshot,
    )  # fmt: skip
    folder = Path(request.folder)
    outcomes = build(
        open_store(f"file://{folder / STORE}"), recipes, Workspace(folder / CACHE), console.reporter(),
        jobs=request.jobs, later=timedelta(seconds=request.later), revision=request.revision,
    )  # fmt: skip
    if error := failure(outcomes):
        raise error
    console.json_result({"built": [outcome.recipe.title for outcome in outcomes if outcome.act == "built"]})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
