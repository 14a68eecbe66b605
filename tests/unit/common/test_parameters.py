"""common.parameters: the last one that speaks wins, types are the role's, names of the system's parameters stand in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from common.errors import BadDefinition
from common.parameters import resolve
from common.role import Value

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

PROXY = "roles/proxy/role.hcl"
SYSTEM = "lab/system.hcl"
TARGET = "lab/targets/container.hcl"


def resolved(definitions: Definitions, role: str = "proxy", node: str = "n1") -> Mapping[str, Value]:
    system, target = definitions.catalog.definition("lab", "container")
    group = system.groups[0]
    (use,) = (use for use in group.roles if use.role.name == role)
    (at,) = (each for each in target.nodes if each.name == node)
    return resolve(system, group, use, target, at)


def declare(definitions: Definitions, kind: str, written: str, extra: str = "") -> None:
    """The proxy gets a parameter `x` of this type, and the group gives it this."""
    parameter = f'  parameter "x" {{\n    type    = "{kind}"\n    summary = "x"\n{extra}  }}\n  process {{'
    definitions.change(PROXY, "  process {", parameter)
    definitions.change(SYSTEM, 'role "proxy" {}', f'role "proxy" {{\n      x = {written}\n    }}')


def test_values_come_typed(definitions: Definitions) -> None:
    assert resolved(definitions, "router") == {
        "asn": 64512,
        "peers": "edge",
        "vips": ("192.0.2.10",),
        "router_id": "10.0.0.1",
    }
    assert resolved(definitions) == {"timeout": timedelta(seconds=1)}


def test_default_system_group_target_and_node_speak_in_this_order(definitions: Definitions) -> None:
    assert resolved(definitions)["timeout"] == timedelta(seconds=1)
    definitions.change(SYSTEM, "parameters {\n", 'parameters {\n    timeout = "2s"\n')
    assert resolved(definitions)["timeout"] == timedelta(seconds=2)
    definitions.change(SYSTEM, 'role "proxy" {}', 'role "proxy" { timeout = "3s" }')
    assert resolved(definitions)["timeout"] == timedelta(seconds=3)
    definitions.change(TARGET, 'network "fabric" {}', 'network "fabric" {}\n  parameters { timeout = "4s" }')
    assert resolved(definitions)["timeout"] == timedelta(seconds=4)
    definitions.change(TARGET, '{ router_id = "10.0.0.1" }', '{\n router_id = "10.0.0.1"\n timeout = "5s"\n }')
    assert resolved(definitions)["timeout"] == timedelta(seconds=5)
    assert resolved(definitions, node="n2")["timeout"] == timedelta(seconds=4)


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("list(address)", '"vips"', ("192.0.2.10",)),
        ("list(address)", '["2001:DB8::1"]', ("2001:db8::1",)),
        ("text", '"vips"', "vips"),
        ("name", '"vips"', "vips"),
        ("nodes", '"edge"', "edge"),
        ("nodes", '""', ""),
        ("size", '"1KiB"', 1024),
        ("flag", "false", False),
        ("list(duration)", '["1s", "2s"]', (timedelta(seconds=1), timedelta(seconds=2))),
        ("list(text)", "[]", ()),
    ],
)
def test_a_value_is_typed_or_looked_up(definitions: Definitions, kind: str, written: str, expected: Value) -> None:
    declare(definitions, kind, written)
    assert resolved(definitions)["x"] == expected


WHERE = 'lab/system.hcl:13: group "edge": role "proxy": x: '


@pytest.mark.parametrize(
    ("kind", "written", "message"),
    [
        (
            "address",
            '"vips"',
            '"vips" stands for ["192.0.2.10"]: ["192.0.2.10"] is no address; '
            'write one such as "192.0.2.10" or "2001:db8::10"',
        ),
        (
            "list(address)",
            '"vip"',
            '"vip" is no list, and no parameter of the system has the name; did you mean "vips"?',
        ),
        ("list(address)", '"192.0.2.1"', '"192.0.2.1" is no list; write ["192.0.2.1"]'),
        ("nodes", '"egde"', 'unknown group "egde"; did you mean "edge"?'),
        ("nodes", '["edge"]', '["edge"] is no group; write the name of one: edge'),
        (
            "port",
            '"vips"',
            '"vips" stands for ["192.0.2.10"]: ["192.0.2.10"] is no port; write a whole number, without',
        ),
        ("duration", "5", '5 is no duration; write a number and ms, s, m, h or d, as in "500ms" or "15m"'),
        ("prefix", '"10.0.0.1/8"', '"10.0.0.1/8" has bits set beyond /8; write "10.0.0.0/8"'),
        ("flag", '"true"', '"true" is no flag; write true or false, without quotes'),
    ],
)
def test_a_wrong_value_names_its_line_and_what_to_write(
    definitions: Definitions, kind: str, written: str, message: str
) -> None:
    declare(definitions, kind, written)
    problems = definitions.problems()
    assert [problem[: len(WHERE + message)] for problem in problems] == [WHERE + message]


def test_a_choice_is_one_of_its_choices(definitions: Definitions) -> None:
    declare(definitions, "choice", '"fats"', '    choices = ["fast", "safe"]\n')
    assert definitions.problems() == [f'{WHERE}"fats" is no choice; did you mean "fast"?']


def test_a_wrong_value_of_the_system_is_told_once_where_it_is_written(definitions: Definitions) -> None:
    declare(definitions, "list(address)", '"vips"')
    definitions.change(SYSTEM, "parameters {\n", 'parameters {\n    timeout = "fast"\n')
    assert definitions.problems() == [
        'lab/system.hcl:4: parameters: timeout: "fast" is no duration; '
        'write a number and ms, s, m, h or d, as in "500ms" or "15m"'
    ]


def test_a_parameter_that_no_role_of_the_node_declares_is_told(definitions: Definitions) -> None:
    definitions.change(TARGET, '{ router_id = "10.0.0.2" }', '{\n router_id = "10.0.0.2"\n timeuot = "1s"\n }')
    definitions.change(TARGET, 'network "fabric" {}', 'network "fabric" {}\n  parameters { asm = 5 }')
    assert definitions.problems() == [
        'lab/targets/container.hcl:5: parameters: asm: no role of the system declares it; did you mean "asn"?',
        'lab/targets/container.hcl:16: nodes "edge": node "n2": parameters: timeuot: '
        'no role of group edge declares it; did you mean "timeout"?',
    ]


def test_a_wrong_value_of_a_node_names_the_node(definitions: Definitions) -> None:
    definitions.change(TARGET, '"10.0.0.2"', '"10.0.0.999"')
    assert definitions.problems() == [
        'lab/targets/container.hcl:13: nodes "edge": node "n2": parameters: router_id: "10.0.0.999" is no address: '
        '999 is out of range 0 to 255; write one such as "192.0.2.10" or "2001:db8::10"'
    ]


def test_resolving_what_was_never_checked_raises_all_problems(definitions: Definitions) -> None:
    system = definitions.catalog.system("lab")
    target = definitions.catalog.target(system, "container")
    definitions.change(SYSTEM, "asn   = 64512\n", "")
    changed = definitions.catalog.system("lab")
    group = changed.groups[0]
    with pytest.raises(BadDefinition) as caught:
        resolve(changed, group, group.roles[0], target, target.nodes[0])
    assert [problem.line for problem in caught.value.problems] == [8]
