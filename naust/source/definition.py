"""The nouns of sources.hcl: where what a build needs comes from, which of it, and what makes a snapshot together.

Upstreams are made from these. naust.source.shapes reads them, and prints their manual.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from common.errors import BadInput
from common.model import Digest
from common.role import NOWHERE, Place
from common.values import did_you_mean

MIRROR, PROXY, LOCAL = "mirror", "proxy", "local"
MODES = (MIRROR, PROXY, LOCAL)
EVERYTHING = "all"  # the set that there is where the file names none
FILE_NAME = "sources.hcl"


@dataclass(frozen=True, slots=True)
class Keep:
    """Which states or snapshots stay: the newest `last`, and those that are younger than `days`; the newest always.
    Both 0 keep all."""

    last: int = 0
    days: int = 0

    @property
    def all(self) -> bool:
        """Whether nothing ever goes."""
        return not self.last and not self.days

    @property
    def age(self) -> timedelta:
        """Younger ones stay."""
        return timedelta(days=self.days)


KEEP_ALL = Keep()


@dataclass(frozen=True, slots=True)
class Apt:
    """Suites of a Debian archive. `packages` are names and words such as `priority:required`; all when empty."""

    name: str
    url: str = ""
    security_url: str = ""
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    architectures: tuple[str, ...] = ("amd64",)
    packages: tuple[str, ...] = ()
    recommends: bool = False
    keyring: str = ""
    key: str = ""
    folder: str = ""
    mode: str = MIRROR
    may_miss: tuple[str, ...] = ()
    keep: Keep = KEEP_ALL
    place: Place = NOWHERE
    type: str = "apt"


@dataclass(frozen=True, slots=True)
class Pypi:
    """Distributions of a Python package index. `lock` are paths of lock files, absolute."""

    name: str
    url: str = ""
    lock: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    python: str = "3.11"
    platforms: tuple[str, ...] = ()
    folder: str = ""
    mode: str = MIRROR
    may_miss: tuple[str, ...] = ()
    keep: Keep = KEEP_ALL
    place: Place = NOWHERE
    type: str = "pypi"


@dataclass(frozen=True, slots=True)
class Oci:
    """Container images, each `docker://host/name:tag` or with a digest. `platforms` as `linux/amd64`; all if empty."""

    name: str
    images: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    mode: str = MIRROR
    may_miss: tuple[str, ...] = ()
    keep: Keep = KEEP_ALL
    place: Place = NOWHERE
    type: str = "oci"


@dataclass(frozen=True, slots=True)
class OneFile:
    """One file by URL. `package` is what it is for people, as in `etcd==3.5.16`."""

    path: str
    url: str = ""
    digest: Digest | None = None
    size: int = -1
    package: str = ""
    may_miss: bool = False
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Files:
    """Single files, or in mode local all below a folder."""

    name: str
    files: tuple[OneFile, ...] = ()
    folder: str = ""
    mode: str = MIRROR
    may_miss: tuple[str, ...] = ()
    keep: Keep = KEEP_ALL
    place: Place = NOWHERE
    type: str = "files"


@dataclass(frozen=True, slots=True)
class Provider:
    """A Terraform provider: `NAMESPACE/TYPE`, or `HOST/NAMESPACE/TYPE`."""

    name: str
    versions: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ("linux_amd64",)
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform providers of a registry, or in mode local of a folder that is a network mirror or packed files."""

    name: str
    url: str = ""
    providers: tuple[Provider, ...] = ()
    folder: str = ""
    mode: str = MIRROR
    may_miss: tuple[str, ...] = ()
    keep: Keep = KEEP_ALL
    place: Place = NOWHERE
    type: str = "terraform"


Source: TypeAlias = Apt | Pypi | Oci | Files | Terraform


@dataclass(frozen=True, slots=True)
class SourceSet:
    """Sources that make a snapshot together."""

    name: str
    sources: tuple[str, ...] = ()
    keep: Keep = KEEP_ALL
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class Definition:
    """The file."""

    apt: tuple[Apt, ...] = ()
    pypi: tuple[Pypi, ...] = ()
    oci: tuple[Oci, ...] = ()
    files: tuple[Files, ...] = ()
    terraform: tuple[Terraform, ...] = ()
    sets: tuple[SourceSet, ...] = ()

    @property
    def sources(self) -> tuple[Source, ...]:
        """All of them, in the order of the file."""
        every: tuple[Source, ...] = (*self.apt, *self.pypi, *self.oci, *self.files, *self.terraform)
        return tuple(sorted(every, key=lambda each: each.place.line))

    def source(self, name: str) -> Source:
        """The source of this name. Raises BadInput."""
        found = next((each for each in self.sources if each.name == name), None)
        if found is None:
            known = did_you_mean(name, (each.name for each in self.sources), "sources")
            raise BadInput(f"there is no source {name!r}", resolution=f"See {FILE_NAME}: {known}")
        return found

    def set(self, name: str) -> SourceSet:
        """The set of this name; a source is a set of itself. Raises BadInput."""
        found = next((each for each in self.every_set if each.name == name), None)
        if found is None:
            known = did_you_mean(name, (each.name for each in self.every_set), "sets")
            raise BadInput(f"there is no set {name!r}", resolution=f"See {FILE_NAME}: {known}")
        return found

    @property
    def every_set(self) -> tuple[SourceSet, ...]:
        """The sets; where the file has none, one of everything."""
        return self.sets or (SourceSet(EVERYTHING, tuple(each.name for each in self.sources)),)
