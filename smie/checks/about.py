"""From a recipe to what its checks are told."""

from __future__ import annotations

from common.model import Kind
from common.role import Role
from smie.checks.facts import ImageFacts, RoleFacts
from smie.reach import reached
from smie.recipe import Recipe, roles_folder


def image_facts(recipe: Recipe, size: int, *, booted: bool = False) -> ImageFacts:
    """What is known of an artefact of this recipe that has so many bytes, and runs as a machine if `booted`."""
    roles = roles_of(recipe)
    packages = {package.name: package.version for package in recipe.installed}
    asked = {name for role in roles for name in role.packages} | set(recipe.base.packages)
    return ImageFacts(
        title=recipe.title,
        kind=str(recipe.kind),
        size=size,
        booted=booted,
        size_at_most=budget(recipe),
        setuid=tuple(sorted({*recipe.base.setuid, *(path for role in roles for path in role.setuid)})),
        packages=tuple(sorted(packages.items())),
        asked=tuple(sorted(asked)),
        roles=tuple(_role(role, packages) for role in roles),
    )


def roles_of(recipe: Recipe) -> tuple[Role, ...]:
    """All roles that are in it, those that others build on first."""
    every = [role for one in reversed(recipe.ancestors) for role in one.roles]
    return tuple({role.name: role for role in every}.values())


def budget(recipe: Recipe) -> int | None:
    """The most bytes that it may have, None if nobody says so."""
    if recipe.parent is None:
        return recipe.base.size_at_most
    blocks = [image for image in recipe.roles[-1].images if image.kind == recipe.kind]
    is_group = recipe.kind != Kind.CONTAINER and recipe.name != recipe.roles[-1].name
    return blocks[0].size_at_most if blocks and not is_group else None


def _role(role: Role, packages: dict[str, str]) -> RoleFacts:
    process = role.process
    version = role.software.partition("==")[2] or (packages.get(role.packages[0], "") if role.packages else "")
    return RoleFacts(
        name=role.name,
        folders=_folders(role),
        version=version,
        user=process.user if process else "",
        uid=process.uid if process else 0,
        groups=process.groups if process else (),
        capabilities=process.capabilities if process else (),
        programs=_programs(role),
    )


def _folders(role: Role) -> tuple[str, ...]:
    """The role's folder, then those of the roles that its install tasks include."""
    names = [role.name, *(file.path.partition("/")[0] for file in reached(roles_folder(role), role.name))]
    return tuple(str(roles_folder(role) / name) for name in dict.fromkeys(names))


def _programs(role: Role) -> tuple[str, ...]:
    """The first word of each command in the definition."""
    process = role.process
    own = (process.command, process.validate, process.reload) if process else ()
    kept = (
        role.status,
        role.backup,
        role.maintain,
        *((role.restore.prepare, role.restore.commit) if role.restore else ()),
    )
    commands = (*own, *kept, *(check.command for check in role.checks))
    return tuple(dict.fromkeys(command[0] for command in commands if command))
