"""Recipes of what machines run: a root file system with the roles of a group, or of one role, and the disk of it.

The roles' install tasks are those of their container images. A root file system stands on a base of kind rootfs; a disk
stands on the root file system of the same name, and is written with tools out of another base.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.model import Digest, Kind
from common.role import Role
from smie.packages import Package
from smie.recipe import Input, Recipe, fingerprint_of, package_input, resolved, said_by, setting, version_of

DISK_FORMAT = 1  # of disks; another number writes them all anew
DISK = 4 << 30  # bytes, where no image block says another size


def rootfs_recipe(
    name: str, roles: Sequence[Role], parent: Recipe, *, version: str = "", tools: Recipe | None = None
) -> Recipe:
    """A root file system with these roles, each after what it builds on. `version`: else that of the last role. With
    `tools` it is installed in a machine that runs, from a disk that these write.

    Raises BadInput for packages that the suite does not have.
    """
    wanted = tuple(dict.fromkeys(package for role in roles for package in role.packages))
    whose = " and ".join(f"role {role.name}" for role in roles if role.packages)
    packages = resolved(parent.index, wanted, parent.installed, whose) if wanted else ()
    inputs = (*_inputs(roles, parent, packages), *(_booted(tools) if tools else ()))
    return Recipe(
        Kind.ROOTFS, name, version or version_of(roles[-1], parent, packages), parent.base, tuple(roles), parent, None,
        packages, inputs, parent.index, fingerprint_of(Kind.ROOTFS, inputs), tools,
    )  # fmt: skip


def vm_recipe(rootfs: Recipe, tools: Recipe, size: int) -> Recipe:
    """A disk of this size, in bytes, with this root file system."""
    inputs = (
        Input("base", str(Kind.ROOTFS), rootfs.version, rootfs.fingerprint),
        Input("base", tools.name, tools.version, tools.fingerprint),
        setting("disk", [DISK_FORMAT, size]),
    )
    return Recipe(
        Kind.VM, rootfs.name, rootfs.version, rootfs.base, rootfs.roles, rootfs, None, (), inputs, rootfs.index,
        fingerprint_of(Kind.VM, inputs), tools, size,
    )  # fmt: skip


def _booted(tools: Recipe) -> tuple[Input, ...]:
    return setting("build", "booted"), Input("base", tools.name, tools.version, tools.fingerprint)


def _inputs(roles: Sequence[Role], parent: Recipe, packages: Sequence[Package]) -> Iterator[Input]:
    yield Input("base", parent.name, parent.version, parent.fingerprint)
    yield from map(package_input, packages)
    seen: dict[tuple[str, Digest], None] = {}
    for role in roles:
        for each in said_by(role, role.name):
            if (each.title, each.digest) not in seen:  # roles reach files of the same other role
                seen[each.title, each.digest] = None
                yield each
