"""common.specs: what Ansible reads is what role.hcl says, and Ansible holds to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from common import specs
from common.catalog import Catalog
from common.role import Parameter, ParameterType, Role, RoleType

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

ROOT = Path(__file__).parents[3]


def role(*parameters: Parameter) -> Role:
    return Role("bird-gateway", RoleType.SERVICE, "Announces", Path(), parameters=parameters)


@pytest.mark.parametrize(
    ("parameter", "default", "option"),
    [
        (
            Parameter("wait", ParameterType.DURATION, "s", default=timedelta(milliseconds=100)),
            0.1,
            {"type": "float", "default": 0.1},
        ),
        (
            Parameter("wait", ParameterType.DURATION, "s", default=timedelta(hours=12)),
            43200,
            {"type": "float", "default": 43200},
        ),
        (Parameter("size", ParameterType.SIZE, "s", default=1024), 1024, {"type": "int", "default": 1024}),
        (Parameter("on", ParameterType.FLAG, "s", default=False), False, {"type": "bool", "default": False}),
        (
            Parameter("mode", ParameterType.CHOICE, "s", choices=("a", "b"), default="a"),
            "a",
            {"type": "str", "choices": ["a", "b"], "default": "a"},
        ),
        (
            Parameter("vips", ParameterType.ADDRESS, "s", many=True, default=("192.0.2.1",)),
            ["192.0.2.1"],
            {"type": "list", "elements": "str", "default": ["192.0.2.1"]},
        ),
        (
            Parameter("via", ParameterType.NODES, "s", default=""),
            [],
            {"type": "list", "elements": "dict", "default": []},
        ),
    ],
)
def test_a_default_is_what_templates_can_use(parameter: Parameter, default: object, option: dict[str, object]) -> None:
    name = f"bird_gateway_{parameter.name}"
    assert specs.defaults(role(parameter)) == {name: default}
    assert specs.argument_specs(role(parameter)) == {
        "argument_specs": {
            "configure": {"short_description": "Announces", "options": {name: {"description": "s", **option}}}
        }
    }


def test_what_has_no_default_is_required_and_not_among_the_defaults() -> None:
    needed = role(Parameter("asn", ParameterType.ASN, "s"), Parameter("peers", ParameterType.NODES, "s"))
    assert specs.defaults(needed) == {}
    entry = specs.argument_specs(needed)["argument_specs"]["configure"]  # type: ignore[index]  # it is a mapping
    assert entry["options"] == {
        "bird_gateway_asn": {"type": "int", "description": "s", "required": True},
        "bird_gateway_peers": {"type": "list", "elements": "dict", "description": "s", "required": True},
    }


def test_writing_twice_changes_nothing_and_check_says_what_is_stale(
    definitions: Definitions, capfd: pytest.CaptureFixture[str]
) -> None:
    at = ["--systems", str(definitions.folder)]
    assert specs.main(["--check", *at]) == 1
    assert "roles/proxy/defaults/main.yml is stale" in capfd.readouterr().err
    assert specs.main(at) == 0
    written = {path: path.read_text() for path in definitions.folder.rglob("*.yml")}
    assert len(written) == 4
    assert all(text.startswith("---\n# Generated from role.hcl") for text in written.values())
    assert specs.main(at) == 0
    assert specs.main(["--check", *at]) == 0
    assert {path: path.read_text() for path in definitions.folder.rglob("*.yml")} == written
    definitions.change("roles/proxy/role.hcl", '"1s"', '"2s"')
    assert specs.main(["--check", *at]) == 1


def test_a_generated_file_of_a_role_without_parameters_goes_and_a_hand_written_one_stays(
    definitions: Definitions,
) -> None:
    at = ["--systems", str(definitions.folder)]
    assert specs.main(at) == 0
    definitions.write("roles/process/defaults/main.yml", "a: 1\n")
    definitions.change("roles/proxy/role.hcl", 'parameter "timeout" {\n    type    = "duration"', "")
    definitions.change("roles/proxy/role.hcl", '    summary = "How long it waits"\n    default = "1s"\n  }\n', "")
    assert specs.main(["--check", *at]) == 1
    assert specs.main(at) == 0
    assert not (definitions.folder / "roles/proxy/defaults/main.yml").exists()
    assert (definitions.folder / "roles/process/defaults/main.yml").exists()


def test_bad_definitions_are_told_and_nothing_is_written(
    definitions: Definitions, capfd: pytest.CaptureFixture[str]
) -> None:
    definitions.change("roles/proxy/role.hcl", '"1s"', "1")
    assert specs.main(["--systems", str(definitions.folder)]) == 2
    assert 'roles/proxy/role.hcl:9: parameter "timeout": default: 1 is no duration' in capfd.readouterr().err
    assert not list(definitions.folder.rglob("*.yml"))


def test_what_is_generated_for_our_roles_is_fresh() -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in specs.generated(Catalog(ROOT / "systems")).items()
        if not path.exists() or path.read_text() != text
    ]
    assert stale == [], "run python -m common.specs"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"router_asn": 64512, "router_peers": [{}], "router_vips": [], "router_router_id": "1.1.1.1"}, ""),
        ({"router_peers": [], "router_vips": [], "router_router_id": "x"}, "missing required arguments: router_asn"),
        (
            {"router_asn": "many", "router_peers": [], "router_vips": [], "router_router_id": "x"},
            "argument 'router_asn' is of type str",
        ),
    ],
)
def test_ansible_validates_what_was_generated(
    definitions: Definitions, variables: dict[str, object], message: str
) -> None:
    assert specs.main(["--systems", str(definitions.folder)]) == 0
    definitions.write("roles/router/tasks/configure.yml", "- name: Do nothing\n  ansible.builtin.meta: noop\n")
    include = {"name": "Configure", "ansible.builtin.include_role": {"name": "router", "tasks_from": "configure"}}
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [include]}]
    definitions.write("play.json", json.dumps(play))
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "play.json"],
        env=os.environ | {"ANSIBLE_ROLES_PATH": "roles", "ANSIBLE_LOCALHOST_WARNING": "false"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode == 0) == (message == ""), ended.stdout
    assert message in ended.stdout


def test_what_is_written_is_yaml(definitions: Definitions) -> None:
    for path, text in specs.generated(definitions.catalog).items():
        if path.suffix == ".yml":
            assert isinstance(yaml.safe_load(text), dict)
