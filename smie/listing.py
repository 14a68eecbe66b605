"""The verb `list`: what can be built, and the newest artefact of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.catalog import Catalog
from common.model import Artifact, Kind
from naust import listing
from naust.store.interface import Store

Newest = dict[tuple[Kind, str], Artifact]


@dataclass(frozen=True, slots=True)
class Row:
    """A role, group or base with one kind of image; `newest` is None when it was never built."""

    name: str
    type: str  # service, endpoint, component, group, or base
    kind: Kind
    base: str
    summary: str
    newest: Artifact | None


def rows(catalog: Catalog, store: Store) -> tuple[Row, ...]:
    """One row for each kind of image that a base, role or group has: what is declared, and what was built besides."""
    newest: Newest = {}
    for artifact in listing.artifacts(store):
        newest.setdefault((artifact.reference.kind, artifact.reference.name), artifact)
    return (*_bases(catalog, newest), *_roles(catalog, newest), *_groups(catalog, newest))


def _bases(catalog: Catalog, newest: Newest) -> Iterator[Row]:
    for base in map(catalog.base, catalog.base_names()):
        kind = Kind(base.kind)
        yield Row(base.name, "base", kind, base.suite, base.summary, newest.get((kind, base.name)))


def _roles(catalog: Catalog, newest: Newest) -> Iterator[Row]:
    for role in catalog.roles():
        said = {Kind(image.kind): image.base for image in role.images}
        for kind, base in _with_built(role.name, said, newest).items():
            yield Row(role.name, role.type, kind, base, role.summary, newest.get((kind, role.name)))


def _groups(catalog: Catalog, newest: Newest) -> Iterator[Row]:
    for system in map(catalog.system, catalog.systems()):
        for group in system.groups:
            name = f"{system.name}.{group.name}"
            said = {Kind(image.kind): image.base for image in group.images}
            for kind, base in _with_built(name, said, newest).items():
                yield Row(name, "group", kind, base, group.summary, newest.get((kind, name)))


def _with_built(name: str, said: dict[Kind, str], newest: Newest) -> dict[Kind, str]:
    """Machines need no block: what was made for them is shown with the base left open."""
    return {kind: "" for kind in (Kind.ROOTFS, Kind.VM) if (kind, name) in newest} | said
