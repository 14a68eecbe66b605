"""common.conflicts: what cannot be true together is told before anything runs, with both places."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

ROUTER = "roles/router/role.hcl"
PROXY = "roles/proxy/role.hcl"
SYSTEM = "lab/system.hcl"
TARGET = "lab/targets/container.hcl"


def add_group(definitions: Definitions, role: str) -> None:
    definitions.change(SYSTEM, '  check "spread"', f'  group "more" {{\n    {role}\n  }}\n  check "spread"')


def test_two_nodes_with_one_name(definitions: Definitions) -> None:
    definitions.change(
        SYSTEM, '  check "spread"', '  group "more" {\n    role "router" { peers = "edge" }\n  }\n  check "spread"'
    )
    definitions.change(SYSTEM, "asn   = 64512", "")
    definitions.change(SYSTEM, "parameters {\n", "parameters {\n    asn = 64512\n")
    more = (
        '  nodes "more" {\n    node "n1" {\n      networks = ["fabric"]\n      parameters { router_id = "9.9.9.9" }\n'
        '    }\n  }\n  nodes "edge" {'
    )
    definitions.change(TARGET, '  nodes "edge" {', more)
    assert definitions.problems() == [
        'lab/targets/container.hcl:12: node "n1" of group "edge" is called as '
        'node "n1" of group "more" (lab/targets/container.hcl:6); give one of them another name'
    ]


def test_two_nodes_with_one_address(definitions: Definitions) -> None:
    definitions.change(TARGET, 'node "n2" {\n', 'node "n2" {\n      address = "10.0.0.1"\n')
    assert definitions.problems() == [
        'lab/targets/container.hcl:11: node "n2" of group "edge" has the address 10.0.0.1 of '
        'node "n1" of group "edge" (lab/targets/container.hcl:6); give one of them another address'
    ]


def test_two_nodes_with_one_address_written_differently(definitions: Definitions) -> None:
    definitions.change(TARGET, 'node "n2" {\n', 'node "n2" {\n      address6 = "2001:db8:0:0::1"\n')
    definitions.change(TARGET, 'address  = "10.0.0.1"', 'address6 = "2001:DB8::1"')
    assert len(definitions.problems()) == 1


def test_two_nodes_with_one_router_id(definitions: Definitions) -> None:
    definitions.change(TARGET, '"10.0.0.2"', '"10.0.0.1"')
    assert definitions.problems() == [
        'lab/targets/container.hcl:13: node "n2" of group "edge" has the router id 10.0.0.1 of '
        'node "n1" of group "edge" (lab/targets/container.hcl:9); give each node its own'
    ]


def test_a_node_with_a_virtual_address(definitions: Definitions) -> None:
    definitions.change(TARGET, 'address  = "10.0.0.1"', 'address = "192.0.2.10"')
    assert definitions.problems() == [
        'lab/targets/container.hcl:6: node "n1" of group "edge" has the address 192.0.2.10, '
        "which is a virtual one (lab/system.hcl:4); give the node another address"
    ]


def test_two_roles_of_one_node_on_one_port(definitions: Definitions) -> None:
    definitions.change(PROXY, "listens = [443]", "listens = [443, 179]")
    assert definitions.problems() == [
        'roles/proxy/role.hcl:13: group "edge": role "proxy" wants port 179, which '
        'role "router" (roles/router/role.hcl:23) wants on the same node; '
        "give one of them another port, or another group"
    ]


def test_a_port_for_metrics_is_wanted_too(definitions: Definitions) -> None:
    definitions.change(ROUTER, "listens = [179]", "listens = [8082]")
    (problem,) = definitions.problems()
    assert problem.startswith('roles/proxy/role.hcl:5: group "edge": role "proxy" wants port 8082, which role "router"')


def test_roles_in_different_groups_may_want_one_port(definitions: Definitions) -> None:
    definitions.change(PROXY, "listens = [443]", "listens = [179]")
    definitions.change(PROXY, 'needs   = ["router"]', "")
    definitions.change(SYSTEM, '    role "proxy" {}\n', "")
    add_group(definitions, 'role "proxy" {}')
    definitions.change(
        TARGET, '  nodes "edge"', '  nodes "more" {\n    node "m" { networks = ["fabric"] }\n  }\n  nodes "edge"'
    )
    assert definitions.problems() == []


def test_two_roles_of_one_node_that_set_the_kernel_differently(definitions: Definitions) -> None:
    definitions.change(PROXY, "metrics = 8082", 'sysctls = ["net.ipv4.ip_forward=0", "net.core.somaxconn=4096"]')
    assert definitions.problems() == [
        'roles/proxy/role.hcl:5: group "edge": role "proxy" sets net.ipv4.ip_forward to 0, role "router" '
        "(roles/router/role.hcl:4) to 1 on the same node; make them agree, or put them into different groups"
    ]


def test_roles_that_agree_on_the_kernel_are_no_conflict(definitions: Definitions) -> None:
    definitions.change(PROXY, "metrics = 8082", 'sysctls = ["net.ipv4.ip_forward=1"]')
    assert definitions.problems() == []


def test_all_conflicts_come_at_once(definitions: Definitions) -> None:
    definitions.change(PROXY, "listens = [443]", "listens = [179]")
    definitions.change(PROXY, "metrics = 8082", 'sysctls = ["net.ipv4.ip_forward=0"]')
    definitions.change(TARGET, '"10.0.0.2"', '"10.0.0.1"')
    definitions.change(TARGET, 'address  = "10.0.0.1"', 'address = "192.0.2.10"')
    assert len(definitions.problems()) == 4
