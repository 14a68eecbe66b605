"""A Debian repository of exactly the packages of one recipe, for apt in a container or for mmdebstrap.

apt in the container reads nothing but these few packages, so it is fast, needs no network, and cannot take another
version than the one that the recipe's fingerprint names. The signatures were checked when the index was fetched, and
every package against the index (`smie.index`); the folders are mounted read-only, so `trusted=yes` gives nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from smie.packages import packages_file, release_file
from smie.recipe import Recipe

MOUNTED = "/smie/repository"

# unsafe-io: a build that is cut off is thrown away as a whole, so dpkg need not wait for the disk.
CONFIGURATION = """\
Dir::Etc::sourcelist "/smie/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "/smie/apt/lists";
Dir::Cache "/smie/tmp";
Dir::Cache::archives "/smie/tmp";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "/smie/tmp";
Debug::NoLocking "true";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
DPkg::Options { "--force-unsafe-io"; };
"""


def _texts(recipe: Recipe) -> tuple[str, str]:
    """The Packages and the Release file."""
    index = recipe.index
    content = packages_file(recipe.packages, index.records(recipe.packages))
    return content, release_file(index.suite, index.date, index.architecture, content)


def write_for_container(recipe: Recipe, folder: Path) -> Mapping[Path, str]:
    """Write apt's configuration and lists below `folder`; which folder is to be mounted where."""
    packages, release = _texts(recipe)
    # apt's own names for what it fetched from there (apt-get(8), /var/lib/apt/lists).
    prefix = f"{MOUNTED.replace('/', '_')}_dists_{recipe.index.suite}"
    files = {
        "apt.conf": CONFIGURATION,
        "sources.list": f"deb [trusted=yes] file:{MOUNTED} {recipe.index.suite} main\n",
        f"lists/{prefix}_Release": release,
        f"lists/{prefix}_main_binary-{recipe.index.architecture}_Packages": packages,
    }
    _write(folder, files)
    return {folder: "/smie/apt", recipe.index.pool: f"{MOUNTED}/pool"}


def write_for_bootstrap(recipe: Recipe, folder: Path) -> str:
    """Write a repository to `folder`; its line for sources.list."""
    packages, release = _texts(recipe)
    suite = f"dists/{recipe.index.suite}"
    _write(
        folder,
        {f"{suite}/Release": release, f"{suite}/main/binary-{recipe.index.architecture}/Packages": packages},
    )
    (folder / "pool").symlink_to(recipe.index.pool)
    return f"deb [trusted=yes] copy://{folder} {recipe.index.suite} main"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
