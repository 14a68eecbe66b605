"""The file system of a base image, made by mmdebstrap from the packages of its recipe and nothing else."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.errors import Corrupt
from common.files import file_digest
from common.run import CommandFailed, TimedOut, run
from naust.manifest import Blob
from smie import otherwise
from smie.builder.interface import Work
from smie.failed import BuildFailed, TookTooLong
from smie.isolation import cut_off, fits_in_memory, private
from smie.normal import file, normalise
from smie.otherwise import Otherwise
from smie.packages import Package, installed
from smie.recipe import Recipe
from smie.repository import write_for_bootstrap

STATUS = "var/lib/dpkg/status"
UNPACKED = 5  # times as large as the packages, which lie beside it meanwhile: about so much is a tree

# Debian's scripts ask this before they start anything (invoke-rc.d(8)); 101 is "no". A container has no init to ask.
POLICY = "#!/bin/sh\n# Made by smie: nothing starts by being installed.\nexit 101\n"
# What nobody reads on a server (dpkg(1), --path-exclude); licences stay, and C.UTF-8 is not among these.
LEFT_OUT = ("/usr/share/doc/*/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
KEPT = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")
FILTERS = (*(f"path-exclude={path}" for path in LEFT_OUT), *(f"path-include={path}" for path in KEPT))
# dpkg remembers it, so a newer package does not bring it back (dpkg-statoverride(1)).
PLAIN = """\
find "$1" -xdev -type f -perm /6000 -printf '/%P\\n' | sort | while read -r path; do
  case " ALLOWED " in *" $path "*) continue;; esac
  chroot "$1" dpkg-statoverride --force-statoverride-add --update --add root root 0755 "$path" || exit 1
done"""
SOURCES = "# Packages come with the image: smie builds a new one. For your own use, name a Debian mirror here.\n"


def argv(
    recipe: Recipe,
    tarball: Path,
    sources: Path,
    hooks: Sequence[str] = (),
    *,
    memory: Path | None = None,
    other: Otherwise | None = None,
) -> tuple[str, ...]:
    """mmdebstrap's command. What its packages run has no network, and what it mounts nobody sees. `hooks` are options
    of it; `memory` is a folder for its tree that is to be in memory; `other`: see `smie.otherwise`."""
    include = ",".join(recipe.base.packages)
    begins, ends = otherwise.hooks(other)
    command = (
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", "--format=tar",
        '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt={line}" for line in FILTERS), *begins, *hooks, f"--customize-hook={plain(recipe.base.setuid)}",
        *ends, recipe.base.suite, str(tarball), str(sources),
    )  # fmt: skip
    return private(*otherwise.around(other, *command), memory=memory)


def root_layer(
    recipe: Recipe, work: Work, extra: Iterable[tuple[tarfile.TarInfo, bytes]] = (), *, hooks: Sequence[str] = ()
) -> Blob:
    """The root file system as one normalised layer, with `extra` entries. Raises Corrupt, BuildFailed, TookTooLong,
    Missing."""
    tarball, sources, scratch = (work.folder / name for name in ("root.tar", "sources.list", "tmp"))
    sources.write_text(write_for_bootstrap(recipe, work.folder / "repository") + "\n")
    scratch.mkdir(exist_ok=True)
    epoch = int(recipe.index.date.timestamp())
    env = cut_off({"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"})
    size = UNPACKED * sum(package.size for package in recipe.packages)
    memory = scratch if fits_in_memory(size) else None
    command = argv(recipe, tarball, sources, hooks, memory=memory, other=work.other)
    try:
        run(command, env=env, on_line=work.log.take_plain, timeout=work.limit, halt=work.halt)
    except TimedOut as error:
        raise TookTooLong(recipe.title, work.log, work.limit) from error
    except CommandFailed as error:
        raise BuildFailed(recipe.title, work.log, error) from error
    path = work.folder / "layer.tar"
    own = (
        file("etc/apt/sources.list", SOURCES, epoch),
        file("etc/dpkg/dpkg.cfg.d/smie", "# Made by smie: small.\n" + "\n".join(FILTERS) + "\n", epoch),
    )
    with tarball.open("rb") as source, path.open("wb") as target:
        seen = normalise(source, target, epoch, added=(*own, *extra), watched={STATUS})
    tarball.unlink()
    check(recipe, seen)
    return Blob(file_digest(path), path.stat().st_size, path=path)


def plain(setuid: Sequence[str]) -> str:
    """A hook of mmdebstrap that takes setuid and setgid from all files but these."""
    return PLAIN.replace("ALLOWED", " ".join(setuid))


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
