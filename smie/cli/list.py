"""smie list."""

from __future__ import annotations

from common import console
from common.cli import Json, Store, Systems


def list_(
    json: Json = False,
    systems: Systems = None,
    store: Store = None,
) -> None:
    """List roles and bases, their kinds of image, and the newest artefact of each.

    Exit codes: 0 listed, 2 bad input.
    """
    from common.catalog import Catalog
    from naust.store import open_store
    from smie.listing import rows

    found = rows(Catalog.open(systems), open_store(store))
    if json:
        console.json_result(found)
        return
    cells = [
        (row.name, row.type, row.kind, row.base, row.newest.reference.tag if row.newest else "never built", row.summary)
        for row in found
    ]
    console.table(("name", "type", "kind", "on", "newest", "summary"), cells)
