"""From names on the command line to recipes: what is asked for, and before it all that it stands on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.catalog import Catalog
from common.errors import BadInput
from common.model import Kind
from common.role import Image, Role
from common.system import Group
from common.values import did_you_mean
from naust.store.interface import Store
from smie.chains import Tree, tree_of_group, tree_of_role
from smie.host import rootfs_recipe, vm_recipe
from smie.index import ONLINE, open_index
from smie.origin import Origin
from smie.recipe import Recipe, base_recipe, image_of, role_recipe
from smie.workspace import Workspace

VARIABLE = "SMIE_SNAPSHOT"
KINDS = (Kind.CONTAINER, Kind.ROOTFS, Kind.VM)  # in the order in which they stand on each other
TOOLS = "disk-tools"  # the base that disks are written with
Key = tuple[Kind, str]


def kinds_of(text: str | None) -> tuple[Kind, ...]:
    """The kinds that `--kind` names, separated by commas; none for None. Raises BadInput."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if wrong := [name for name in names if name not in KINDS]:
        hint = did_you_mean(wrong[0], KINDS, "kinds")
        raise BadInput(f"smie does not build the kind {wrong[0]!r}", resolution=f"{hint[0].upper()}{hint[1:]}")
    return tuple(kind for kind in KINDS if kind in names)


def recipes_of(
    names: Iterable[str],
    catalog: Catalog,
    store: Store,
    workspace: Workspace,
    *,
    kinds: Sequence[Kind] = (),
    every: bool = False,
    snapshot: str | None = None,
    refresh: bool = False,
) -> tuple[Recipe, ...]:
    """Recipes of these names, with packages as this snapshot of the store has them, else as the machine's mirror has.

    Without `kinds` those that the definitions declare; `every` is all that they declare. `snapshot` as `--snapshot`
    says it; None: as the environment says; '': none. Raises BadInput, NotFound, Corrupt.
    """
    text, names = asked(snapshot), tuple(names)
    if text and refresh:
        raise BadInput(
            "a snapshot stays as it is: --update cannot be used with one",
            details=f"The snapshot is {text}.",
            resolution="Leave out --update. For newer packages: naust mirror, naust snapshot, and build from that.",
        )
    if bool(names) == every:
        raise BadInput(
            "it is not said what is meant", resolution="Name roles, bases, systems or SYSTEM.GROUP, or say --all."
        )
    origin: Origin = ONLINE
    if text:
        from smie.snapshot import opened  # brings in what reads snapshots, which others do not need

        origin = opened(store, workspace, text)
    recipes = Recipes(catalog, workspace, refresh=refresh, origin=origin)
    return recipes.every(kinds) if every else recipes.of(names, kinds)


def tools_for(
    recipes: Sequence[Recipe], catalog: Catalog, store: Store, workspace: Workspace, *, snapshot: str | None = None
) -> Recipe | None:
    """The recipe of what disks are written with, if a root file system of roles is among these. Raises as `recipes_of`
    does."""
    if not any(recipe.kind == Kind.ROOTFS and recipe.roles for recipe in recipes):
        return None
    return recipes_of((TOOLS,), catalog, store, workspace, snapshot=snapshot)[0]


def asked(snapshot: str | None) -> str:
    """What the option says, else the environment; '' for none."""
    return os.environ.get(VARIABLE, "") if snapshot is None else snapshot


