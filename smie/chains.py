"""What becomes one root file system for machines: which roles, in which order, on which base.

A role needs no block for that. What its container image stands on says it: of a role that stands on roles, the whole
chain; at the end of the chain a base, which names its variant for machines. A group is the chains of its roles, each
role once. An `image "rootfs"` or `image "vm"` block names another base; both are made from one tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.catalog import Catalog
from common.errors import BadInput
from common.model import Kind
from common.role import Image, Role
from common.system import Group
from smie.host import DISK

MACHINES = (Kind.ROOTFS, Kind.VM)


@dataclass(frozen=True, slots=True)
class Tree:
    """Roles, in order, on a base of kind rootfs, and how large their disk is in bytes. What `is_booted` is installed in
    a machine that runs."""

    name: str
    base: str
    roles: tuple[Role, ...]
    disk: int
    is_group: bool = False
    is_booted: bool = False


def tree_of_role(catalog: Catalog, role: Role) -> Tree:
    """The tree of one role. Raises BadInput, BadDefinition."""
    base, roles = _chain(catalog, role, ())
    booted = any(needs_boot(each.images) for each in roles)
    return Tree(role.name, base, roles, _disk(role.images), is_booted=booted)


def tree_of_group(catalog: Catalog, system: str, group: Group) -> Tree:
    """The tree of a group, `SYSTEM.GROUP`. Raises BadInput, BadDefinition."""
    name = f"{system}.{group.name}"
    chains = [_chain(catalog, use.role, ()) for use in group.roles]
    roles = {role.name: role for _, chain in chains for role in chain}
    bases = {base: use.role.name for (base, _), use in zip(chains, group.roles, strict=True)}
    if (block := block_of(group.images)) is not None:
        base, below = _below(catalog, block.base, name, ())
        roles = {role.name: role for role in below} | roles
    elif len(bases) == 1:
        base = next(iter(bases))
    else:
        raise BadInput(
            f"the roles of {name} stand on different bases",
            details="\n".join(f"{base}: {role} and others" for base, role in bases.items()),
            resolution=f'Name one in {group.place}: image "rootfs" {{ base = "…" }}.',
        )
    booted = needs_boot(group.images) or any(needs_boot(role.images) for role in roles.values())
    return Tree(name, base, tuple(roles.values()), _disk(group.images), is_group=True, is_booted=booted)


def block_of(images: Sequence[Image]) -> Image | None:
    """The block that says what machines are made of; rootfs and vm have the same base."""
    return next((image for image in images if image.kind in MACHINES), None)


def needs_boot(images: Sequence[Image]) -> bool:
    """Whether a block says that install tasks need a machine that runs."""
    return any(image.build == "booted" for image in images)


def _disk(images: Sequence[Image]) -> int:
    return next((image.disk for image in images if image.kind == Kind.VM and image.disk), DISK)


def _chain(catalog: Catalog, role: Role, above: Sequence[str]) -> tuple[str, tuple[Role, ...]]:
    """The base, and the roles down to it, the lowest first."""
    if role.name in above:
        raise BadInput(
            f"role {role.name} is built on itself: {' on '.join((*above, role.name))}",
            resolution="Name another base in one of them.",
        )
    block = block_of(role.images) or next(iter(role.images), None)
    if block is None:
        raise BadInput(
            f"role {role.name} does not say what it stands on",
            resolution=f'Add image "rootfs" {{ base = "debian-13-host" }} to {role.folder / "role.hcl"}.',
        )
    base, below = _below(catalog, block.base, role.name, (*above, role.name))
    return base, (*below, role)


def _below(catalog: Catalog, name: str, subject: str, above: Sequence[str]) -> tuple[str, tuple[Role, ...]]:
    """What a name in a block stands for: the base for machines, and the roles of a chain on it."""
    if name not in catalog.base_names():
        return _chain(catalog, catalog.role(name), above)
    base = catalog.base(name)
    if base.kind == Kind.ROOTFS:
        return name, ()
    if not base.host:
        raise BadInput(
            f"{subject} cannot be made for machines: its base {name} is for containers and names no other",
            resolution=f'Add host = "…" to {base.file}, or image "rootfs" {{ base = "…" }} to {subject}.',
        )
    return base.host, ()
