"""What a builder of one kind of artefact does. Packer runs between `prepare` and `collect`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event

from common.errors import Error
from common.model import Digest
from naust.manifest import Blob, ContainerImage
from smie.isolation import guarded
from smie.otherwise import Otherwise
from smie.packer import LIMIT, Log, Template, ansible_environment
from smie.parts import First
from smie.recipe import Recipe

BELOW = "below.tar.zst"  # in the folder of a build: the root file system that it stands on


@dataclass(frozen=True, slots=True)
class Work:
    """One build: its folder, which is gone afterwards, its identity (`smie.leftovers`), and what it stands on: an image
    in the engine (`parent`), or a file that was put into the folder. `software` has the programs of a role by
    the role's name, `tools` is a tree with what disks are written with. What takes longer than `limit` is ended.
    `other` is set for what is built to be compared alone, `first` is the role's first part, if it has two."""

    folder: Path
    identity: str
    packer: tuple[int, int]
    log: Log
    halt: Event
    parent: Parent | None = None
    software: Mapping[str, Path] = field(default_factory=dict)
    tools: Path | None = None
    limit: timedelta = LIMIT
    debug: bool = False  # what fails is left open
    other: Otherwise | None = None
    first: First | None = None


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

    def enclosed(self, recipe: Recipe, work: Work, *argv: str) -> tuple[str, ...]:
        """The command that runs Packer, cut off from what it must not see (`smie.isolation`)."""
        return guarded(*argv, ending="TERM")

    def environment(self, work: Work, scratch: Path, roles: Path) -> dict[str, str]:
        """What Packer and Ansible get."""
        return ansible_environment(work.folder, scratch, roles)

    def answers(self) -> None:
        """Raise Unavailable if what it builds with is gone."""
        return

    def witness(self, work: Work) -> str:
        """What tells of a failed build beside its log; empty where there is nothing."""
        return ""

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
    def entry(self, recipe: Recipe, work: Work) -> str:
        """The command that opens a shell in what a failed build left; empty when it left its folder alone. Raises
        Unavailable."""

    @abstractmethod
    def base(self, recipe: Recipe, work: Work) -> Built:
        """Make a base image, without Packer. Raises Corrupt, BuildFailed."""


@contextmanager
def cleared(builder: Builder, identity: str) -> Iterator[None]:
    """Whatever happens inside, the engine holds nothing of this build afterwards, if it can be reached."""
    try:
        yield
    except BaseException:
        with suppress(Error):  # what went wrong before is what has to be told
            builder.sweep(identity.__eq__)
        raise
    builder.sweep(identity.__eq__)