@dataclass(slots=True)
class Recipes:
    """Makes each recipe once. With `refresh`, indexes are fetched anew, each once."""

    catalog: Catalog
    workspace: Workspace
    refresh: bool = False
    origin: Origin = ONLINE
    _made: dict[Key, Recipe] = field(default_factory=dict)

    def of(self, names: Iterable[str], kinds: Sequence[Kind] = ()) -> tuple[Recipe, ...]:
        """Recipes of roles, bases, groups or all that systems need, each after what it stands on. Raises BadInput."""
        for name in dict.fromkeys(names):
            self._named(name, tuple(kinds))
        return tuple(self._made.values())

    def every(self, kinds: Sequence[Kind] = ()) -> tuple[Recipe, ...]:
        """Recipes of all bases, and of all that roles and groups declare. Raises BadInput."""
        for base in map(self.catalog.base, self.catalog.base_names()):
            if Kind(base.kind) in (kinds or KINDS):
                self._base(base.name)
        for role in self.catalog.roles():
            for kind in _declared(role.images, kinds):
                self._role(kind, role)
        for name in self.catalog.systems():
            for group in self.catalog.system(name).groups:
                for kind in _declared(group.images, kinds):
                    self._group(kind, name, group)
        return tuple(self._made.values())

    def _named(self, name: str, kinds: tuple[Kind, ...]) -> None:
        system, _, group = name.partition(".")
        if name in self.catalog.systems():
            self._system(name, kinds)
        elif name in self.catalog.role_names():
            role = self.catalog.role(name)
            for kind in kinds or _declared(role.images, ()) or (Kind.CONTAINER,):
                self._role(kind, role)
        elif name in self.catalog.base_names():
            self._only(name, kinds)
        elif group and system in self.catalog.systems():
            found = _group(self.catalog, system, group)
            for kind in kinds or _declared(found.images, ()) or (Kind.ROOTFS, Kind.VM):
                self._group(kind, system, found)
        else:
            raise _unknown(name, self.catalog)

    def _only(self, name: str, kinds: tuple[Kind, ...]) -> None:
        made = self._base(name)
        if kinds and made.kind not in kinds:
            other = f" Its variant for machines is {made.base.host}." if made.base.host else ""
            raise BadInput(f"base {name} is of kind {made.kind}", resolution=f"Leave --kind out.{other}")

    def _system(self, name: str, kinds: tuple[Kind, ...]) -> None:
        """The container image of each role, and what the groups declare; of kinds that are asked for, all groups'."""
        for group in self.catalog.system(name).groups:
            for kind in kinds or (Kind.CONTAINER, *_declared(group.images, ())):
                self._group(kind, name, group)

    def _group(self, kind: Kind, system: str, group: Group) -> None:
        if kind == Kind.CONTAINER:
            for use in group.roles:
                self._role(kind, use.role)
            return
        self._machine(kind, tree_of_group(self.catalog, system, group))

    def _role(self, kind: Kind, role: Role, above: Sequence[str] = ()) -> Recipe:
        if kind != Kind.CONTAINER:
            return self._machine(kind, tree_of_role(self.catalog, role))
        if role.name in above:
            raise BadInput(
                f"role {role.name} is built on itself: {' on '.join((*above, role.name))}",
                resolution="Name another base in one of them.",
            )
        if (kind, role.name) not in self._made:
            below = image_of(role, kind).base
            if below in self.catalog.base_names():
                parent = self._base(below)
            else:
                parent = self._role(kind, self.catalog.role(below), (*above, role.name))
            self._made[kind, role.name] = role_recipe(role, kind, parent)
        return self._made[kind, role.name]

    def _machine(self, kind: Kind, tree: Tree) -> Recipe:
        if (Kind.ROOTFS, tree.name) not in self._made:
            parent = self._base(tree.base)
            version = parent.version if tree.is_group else ""
            tools = self._tools() if tree.is_booted else None
            made = rootfs_recipe(tree.name, tree.roles, parent, version=version, tools=tools)
            self._made[Kind.ROOTFS, tree.name] = made
        rootfs = self._made[Kind.ROOTFS, tree.name]
        if kind == Kind.ROOTFS:
            return rootfs
        if (kind, tree.name) not in self._made:
            self._made[kind, tree.name] = vm_recipe(rootfs, self._tools(), tree.disk)
        return self._made[kind, tree.name]

    def _tools(self) -> Recipe:
        if TOOLS not in self.catalog.base_names():
            raise BadInput(
                f"there is no base {TOOLS}, which disks are written with",
                resolution=f"Copy bases/{TOOLS}.hcl from the definitions that come with smie to {self.catalog.folder}.",
            )
        return self._base(TOOLS)

    def _base(self, name: str) -> Recipe:
        base = self.catalog.base(name)
        key = Kind(base.kind), name
        if key not in self._made:
            index = open_index(self.workspace, base.suite, base.components, origin=self.origin, refresh=self.refresh)
            self._made[key] = base_recipe(base, Kind(base.kind), index)
        return self._made[key]


def _declared(images: Sequence[Image], kinds: Sequence[Kind]) -> tuple[Kind, ...]:
    found = {Kind(image.kind) for image in images}
    return tuple(kind for kind in KINDS if kind in found and (not kinds or kind in kinds))


def _group(catalog: Catalog, system: str, name: str) -> Group:
    groups = {group.name: group for group in catalog.system(system).groups}
    if name not in groups:
        hint = did_you_mean(name, tuple(groups), "groups")
        raise BadInput(f"system {system} has no group {name!r}", resolution=f"{hint[0].upper()}{hint[1:]}")
    return groups[name]


def _unknown(name: str, catalog: Catalog) -> BadInput:
    known = [*catalog.role_names(), *catalog.systems(), *catalog.base_names()]
    if "." in name:
        systems = map(catalog.system, catalog.systems())
        known += [f"{system.name}.{group.name}" for system in systems for group in system.groups]
    hint = did_you_mean(name, known, "roles, systems, groups of systems and bases")
    return BadInput(f"there is no role, system or base {name!r}", resolution=f"{hint[0].upper()}{hint[1:]}")
