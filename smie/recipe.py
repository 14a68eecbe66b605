"""What an artefact is made from, and the fingerprint by which a build that was done already is recognised.

A fingerprint is the digest of a recipe's inputs and of nothing else, and the inputs are recorded with the artefact: so
whenever a fingerprint differs, the difference can be told in words. Templates, parameters and checks are not inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from common.errors import BadInput
from common.model import Digest, Kind
from common.role import Base, Image, Process, Role
from smie.index import Index
from smie.overlay import described
from smie.packages import Package
from smie.reach import reached

FORMAT = 2  # of recipes; another number builds everything anew
# A Debian system is these; without the last apt cannot install anything into it.
DEBIAN = ("?essential", "?priority(required)", "apt")
PARTS = ("base", "package", "software", "file", "process", "image", "setting")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that an artefact is made from. `part` is one of PARTS."""

    part: str
    name: str
    version: str
    digest: Digest

    @property
    def title(self) -> str:
        """How people call it: `package openssl`."""
        return f"{self.part} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one artefact is made: `packages` are put on `parent`, or make the base when there is no parent.

    `index` is the snapshot that the packages come from. `image` is the role's, absent for a base.
    """

    kind: Kind
    name: str
    version: str
    base: Base
    roles: tuple[Role, ...]
    parent: Recipe | None
    image: Image | None
    packages: tuple[Package, ...]
    inputs: tuple[Input, ...]
    index: Index
    fingerprint: Digest
    # Of a disk: what it is written with. Of a root file system: what the disk that it is installed on is written with.
    tools: Recipe | None = None
    disk: int = 0  # of a disk: its size in bytes

    @property
    def needs(self) -> tuple[Recipe, ...]:
        """What has to be there before it can be made."""
        return tuple(recipe for recipe in (self.parent, self.tools) if recipe is not None)

    @property
    def installed(self) -> tuple[Package, ...]:
        """All packages that are in it at the end, those of its parents too."""
        return (*(self.parent.installed if self.parent else ()), *self.packages)

    @property
    def ancestors(self) -> tuple[Recipe, ...]:
        """Itself, its parent and so on, down to the base."""
        return (self, *(self.parent.ancestors if self.parent else ()))

    @property
    def is_booted(self) -> bool:
        """Whether its roles are installed in a machine that runs."""
        return self.kind == Kind.ROOTFS and self.tools is not None

    @property
    def title(self) -> str:
        """`container/traefik`."""
        return f"{self.kind}/{self.name}"


def fingerprint_of(kind: Kind, inputs: Sequence[Input]) -> Digest:
    """The digest over format, kind and all inputs; their order does not matter."""
    parts = sorted((part.part, part.name, part.version, str(part.digest)) for part in inputs)
    return Digest.of(json.dumps([FORMAT, kind, parts]).encode())


def base_recipe(base: Base, kind: Kind, index: Index) -> Recipe:
    """The recipe of a base image. Raises BadInput for a package that the suite does not have."""
    packages = resolved(index, (*DEBIAN, *base.packages), (), f"base {base.name}")
    inputs = (
        setting("suite", [base.suite, *base.components]),
        setting("setuid", sorted(base.setuid)),
        *map(package_input, packages),
        *(Input("file", f"bases/{base.name}/{name}", mode, digest) for name, mode, digest in described(base)),
    )
    return Recipe(
        kind, base.name, index.version, base, (), None, None, packages, inputs, index, fingerprint_of(kind, inputs)
    )


def role_recipe(role: Role, kind: Kind, parent: Recipe) -> Recipe:
    """The recipe of one role on its parent. Raises BadInput, BadDefinition."""
    image = image_of(role, kind)
    packages = resolved(parent.index, role.packages, parent.installed, f"role {role.name}")
    inputs = tuple(_role_inputs(role, image, parent, packages))
    return Recipe(
        kind, role.name, version_of(role, parent, packages), parent.base, (role,), parent, image, packages, inputs,
        parent.index, fingerprint_of(kind, inputs),
    )  # fmt: skip


def resolved(index: Index, wanted: Sequence[str], installed: Sequence[Package], whose: str) -> tuple[Package, ...]:
    """The packages that `whose` definition asks for, with all that they need. Raises BadInput, which names it."""
    try:
        return index.resolve(wanted, installed)
    except BadInput as error:
        raise BadInput(f"{whose}: {error.message}", details=error.details, resolution=error.resolution) from error


def image_of(role: Role, kind: Kind) -> Image:
    """The role's image block of a kind. Raises BadInput."""
    for image in role.images:
        if image.kind == kind:
            return image
    raise BadInput(
        f"role {role.name} has no {kind} image",
        resolution=f'Add image "{kind}" {{ base = "debian-13" }} to {role.folder / "role.hcl"}.',
    )


def _role_inputs(role: Role, image: Image, parent: Recipe, packages: Sequence[Package]) -> Iterator[Input]:
    yield Input("base", parent.name, parent.version, parent.fingerprint)
    yield from map(package_input, packages)
    yield from said_by(role)
    yield Input("image", "", "", Digest.of(_canonical({**_said(image), "base": ""})))


def said_by(role: Role, name: str = "") -> Iterator[Input]:
    """What a role itself says about installing it; `name` tells it from other roles of the same artefact."""
    yield setting(f"packages {name}".rstrip(), role.packages)
    if role.software:
        _, _, version = role.software.partition("==")
        yield Input(
            "software", role.software.partition("==")[0], version, Digest.parse(f"sha256:{role.software_sha256}")
        )
    for file in reached(roles_folder(role), role.name):
        yield Input("file", f"roles/{file.path}", file.mode, file.digest)
    if role.process:
        yield Input("process", name, "", Digest.of(_canonical(_plain_process(role.process))))


def roles_folder(role: Role) -> Path:
    """Where this role and the roles that it includes are."""
    return role.folder.parent


def package_input(package: Package) -> Input:
    """A package as an input."""
    return Input("package", package.name, package.version, Digest("sha256", package.sha256))


def setting(name: str, value: object) -> Input:
    """Something that definitions say, as an input."""
    return Input("setting", name, "", Digest.of(_canonical(value)))


def _plain_process(process: Process) -> Mapping[str, object]:
    # Nothing in an image knows its weight.
    said = {name: value for name, value in _said(process).items() if name != "cpu_weight"}
    return said | {"stop_within": process.stop_within.total_seconds()}


def _said(block: Process | Image) -> dict[str, object]:
    """What a block says, without where it is written: the same definitions in another folder make the same."""
    return {each.name: getattr(block, each.name) for each in fields(block) if each.compare}


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def version_of(role: Role, parent: Recipe, packages: Sequence[Package]) -> str:
    """The software's version, else the first package's, else that of what it stands on."""
    if role.software:
        return role.software.partition("==")[2]
    versions = {package.name: package.version for package in (*parent.installed, *packages)}
    return versions.get(role.packages[0], parent.version) if role.packages else parent.version
