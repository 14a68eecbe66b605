"""common.services and what common.parameters makes of them: several services of one system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from common.parameters import resolve, resolve_services
from common.role import Value
from common.services import checks_of, said_of

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

ROUTER, PROXY = "roles/router/role.hcl", "roles/proxy/role.hcl"
SYSTEM, TARGET = "lab/system.hcl", "lab/targets/container.hcl"


@pytest.fixture
def two(definitions: Definitions) -> Definitions:
    """The proxy tells services apart, the router does not; there is one beside the first."""
    parameter = '  parameter "vips" {\n    type    = "list(address)"\n    summary = "v"\n  }\n  process {'
    definitions.change(PROXY, "  process {", parameter)
    definitions.change(PROXY, "  metrics = 8082", '  metrics = 8082\n  per_service = ["vips", "timeout"]')
    definitions.change(SYSTEM, '  group "edge" {', '  service "cold" {\n vips = ["192.0.2.20"]\n }\n  group "edge" {')
    assert definitions.problems() == []
    return definitions


def told(definitions: Definitions, role: str) -> tuple[Mapping[str, Value], Mapping[str, Mapping[str, Value]]]:
    system, target = definitions.catalog.definition("lab", "container")
    group = system.groups[0]
    (use,) = (use for use in group.roles if use.role.name == role)
    where = (system, group, use, target, target.nodes[0])
    return resolve(*where), resolve_services(*where)


def test_who_tells_services_apart_has_each_and_who_does_not_has_the_addresses_of_all(two: Definitions) -> None:
    first, others = told(two, "proxy")
    assert first["vips"] == ("192.0.2.10",)
    assert others == {"cold": {"vips": ("192.0.2.20",), "timeout": first["timeout"]}}
    first, others = told(two, "router")
    assert (first["vips"], others) == (("192.0.2.10", "192.0.2.20"), {})


def test_a_parameter_that_stands_for_the_addresses_stands_for_those_of_all(two: Definitions) -> None:
    parameter = '  parameter "own" {\n    type    = "list(address)"\n    summary = "o"\n  }\n  process {'
    two.change(ROUTER, "  process {", parameter)
    two.change(SYSTEM, "      asn   = 64512", '      asn   = 64512\n      own   = "vips"')
    assert told(two, "router")[0]["own"] == ("192.0.2.10", "192.0.2.20")


def test_the_target_says_more_of_a_service_and_may_have_one_of_its_own(two: Definitions) -> None:
    more = 'network "fabric" {}\n  service "cold" { timeout = "9s" }\n  service "warm" { vips = ["192.0.2.30"] }'
    two.change(TARGET, 'network "fabric" {}', more)
    others = told(two, "proxy")[1]
    assert others["cold"]["vips"] == ("192.0.2.20",) and str(others["cold"]["timeout"]) == "0:00:09"
    assert others["warm"]["vips"] == ("192.0.2.30",)
    assert told(two, "router")[0]["vips"] == ("192.0.2.10", "192.0.2.20", "192.0.2.30")


def test_each_service_has_its_own_check(two: Definitions) -> None:
    system, target = two.catalog.definition("lab", "container")
    assert [(check.name, check.service) for check in checks_of(system, target)] == [
        ("spread", ""),
        ("spread cold", "cold"),
    ]
    assert said_of(system, target, "") == {"vips": ("192.0.2.10",)}
    assert said_of(system, target, "cold") == {"vips": ("192.0.2.20",)}


def test_one_service_is_as_before(definitions: Definitions) -> None:
    system, target = definitions.catalog.definition("lab", "container")
    assert checks_of(system, target) == system.checks
    assert told(definitions, "router")[1] == {} and said_of(system, target, "") == {}


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ('service "cold" {\n vips = ["192.0.2.10"]\n }', '"192.0.2.10" is that of service main'),
        ('service "cold" {\n timeout = "2s"\n }', 'service "cold" has no vips of its own'),
        ('service "cold" {\n vips = ["192.0.2.300"]\n }', "is no address"),
        ('service "cold" {\n vips = ["192.0.2.20"]\n asn = 5\n }', "no role of the system takes it for each service"),
        ('service "main" {\n vips = ["192.0.2.20"]\n }', "is the service that parameters { … } describe"),
        (
            'service "a" {\n vips = ["2001:db8::1"]\n }\n service "b" {\n vips = ["2001:db8:0::1"]\n }',
            "is that of service a",
        ),
    ],
)
def test_what_is_wrong_with_a_service_is_said_once(two: Definitions, service: str, said: str) -> None:
    two.change(SYSTEM, 'service "cold" {\n vips = ["192.0.2.20"]\n }', service)
    problems = two.problems()
    assert len([line for line in problems if said in line]) == 1, problems


def test_a_role_takes_for_each_service_only_what_it_knows(definitions: Definitions) -> None:
    definitions.change(PROXY, "  metrics = 8082", '  metrics = 8082\n  per_service = ["timeouts"]')
    (problem,) = definitions.problems()
    assert "timeouts is no parameter" in problem and "timeout" in problem
