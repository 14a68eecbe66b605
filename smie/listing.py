"""The verb `list`: what can be built, and the newest artefact of each."""

from __future__ import annotations

from dataclasses import dataclass

from common.catalog import Catalog
from common.model import Artifact, Kind
from naust import listing
from naust.store.interface import Store


@dataclass(frozen=True, slots=True)
class Row:
    """A role or base with one kind of image; `newest` is None when it was never built."""

    name: str
    type: str  # service, endpoint, component, or base
    kind: Kind
    base: str
    summary: str
    newest: Artifact | None


def rows(catalog: Catalog, store: Store) -> tuple[Row, ...]:
    """One row for each kind of image that a base or role has; artefacts of neither are not shown."""
    newest: dict[tuple[Kind, str], Artifact] = {}
    for artifact in listing.artifacts(store):
        newest.setdefault((artifact.reference.kind, artifact.reference.name), artifact)
    bases = [
        Row(base.name, "base", Kind.CONTAINER, base.suite, base.summary, newest.get((Kind.CONTAINER, base.name)))
        for base in map(catalog.base, catalog.base_names())
    ]
    roles = [
        Row(role.name, role.type, Kind(image.kind), image.base, role.summary, newest.get((Kind(image.kind), role.name)))
        for role in catalog.roles()
        for image in role.images
    ]
    return (*bases, *roles)
