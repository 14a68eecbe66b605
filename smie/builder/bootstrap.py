"""The file system of a base image, made by mmdebstrap from the packages of its recipe and nothing else."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from common.errors import Corrupt
from common.files import file_digest
from common.run import CommandFailed, environment, run
from naust.manifest import Blob
from smie.builder.interface import Work
from smie.isolation import fits_in_memory, private
from smie.normal import file, normalise
from smie.packages import Package, installed
from smie.packer import BuildFailed
from smie.recipe import Recipe
from smie.repository import write_for_bootstrap

LIMIT = timedelta(minutes=20)
STATUS = "var/lib/dpkg/status"
UNPACKED = 5  # times as large as the packages, which lie beside it meanwhile: about so much is a tree

# Debian's scripts ask this before they start anything (invoke-rc.d(8)); 101 is "no". A container has no init to ask.
POLICY = "#!/bin/sh\n# Made by smie: nothing starts by being installed.\nexit 101\n"
SOURCES = "# Packages come with the image: smie builds a new one. For your own use, name a Debian mirror here.\n"


def argv(
    recipe: Recipe, tarball: Path, sources: Path, hooks: Sequence[str] = (), *, memory: Path | None = None
) -> tuple[str, ...]:
    """mmdebstrap's command. What its packages run has no network, and what it mounts nobody sees. `hooks` are options
    of it; `memory` is a folder for its tree that is to be in memory."""
    include = ",".join(recipe.base.packages)
    return private(
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", "--format=tar",
        '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io", *hooks,
        recipe.base.suite, str(tarball), str(sources), memory=memory,
    )  # fmt: skip


def root_layer(
    recipe: Recipe, work: Work, extra: Iterable[tuple[tarfile.TarInfo, bytes]] = (), *, hooks: Sequence[str] = ()
) -> Blob:
    """The root file system as one normalised layer, with `extra` entries. Raises Corrupt, BuildFailed, Missing."""
    tarball, sources, scratch = (work.folder / name for name in ("root.tar", "sources.list", "tmp"))
    sources.write_text(write_for_bootstrap(recipe, work.folder / "repository") + "\n")
    scratch.mkdir(exist_ok=True)
    epoch = int(recipe.index.date.timestamp())
    env = environment({"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"})
    size = UNPACKED * sum(package.size for package in recipe.packages)
    command = argv(recipe, tarball, sources, hooks, memory=scratch if fits_in_memory(size) else None)
    try:
        run(command, env=env, on_line=work.log.take_plain, timeout=LIMIT, halt=work.halt)
    except CommandFailed as error:
        raise BuildFailed(recipe.title, work.log) from error
    path = work.folder / "layer.tar"
    own = (file("etc/apt/sources.list", SOURCES, epoch),)
    with tarball.open("rb") as source, path.open("wb") as target:
        seen = normalise(source, target, epoch, added=(*own, *extra), watched={STATUS})
    tarball.unlink()
    check(recipe, seen)
    return Blob(file_digest(path), path.stat().st_size, path=path)


def containers_own(epoch: int) -> tuple[tuple[tarfile.TarInfo, bytes], ...]:
    """No machine id, and what keeps services from being started in a container."""
    return file("etc/machine-id", "", epoch, 0o444), file("usr/sbin/policy-rc.d", POLICY, epoch, 0o755)


def check(recipe: Recipe, seen: dict[str, bytes]) -> None:
    """Raise Corrupt unless the packages that dpkg lists are those of the recipe."""
    if STATUS not in seen and not recipe.packages:
        return
    there = installed(seen.get(STATUS, b"").decode())
    wanted = {_key(package) for package in recipe.installed}
    if wrong := sorted(there ^ wanted):
        raise Corrupt(
            f"{recipe.title} came out with other packages than its recipe's",
            details="\n".join(
                ("in the image: " if key in there else "in the recipe: ") + " ".join(key) for key in wrong
            ),
            resolution="Does a role install or remove packages by itself? Name them in `packages` of role.hcl.",
        )


def _key(package: Package) -> tuple[str, str, str]:
    return package.name, package.version, package.architecture
