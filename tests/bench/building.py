"""Builds beside what one has without smie: the same roles by Packer's docker builder with its own ansible provisioner.

The peer's images are committed and in the engine. Ours are checked, stored with SBOM and provenance, and in the engine,
too. Both find all packages and programs on this machine, and see no network. What was built is of the bench alone.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from common.catalog import Catalog
from naust.store import open_store
from smie.builder.container import SOFTWARE
from smie.packer import play, variables
from smie.recipe import Recipe
from smie.repository import write_for_bootstrap, write_for_container
from smie.software import programs
from smie.wanted import recipes_of
from smie.workspace import Workspace
from tests.bench.plain_packer import REPOSITORY, Image, plain_build, plain_images
from tests.bench.rows import ROOT, WORK, Row, alone, beside, ours, seconds, version

SYSTEM = "s3-lb"
ROLES = ("traefik", "etcd", "ceph-common")  # a large program and no packages; small packages; large ones
RUNS = 3
ALIKE = ("fetch", "install", "collect")  # of a build: what the peer does, too
FETCHED = ("index", "packages", "resolutions", "software")  # of a workspace: what is not built


def building() -> list[Row]:
    """All of it."""
    subprocess.run(ours("smie", "build", SYSTEM), cwd=ROOT, check=True, capture_output=True)
    packer = version(["packer", "version"])
    nothing = beside(
        f"smie build {SYSTEM}, nothing changed",
        lambda: seconds(ours("smie", "build", SYSTEM), runs=5),
        "packer build, its own ansible provisioner, one small role",
        packer,
        plain_build,
    )
    planned = alone(f"smie plan {SYSTEM}", seconds(ours("smie", "plan", SYSTEM), runs=5))
    with _own() as place:
        changed = [row for role in ROLES for row in _changed(place, role, packer)]
        return [nothing, planned, *changed, _all(place, packer)]


def _changed(place: Place, role: str, packer: str) -> list[Row]:
    """One task of one role changed, in turn with the peer, so that both see the same machine: all that ours does, and
    what of it the peer does, too, without check, store and documents."""
    place.smie("build", role)
    (recipe,) = (one for one in place.recipes(role) if one.name == role)
    mine, alike, other = [], [], []
    for number in range(RUNS):
        place.change(role, number)
        started = time.perf_counter()
        rows = json.loads(place.smie("build", role, "--json"))
        mine.append(time.perf_counter() - started)
        steps = next(row["steps"] for row in rows if row["artifact"] == recipe.title)
        alike.append(sum(steps[step] for step in ALIKE))
        other.append(plain_images([place.image(recipe)], place.systems / "roles"))
    peer = "packer build, its own ansible provisioner, the same role"
    name, theirs = f"smie build {role}, one task changed", statistics.median(other)
    return [
        beside(title, partial(statistics.median, taken), peer, packer, lambda: theirs)
        for title, taken in ((name, mine), (f"{name}: the build alone", alike))
    ]


def _all(place: Place, packer: str) -> Row:
    """All container images of the system, and their base, from an empty store."""
    recipes = place.recipes(SYSTEM)

    def mine() -> float:
        shutil.rmtree(place.store, ignore_errors=True)
        shutil.rmtree(place.cache / "parts", ignore_errors=True)
        started = time.perf_counter()
        place.smie("build", SYSTEM, "--kind", "container")
        return time.perf_counter() - started

    def theirs() -> float:
        taken = _taken(lambda: place.base(next(one for one in recipes if one.parent is None)))
        # What stands on one another goes one after the other; Packer has no word for that.
        levels = itertools.groupby(sorted(recipes, key=_level), key=_level)
        groups = [list(level) for number, level in levels if number > 1]
        return taken + sum(plain_images([place.image(one) for one in some], place.systems / "roles") for some in groups)

    name, peer = f"smie build {SYSTEM}, all from nothing", "mmdebstrap, docker import, packer build, the same roles"
    return beside(name, mine, peer, packer, theirs)


class Place:
    """Definitions, a store and a workspace of the bench's own; what is fetched is that of this folder."""

    def __init__(self, folder: Path) -> None:
        self.systems, self.store, self.cache = folder / "systems", folder / "store", folder / "cache"
        self._folder = folder
        shutil.copytree(ROOT / "systems", self.systems)
        self.cache.mkdir()
        for name in FETCHED:
            (self.cache / name).symlink_to(ROOT / ".smie" / name)

    def smie(self, *words: str) -> str:
        own = {"SMIE_CACHE": str(self.cache), "NAUST_STORE": f"file://{self.store}", "SETER_SYSTEMS": str(self.systems)}
        done = subprocess.run(ours("smie", *words), cwd=ROOT, env=os.environ | own, check=True, capture_output=True)
        return done.stdout.decode()

    def recipes(self, name: str) -> tuple[Recipe, ...]:
        """The container images that a name needs, with all packages and programs fetched."""
        with mock.patch.dict(os.environ, {"SMIE_SNAPSHOT": ""}):
            found = recipes_of((name,), Catalog.open(self.systems), open_store(f"file://{self.store}"), self._workspace)
        found = tuple(one for one in found if one.kind == "container")
        for recipe in found:
            recipe.index.fetch(recipe.packages)
        return found

    def change(self, role: str, number: int) -> None:
        """Another content for a file that the role installs."""
        file = self.systems / "roles" / role / "tasks" / "install.yml"
        step = "- name: Write what is new\n  ansible.builtin.copy: {content: '%s', dest: /srv/new, mode: '0644'}\n"
        kept = file.read_text().partition("- name: Write what is new")[0]
        file.write_text(kept + step % number)

    def image(self, recipe: Recipe) -> Image:
        """A recipe as the peer gets it."""
        role, folder = recipe.roles[-1], self._folder / "apt" / recipe.name
        mounts = dict(write_for_container(recipe, folder))
        software = ""
        if role.software:
            origin = recipe.index.origin
            mounts[programs(self._workspace, role.software, role.software_sha256, origin)] = software = SOFTWARE
        assert recipe.parent is not None
        return Image(recipe.name, play(role.name, variables(role, software)), _named(recipe.parent), mounts)

    def base(self, recipe: Recipe) -> None:
        """The base as one makes it without smie, of the same packages."""
        tar, sources = self._folder / "base.tar", self._folder / "sources.list"
        shutil.rmtree(self._folder / "repository", ignore_errors=True)
        sources.write_text(write_for_bootstrap(recipe, self._folder / "repository") + "\n")
        include = f"--include={','.join(recipe.base.packages)}"
        argv = ["mmdebstrap", "--quiet", "--variant=minbase", include, recipe.base.suite, str(tar), str(sources)]
        subprocess.run(argv, check=True, capture_output=True)
        subprocess.run(["docker", "import", str(tar), _named(recipe)], check=True, capture_output=True)

    @property
    def _workspace(self) -> Workspace:
        return Workspace(self.cache)


@contextmanager
def _own() -> Iterator[Place]:
    folder = WORK / "building"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before = _images("naust/*")
    try:
        place = Place(folder)
        (base,) = (one for one in place.recipes(ROLES[0]) if one.parent is None)
        place.base(base)
        yield place
    finally:
        if made := [*_images(f"{REPOSITORY}/*"), *(_images("naust/*") - before)]:
            subprocess.run(["docker", "rmi", "--force", "--no-prune", *made], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _images(pattern: str) -> set[str]:
    argv = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", pattern]
    return set(subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split())


def _named(recipe: Recipe) -> str:
    return f"{REPOSITORY}/{recipe.name}:latest"


def _level(recipe: Recipe) -> int:
    return len(recipe.ancestors)


def _taken(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    building()
