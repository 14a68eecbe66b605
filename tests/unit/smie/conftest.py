"""An index that answers from a list instead of asking apt, and roles in a folder of the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.model import Digest, Kind
from common.role import Base, Image, Process, Role, RoleType
from smie.index import Index
from smie.packages import Package
from smie.recipe import Recipe, base_recipe, role_recipe
from smie.workspace import Workspace

BASE = Base("debian-13", "", "trixie", ("openssl",))
PROCESS = Process(("/usr/sbin/bird",), user="bird", uid=950)
IMAGE = Image("container", "debian-13")
DATE = datetime(2026, 11, 23, 11, 22, 38, tzinfo=UTC)


def package(name: str, version: str = "1.0-1", content: str = "") -> Package:
    return Package(name, version, "amd64", Digest.of(f"{name} {version} {content}".encode()).hex, 1000)


@dataclass(frozen=True, slots=True)
class ListedIndex(Index):
    """Resolves each name to the package of that name."""

    listed: tuple[Package, ...] = ()

    def resolve(self, wanted: Sequence[str], installed: Sequence[Package]) -> tuple[Package, ...]:
        return tuple(one for one in self.listed if one.name in wanted and one not in installed)

    def records(self, packages: Sequence[Package]) -> tuple[str, ...]:
        return tuple(
            f"Package: {one.name}\nVersion: {one.version}\nArchitecture: amd64\nFilename: pool/x.deb"
            for one in packages
        )


@dataclass
class Kitchen:
    """Makes recipes from what a test changes."""

    folder: Path
    packages: tuple[Package, ...] = (package("apt"), package("openssl", "3.5.4-1"), package("bird2", "2.17.6-1"))
    base: Base = BASE
    process: Process = PROCESS
    image: Image = IMAGE
    date: datetime = DATE
    options: dict[str, object] = field(default_factory=dict)

    def write(self, path: str, text: str = "", mode: int = 0o644) -> Path:
        file = self.folder / "roles" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    @property
    def index(self) -> ListedIndex:
        return ListedIndex(
            Workspace(self.folder), self.folder / "index", "trixie", "amd64", Digest.of(b"index"), self.date, "13.8",
            self.packages,
        )  # fmt: skip

    @property
    def role(self) -> Role:
        options: dict[str, object] = {"packages": ("bird2",), "images": (self.image,), "process": self.process}
        return Role("bird", RoleType.SERVICE, "", self.folder / "roles" / "bird", **(options | self.options))  # type: ignore[arg-type]  # a test's choice

    def base_recipe(self) -> Recipe:
        return base_recipe(self.base, Kind.CONTAINER, self.index)

    def recipe(self) -> Recipe:
        return role_recipe(self.role, Kind.CONTAINER, self.base_recipe())


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    made = Kitchen(tmp_path)
    made.write("bird/role.hcl", 'role "bird" {}')
    made.write("bird/tasks/install.yml", "- ansible.builtin.include_role: {name: process, tasks_from: install}\n")
    made.write("bird/files/status.py", "print()\n", 0o755)
    made.write("process/tasks/install.yml", "- ansible.builtin.apt: {name: '{{ packages }}'}\n")
    return made
