"""From names on the command line to recipes: what is asked for, and before it all that it stands on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from common.catalog import Catalog
from common.errors import BadInput
from common.model import Kind
from common.role import Role
from common.values import did_you_mean
from naust.store.interface import Store
from smie.index import ONLINE, open_index
from smie.origin import Origin
from smie.recipe import Recipe, base_recipe, image_of, role_recipe
from smie.workspace import Workspace

VARIABLE = "SMIE_SNAPSHOT"


def recipes_of(
    names: Iterable[str],
    catalog: Catalog,
    store: Store,
    workspace: Workspace,
    *,
    snapshot: str | None = None,
    refresh: bool = False,
) -> tuple[Recipe, ...]:
    """Recipes of these names, with packages as this snapshot of the store has them, else as the machine's mirror has.

    `snapshot` as `--snapshot` says it; None: as the environment says; '': none. Raises BadInput, NotFound, Corrupt.
    """
    text = asked(snapshot)
    if text and refresh:
        raise BadInput(
            "a snapshot stays as it is: --update cannot be used with one",
            details=f"The snapshot is {text}.",
            resolution="Leave out --update. For newer packages: naust mirror, naust snapshot, and build from that.",
        )
    origin: Origin = ONLINE
    if text:
        from smie.snapshot import opened  # brings in what reads snapshots, which others do not need

        origin = opened(store, workspace, text)
    return Recipes(catalog, workspace, refresh=refresh, origin=origin).of(names)


def asked(snapshot: str | None) -> str:
    """What the option says, else the environment; '' for none."""
    return os.environ.get(VARIABLE, "") if snapshot is None else snapshot


@dataclass(slots=True)
class Recipes:
    """Makes each recipe once. With `refresh`, indexes are fetched anew, each once."""

    catalog: Catalog
    workspace: Workspace
    kind: Kind = Kind.CONTAINER
    refresh: bool = False
    origin: Origin = ONLINE
    _made: dict[str, Recipe] = field(default_factory=dict)

    def of(self, names: Iterable[str]) -> tuple[Recipe, ...]:
        """Recipes of roles, bases or all that systems need, each after what it stands on. Raises BadInput."""
        for name in dict.fromkeys(names):
            for one in self._members(name):
                self._recipe(one, ())
        return tuple(self._made.values())

    def every(self) -> tuple[Recipe, ...]:
        """Recipes of all bases and of all roles that have an image of this kind."""
        roles = [role for role in self.catalog.roles() if any(image.kind == self.kind for image in role.images)]
        return self.of([*self.catalog.base_names(), *(role.name for role in roles)])

    def _members(self, name: str) -> Iterator[Role | str]:
        if name in self.catalog.systems():
            for group in self.catalog.system(name).groups:
                yield from (use.role for use in group.roles)
        elif name in self.catalog.role_names():
            yield self.catalog.role(name)
        elif name in self.catalog.base_names():
            yield name
        else:
            raise _unknown(name, self.catalog)

    def _recipe(self, one: Role | str, above: Sequence[str]) -> Recipe:
        name = one if isinstance(one, str) else one.name
        if name in above:
            raise BadInput(
                f"role {name} is built on itself: {' on '.join((*above, name))}",
                resolution="Name another base in one of them.",
            )
        if name not in self._made:
            made = self._base(name) if isinstance(one, str) else self._role(one, (*above, name))
            self._made[name] = made
        return self._made[name]

    def _base(self, name: str) -> Recipe:
        base = self.catalog.base(name)
        index = open_index(self.workspace, base.suite, base.components, origin=self.origin, refresh=self.refresh)
        return base_recipe(base, self.kind, index)

    def _role(self, role: Role, above: Sequence[str]) -> Recipe:
        below = image_of(role, self.kind).base
        parent = below if below in self.catalog.base_names() else self.catalog.role(below)
        return role_recipe(role, self.kind, self._recipe(parent, above))


def _unknown(name: str, catalog: Catalog) -> BadInput:
    known = (*catalog.role_names(), *catalog.systems(), *catalog.base_names())
    hint = did_you_mean(name, known, "roles, systems and bases")
    return BadInput(f"there is no role, system or base {name!r}", resolution=f"{hint[0].upper()}{hint[1:]}")
