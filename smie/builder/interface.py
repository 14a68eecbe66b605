"""What a builder of one kind of artefact does. Packer runs between `prepare` and `collect`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from common.model import Digest
from naust.manifest import Blob, ContainerImage
from smie.packer import Log, Template
from smie.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Work:
    """One build: its folder, which is gone afterwards, its identity (`smie.leftovers`), and what it stands on: an image
    in the engine (`parent`), or a file that was put into the folder. `software` has the programs of a role by
    the role's name, `tools` is a tree with what disks are written with."""

    folder: Path
    identity: str
    packer: tuple[int, int]
    log: Log
    halt: Event
    parent: Parent | None = None
    software: Mapping[str, Path] = field(default_factory=dict)
    tools: Path | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """What a role is put on: the engine's image id, its configuration as JSON text, its layers, the lowest first; and
    its name and digest in the store."""

    image: str
    config: bytes
    layers: tuple[Blob, ...]
    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class FileImage:
    """An artefact that is one file; `tar` is the root file system in it, where that is beside it as it is."""

    path: Path
    tar: Blob | None


Built = ContainerImage | FileImage


class Builder(ABC):
    """Makes artefacts of one kind. Everything may be repeated; nothing is stored by a builder."""

    @abstractmethod
    def programs(self, recipes: Sequence[Recipe]) -> tuple[str, ...]:
        """What has to be installed to build these."""

    @abstractmethod
    def sweep(self, is_dead: Callable[[str], bool]) -> tuple[str, ...]:
        """Remove what builds of these identities left outside of their folders; what it was. Raises Unavailable."""

    @abstractmethod
    def prepare(self, recipe: Recipe, work: Work) -> None:
        """Write into the work folder what the template refers to. Raises Unavailable, Corrupt."""

    @abstractmethod
    def template(self, recipe: Recipe, work: Work) -> Template:
        """Packer's template. Pure."""

    @abstractmethod
    def collect(self, recipe: Recipe, work: Work) -> Built:
        """What Packer's manifest names, opened again, normalised, hashed and compared with the recipe.

        Whatever the build left in the engine is gone afterwards. Raises Corrupt, Unavailable.
        """

    @abstractmethod
    def base(self, recipe: Recipe, work: Work) -> Built:
        """Make a base image, without Packer. Raises Corrupt, BuildFailed."""
