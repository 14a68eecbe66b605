"""The verb `new`: a role, a base or a system that works, to go on from. Nothing that is there is written over."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.catalog import Catalog
from common.errors import BadInput, Conflict
from common.files import write_atomically
from common.role import Parameter, Role, RoleType
from common.specs import generated_for
from common.values import did_you_mean
from smie import first_system, skeleton
from smie.skeleton import Wish
from smie.software import found
from smie.workspace import Workspace

NOUNS = ("role", "base", "system")
# It becomes a user (adduser(8), at most 32 letters), a folder, an image and, with _ for -, the start of variables.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 31
FIRST_UID, LAST_UID = 950, 989  # Debian's packages take theirs from 100 up, or from 999 down
FIRST_PORT = 8100


def new_role(
    catalog: Catalog,
    workspace: Workspace,
    name: str,
    *,
    type: str = RoleType.SERVICE,
    package: str = "",
    software: str = "",
) -> tuple[Path, ...]:
    """Write a role; the files. Raises BadInput, Conflict, Unavailable (the software cannot be fetched)."""
    folder = _free(catalog, catalog.folder / "roles" / name, name)
    if type not in set(RoleType):
        raise BadInput(f"{type!r} is no type of role", resolution=f"Types are: {', '.join(RoleType)}.")
    if package and not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package):  # Debian Policy 5.6.1
        raise BadInput(f"{package!r} is no name of a Debian package", resolution="Write it as apt does, like bird2.")
    sha256, programs = found(workspace, software) if software else ("", ())
    roles = catalog.roles()
    wish = Wish(name, RoleType(type), package, software, sha256, programs, _free_uid(roles), _free_port(roles))
    try:
        written = _write(folder, skeleton.role(wish))
        generated = generated_for(catalog.role(name))
        for path, text in generated.items():
            write_atomically(path, text)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return tuple(sorted((*written, *generated)))


def new_base(catalog: Catalog, name: str) -> tuple[Path, ...]:
    """Write a base; the file. Raises BadInput, Conflict."""
    path = _free(catalog, catalog.folder / "bases" / f"{name}.hcl", name)
    write_atomically(path, skeleton.base(name))
    return (path,)


def new_system(catalog: Catalog, name: str, roles: Sequence[str]) -> tuple[Path, ...]:
    """Write a system of these roles, with those that they need, and a target; the files. Raises BadInput, Conflict."""
    folder = _free(catalog, catalog.folder / name, name)
    if not roles:
        raise BadInput("a system has roles", resolution="Name them: smie new system NAME --role ROLE.")
    ordered: dict[str, Sequence[Parameter]] = {}
    for each in roles:
        _after_needs(catalog, each, ordered)
    try:
        written = _write(folder, first_system.system(name, tuple(ordered.items())))
        catalog.definition(name, "container")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return written


def _after_needs(catalog: Catalog, name: str, ordered: dict[str, Sequence[Parameter]]) -> None:
    role = catalog.role(name)
    for need in role.needs:
        _after_needs(catalog, need, ordered)
    ordered[name] = tuple(each for each in role.parameters if each.default is None)


def _free(catalog: Catalog, path: Path, name: str) -> Path:
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise BadInput(
            f"{name!r} cannot be a name",
            resolution=f"Write small letters, digits and single hyphens, a letter first, {LONGEST} in all: my-service.",
        )
    taken = {*catalog.role_names(), *catalog.base_names(), *catalog.systems()}
    if path.exists() or name in taken:
        where = catalog.shown(path) if path.exists() else "the definitions"
        raise Conflict(f"there is a {name} in {where}", resolution="Nothing was written. Take another name.")
    return path


def _write(folder: Path, files: Mapping[str, str]) -> tuple[Path, ...]:
    for name, text in files.items():
        # A program is tried out where it lies; in the image its mode is that of the task.
        write_atomically(folder / name, text, 0o755 if text.startswith("#!") else 0o644)
    return tuple(folder / name for name in files)


def _free_uid(roles: Sequence[Role]) -> int:
    taken = {role.process.uid for role in roles if role.process}
    free = next((uid for uid in range(FIRST_UID, LAST_UID + 1) if uid not in taken), 0)
    if not free:
        raise BadInput(
            f"no number of a user is free from {FIRST_UID} to {LAST_UID}", resolution="Let roles share a user."
        )
    return free


def _free_port(roles: Sequence[Role]) -> int:
    taken = {port for role in roles if role.process for port in role.process.listens} | {r.metrics for r in roles}
    return next(port for port in range(FIRST_PORT, 65536) if port not in taken)


def noun(word: str) -> str:
    """The word, if it is something that can be new. Raises BadInput."""
    if word not in NOUNS:
        hint = did_you_mean(word, NOUNS, "nouns")
        raise BadInput(f"there is nothing new called {word!r}", resolution=f"{hint[0].upper()}{hint[1:]}")
    return word
