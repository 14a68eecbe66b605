"""One of two builds that are compared, as a process of its own: `python -m smie.twin REQUEST.json`.

It reads what it needs where the caller's smie has it and writes into its own folder alone: a store, a workspace. How it
went is printed as JSON, progress goes to stderr.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common import console
from common.catalog import Catalog
from common.errors import Error
from common.interruption import once
from common.model import Kind
from naust.store import open_store
from smie import leftovers
from smie.build import build, failure
from smie.otherwise import Otherwise, clock
from smie.wanted import recipes_of
from smie.workspace import Workspace

STORE = "store"
CACHE = "cache"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `source` is the store that snapshots are in, `cache` the workspace that indexes and packages
    are in; `folder` is where this build works. Times in seconds, memory in bytes; see `smie.build` and
    `smie.otherwise`."""

    names: Sequence[str]
    kinds: Sequence[str]
    every: bool
    snapshot: str
    systems: str
    source: str
    cache: str
    folder: str
    later: float
    host: str
    backwards: bool
    jobs: int | None
    memory: int | None
    limit: float | None


def main(argv: Sequence[str]) -> int:
    """Build; the exit code."""
    request = Request(**json.loads(Path(argv[0]).read_text()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with once():
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
    limit = None if request.limit is None else timedelta(seconds=request.limit)
    other = Otherwise(timedelta(seconds=request.later), request.host, request.backwards)
    with clock(other, leftovers.identity("clock")) as shared:
        outcomes = build(
            open_store(f"file://{folder / STORE}"), recipes, Workspace(folder / CACHE), console.reporter(),
            jobs=request.jobs, memory=request.memory, limit=limit, other=shared,
        )  # fmt: skip
    if error := failure(outcomes):
        raise error
    console.json_result({"built": [outcome.recipe.title for outcome in outcomes if outcome.act == "built"]})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
