"""What becomes one tree for machines, and which recipes names and kinds stand for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.catalog import Catalog
from common.errors import BadDefinition, BadInput, Denied
from common.model import Kind
from smie import wanted
from smie.builder import builder, way
from smie.chains import tree_of_group, tree_of_role
from smie.host import DISK, rootfs_recipe, vm_recipe
from smie.isolation import check
from smie.recipe import Recipe, base_recipe
from smie.wanted import Recipes, kinds_of
from smie.workspace import Workspace
from tests.unit.smie.conftest import Kitchen

BASE = 'base "{name}" {{\n  summary = "x"\n  suite = "trixie"\n  packages = ["openssl"]\n  {more}\n}}\n'
ROLE = 'role "{name}" {{\n  type = "component"\n  summary = "x"\n  packages = [{packages}]\n{images}\n}}\n'
CONTAINER = '  image "container" { base = "debian-13" }\n'
SYSTEM = 'system "farm" {\n  summary = "x"\n%s}\n'
GROUP = '  group "barns" {\n%s    role "gate" {}\n    role "cow" {}\n    role "hen" {}\n  }\n'
BOTH = (Kind.ROOTFS, Kind.VM)


@dataclass
class Definitions:
    """Gate; cow and hen, which stand on ground; a group of all."""

    folder: Path
    kitchen: Kitchen

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def base(self, name: str, more: str = "") -> None:
        self.write(f"bases/{name}.hcl", BASE.format(name=name, more=more))

    def role(self, name: str, images: str = CONTAINER, packages: str = "") -> None:
        self.write(f"roles/{name}/role.hcl", ROLE.format(name=name, images=images, packages=packages))
        self.write(f"roles/{name}/tasks/install.yml", f"- name: Install {name}\n  ansible.builtin.debug: {{}}\n")

    def group(self, images: str = "") -> None:
        self.write("farm/system.hcl", SYSTEM % (GROUP % images))

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.folder)

    def titles(self, *names: str, kinds: tuple[Kind, ...] = ()) -> list[str]:
        made = Recipes(self.catalog, Workspace(self.folder / "cache"))
        recipes = made.of(names, kinds) if names else made.every(kinds)
        return [recipe.title for recipe in recipes]

    def tree(self, name: str) -> tuple[str, list[str]]:
        found = tree_of_role(self.catalog, self.catalog.role(name))
        return found.base, [role.name for role in found.roles]

    def group_tree(self) -> tuple[str, list[str], int]:
        found = tree_of_group(self.catalog, "farm", self.catalog.system("farm").groups[0])
        return found.base, [role.name for role in found.roles], found.disk


@pytest.fixture
def farm(kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Definitions:
    made = Definitions(tmp_path / "systems", kitchen)
    made.base("debian-13", 'host = "machine"')
    made.base("machine", 'kind = "rootfs"')
    made.base("disk-tools", 'kind = "rootfs"')
    made.role("ground", packages='"bird2"')
    for name in ("cow", "hen"):
        made.role(name, '  image "container" { base = "ground" }\n')
    made.role("gate")
    made.group()
    monkeypatch.setattr(wanted, "open_index", lambda *some, **more: kitchen.index)
    return made


def test_a_role_needs_no_block_it_gets_its_chain_on_the_variant_of_its_base(farm: Definitions) -> None:
    assert farm.tree("gate") == ("machine", ["gate"])
    assert farm.tree("cow") == ("machine", ["ground", "cow"])


def test_a_group_is_the_chains_of_its_roles_in_order_each_role_once(farm: Definitions) -> None:
    assert farm.group_tree() == ("machine", ["gate", "ground", "cow", "hen"], DISK)


def test_a_block_names_another_base_a_role_below_and_the_size_of_the_disk(farm: Definitions) -> None:
    farm.base("other", 'kind = "rootfs"')
    farm.role("gate", CONTAINER + '  image "rootfs" { base = "other" }\n')
    assert farm.tree("gate") == ("other", ["gate"])
    farm.role("gate", CONTAINER + '  image "vm" { base = "cow" }\n')
    assert farm.tree("gate") == ("machine", ["ground", "cow", "gate"])
    farm.group('    image "vm" {\n      base = "other"\n      disk = "9GiB"\n    }\n')
    base, roles, disk = farm.group_tree()
    assert (base, sorted(roles), disk) == ("other", ["cow", "gate", "ground", "hen"], 9 << 30)


def test_roles_of_a_group_on_different_bases_need_a_block(farm: Definitions) -> None:
    farm.base("other", 'kind = "rootfs"')
    farm.role("gate", CONTAINER + '  image "rootfs" { base = "other" }\n')
    with pytest.raises(BadInput, match=r"the roles of farm\.barns stand on different bases") as caught:
        farm.group_tree()
    assert "machine: " in caught.value.details and "other: gate" in caught.value.details


def test_a_base_without_a_variant_for_machines_says_what_to_add(farm: Definitions) -> None:
    farm.base("debian-13")
    with pytest.raises(BadInput, match="gate cannot be made for machines") as caught:
        farm.tree("gate")
    assert "host" in caught.value.resolution


def test_one_block_that_needs_a_boot_makes_the_whole_tree_in_a_machine_that_runs(farm: Definitions) -> None:
    assert not tree_of_role(farm.catalog, farm.catalog.role("cow")).is_booted
    farm.role("ground", CONTAINER + '  image "vm" {\n    base  = "machine"\n    build = "booted"\n  }\n')
    assert tree_of_role(farm.catalog, farm.catalog.role("cow")).is_booted
    assert tree_of_group(farm.catalog, "farm", farm.catalog.system("farm").groups[0]).is_booted


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ('  image "rootfs" { base = "debian-13" }\n', 'is of kind container; write base = "machine"'),
        ('  image "container" { base = "machine" }\n', "is of kind rootfs; name a base of kind container"),
        (
            '  image "rootfs" { base = "machine" }\n  image "vm" { base = "disk-tools" }\n',
            "write the same base in both",
        ),
        ('  image "container" {\n    base = "debian-13"\n    build = "booted"\n  }\n', "has nothing that boots"),
        ('  image "vm" {\n    base = "machine"\n    command = ["x"]\n  }\n', "only a container image has command"),
    ],
)
def test_what_stands_on_what_is_checked_when_definitions_are_read(farm: Definitions, images: str, problem: str) -> None:
    farm.role("gate", images)
    with pytest.raises(BadDefinition) as caught:
        farm.catalog.role("gate")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('host = "machin"', 'unknown base "machin"; did you mean "machine"?'),
        ('host = "debian-13"', 'base "debian-13" is of kind container'),
        ('kind = "rootfs"\n  host = "machine"', "a base of machines has no variant"),
    ],
)
def test_the_variant_of_a_base_is_a_base_of_machines(farm: Definitions, more: str, problem: str) -> None:
    farm.base("debian-13", more)
    with pytest.raises(BadDefinition) as caught:
        farm.catalog.base("debian-13")
    assert problem in str(caught.value)


def test_kinds_are_made_after_what_they_stand_on(farm: Definitions) -> None:
    assert farm.titles("gate") == ["container/debian-13", "container/gate"]
    tree = ["rootfs/machine", "rootfs/gate"]
    assert farm.titles("gate", kinds=(Kind.ROOTFS,)) == tree
    assert farm.titles("gate", kinds=(Kind.VM,)) == [*tree, "rootfs/disk-tools", "vm/gate"]
    group = ["rootfs/machine", "rootfs/farm.barns", "rootfs/disk-tools", "vm/farm.barns"]
    assert farm.titles("farm.barns") == farm.titles("farm", kinds=BOTH) == group


def test_a_system_is_its_containers_and_what_its_groups_declare(farm: Definitions) -> None:
    containers = ["container/debian-13", "container/gate", "container/ground", "container/cow", "container/hen"]
    assert farm.titles("farm") == containers
    farm.group('    image "rootfs" { base = "machine" }\n')
    assert farm.titles("farm") == [*containers, "rootfs/machine", "rootfs/farm.barns"]
    assert "rootfs/farm.barns" in farm.titles() and "vm/farm.barns" not in farm.titles()
    assert farm.titles(kinds=(Kind.ROOTFS,)) == ["rootfs/disk-tools", "rootfs/machine", "rootfs/farm.barns"]


@pytest.mark.parametrize(
    ("name", "kinds", "resolution"),
    [
        ("farm.barn", (), 'Did you mean "barns"?'),
        ("fram.barns", (), 'Did you mean "farm.barns"?'),
        ("gat", (), 'Did you mean "gate"?'),
        ("debian-13", BOTH, "Its variant for machines is machine."),
    ],
)
def test_what_is_not_there_is_told_with_what_is_near(
    farm: Definitions, name: str, kinds: tuple[Kind, ...], resolution: str
) -> None:
    with pytest.raises(BadInput) as caught:
        farm.titles(name, kinds=kinds)
    assert resolution in caught.value.resolution


def test_without_the_tools_no_disk_is_begun(farm: Definitions) -> None:
    (farm.folder / "bases" / "disk-tools.hcl").unlink()
    with pytest.raises(BadInput, match="there is no base disk-tools"):
        farm.titles("gate", kinds=(Kind.VM,))
    assert farm.titles("gate", kinds=(Kind.ROOTFS,))


def test_kinds_are_read_in_the_order_in_which_they_are_made() -> None:
    assert kinds_of("vm, container") == (Kind.CONTAINER, Kind.VM)
    assert kinds_of(None) == ()
    with pytest.raises(BadInput, match="does not build the kind 'vms'") as caught:
        kinds_of("rootfs,vms")
    assert caught.value.resolution == 'Did you mean "vm"?'


def machine(kitchen: Kitchen) -> Recipe:
    return base_recipe(replace(kitchen.base, name="machine", kind="rootfs"), Kind.ROOTFS, kitchen.index)


def test_a_root_file_system_changes_with_its_roles_and_a_disk_with_it_its_tools_and_its_size(kitchen: Kitchen) -> None:
    def made(size: int = DISK) -> tuple[Recipe, Recipe]:
        tree = rootfs_recipe("bird", (kitchen.role,), machine(kitchen))
        return tree, vm_recipe(tree, replace(machine(kitchen), name="disk-tools"), size)

    tree, disk = made()
    assert tree.version == disk.version == "2.17.6-1"
    assert disk.needs == (tree, disk.tools) and disk.installed == tree.installed
    assert made()[1].fingerprint == disk.fingerprint != made(1 << 33)[1].fingerprint
    kitchen.write("bird/files/status.py", "print(1)\n", 0o755)
    other, written = made()
    assert other.fingerprint != tree.fingerprint and written.fingerprint != disk.fingerprint


def test_what_is_installed_in_a_machine_that_runs_is_made_in_another_way_of_the_same(kitchen: Kitchen) -> None:
    tools = replace(machine(kitchen), name="disk-tools")
    plain, booted = (rootfs_recipe("bird", (kitchen.role,), machine(kitchen), tools=one) for one in (None, tools))
    assert (way(plain), way(booted)) == ("rootfs", "booted") and booted.needs == (booted.parent, tools)
    added = {each.title for each in booted.inputs} - {each.title for each in plain.inputs}
    assert added == {"setting build", "base disk-tools"} and booted.fingerprint != plain.fingerprint
    assert {"qemu-img", "packer"} <= set(builder("booted").programs([booted]))


def test_two_roles_that_reach_one_file_name_it_once_and_what_each_says_by_its_name(kitchen: Kitchen) -> None:
    kitchen.write("fish/tasks/install.yml", "- ansible.builtin.include_role: {name: process, tasks_from: install}\n")
    fish = replace(kitchen.role, name="fish", folder=kitchen.role.folder.parent / "fish", packages=())
    group = rootfs_recipe("farm.pond", (kitchen.role, fish), machine(kitchen), version="13.8")
    titles = [part.title for part in group.inputs]
    assert len(titles) == len(set(titles)) and group.version == "13.8"
    assert {"process bird", "process fish", "setting packages bird", "setting packages fish"} <= set(titles)


def test_only_root_can_make_machines_and_is_told_so_before_anything_begins(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    tree = rootfs_recipe("bird", (kitchen.role,), machine(kitchen))
    with pytest.raises(Denied, match="only root can make rootfs/bird"):
        check([tree])
