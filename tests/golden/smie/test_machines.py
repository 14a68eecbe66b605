"""What machines are made by, to the byte: Packer's null builder and what runs inside. As test_golden.py."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.model import Digest, Kind
from common.role import Base, Process, Role, RoleType
from smie import otherwise
from smie.builder import booted, builder
from smie.builder.booted import qemu_template
from smie.builder.chroot import script
from smie.builder.interface import Work
from smie.builder.rootfs import plays
from smie.index import Index
from smie.isolation import private
from smie.otherwise import Otherwise
from smie.packer import Log, argv
from smie.recipe import Recipe
from smie.workspace import Workspace
from tests.golden.smie.test_golden import same

FOLDER = Path("/home/ops/.smie/work/build")
ROLES = tuple(
    Role(
        name, RoleType.SERVICE, "", Path("/systems/roles") / name, packages=(f"{name}-server",),
        process=Process((name,), user=name, uid=uid),
    )
    for name, uid in (("etcd", 952), ("traefik", 951))
)  # fmt: skip


def recipe(kind: Kind) -> Recipe:
    index = Index(
        Workspace(Path("/home/ops/.smie")), Path("/home/ops/.smie/index/trixie+main"), "trixie", "amd64",
        Digest.of(b"index"), datetime(2026, 11, 23, 11, 22, 38, tzinfo=UTC), "13.8",
    )  # fmt: skip
    base = Base("debian-13-host", "", "trixie", ("systemd-sysv",), kind="rootfs")
    return Recipe(
        kind, "s3-lb.gateways", "13.8", base, ROLES, None, None, (), (), index, Digest.of(b"recipe"), disk=4 << 30
    )


def work(tmp_path: Path, packer: tuple[int, int]) -> Work:
    log = Log(tmp_path / "log", lambda task: None)
    return Work(
        FOLDER, "machine.boot.1.2.x.abcd", packer, log, threading.Event(), software={"traefik": Path("/software")}
    )


@pytest.mark.parametrize("kind", [Kind.ROOTFS, Kind.VM])
def test_the_template_for_packer_is_the_same_for_old_and_current(tmp_path: Path, kind: Kind) -> None:
    """`null` and `shell-local` are a part of every Packer: there is no plug-in to name."""
    old, new = (builder(kind).template(recipe(kind), work(tmp_path, packer)) for packer in ((1, 6), (1, 12)))
    assert old == new
    same(f"null-{kind}.pkr.json", json.dumps(old, indent=2) + "\n")


@pytest.mark.parametrize(("packer", "name"), [((1, 6), "1.6"), ((1, 12), "1.12")])
def test_the_template_of_a_machine_that_is_installed_while_it_runs(packer: tuple[int, int], name: str) -> None:
    made = qemu_template("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB\n", packer)
    same(f"qemu-{name}.pkr.json", json.dumps(made, indent=2) + "\n")


def test_the_plays_of_a_machine_that_runs_and_the_way_to_it(tmp_path: Path) -> None:
    same("plays-booted.json", json.dumps(booted.plays(recipe(Kind.ROOTFS), work(tmp_path, (1, 6))), indent=2) + "\n")
    same("ssh.config", booted.ssh_configuration(FOLDER))


def test_a_machine_that_was_installed_while_it_ran_leaves_its_console_as_a_witness(tmp_path: Path) -> None:
    place = replace(work(tmp_path, (1, 6)), folder=tmp_path)
    assert builder("booted").witness(place) == builder("rootfs").witness(place) == ""
    (tmp_path / "console.log").write_bytes(b"early\r\n" + b"line\n" * 40 + b"\x1b[1mKernel panic\xff\n")
    told = builder("booted").witness(place)
    assert told.endswith("Kernel panic\ufffd") and "early" not in told


def test_the_plays_of_a_group(tmp_path: Path) -> None:
    same("plays.json", json.dumps(plays(recipe(Kind.ROOTFS), work(tmp_path, (1, 6))), indent=2) + "\n")


def test_what_is_mounted_in_a_tree() -> None:
    mounts = {Path("/home/ops/a folder"): "/smie/apt", Path("/home/ops/work"): "/smie/work"}
    same("inside.sh", script("root", mounts, ("true",), writable=("/smie/work",)))


def test_the_command_that_runs_packer_alone() -> None:
    made = argv(Path("build.pkr.json"), lambda *words: private(*words, memory=FOLDER / "root"))
    same("packer-alone.txt", "\n".join(made) + "\n")


def test_the_same_command_under_other_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otherwise, "library", lambda: Path("/venv/libfaketime.so.1"))
    other = Otherwise(timedelta(days=400), "another", True, "/smie-x /smie-x")
    made = argv(Path("build.pkr.json"), lambda *words: private(*otherwise.around(other, *words)))
    same("packer-otherwise.txt", "\n".join(made) + "\n")


def test_a_builder_gives_what_it_runs_nothing_of_the_callers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:ZQ7-canary@proxy/")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:ZQ7-canary@index/")
    for kind in (Kind.ROOTFS, Kind.VM):
        place = replace(work(tmp_path, (1, 6)), folder=tmp_path)
        assert "ZQ7-canary" not in str(builder(kind).environment(place, tmp_path, Path("/roles")))
