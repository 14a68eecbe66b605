"""What templates see."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadInput
from common.role import Opening, Parameter, ParameterType, Role, RoleType, Value
from common.system import Node
from seter.state import Place, Subnets
from seter.variables import Map, certificate_names, metrics_targets, number, of_role, openings

GW1 = Node("gw1", "gateways", networks=("fabric",))
GW2 = Node("gw2", "gateways", networks=("fabric",))
RT1 = Node("rt1", "routers", networks=("fabric", "clients"))
CL1 = Node("cl1", "clients", networks=("clients",))
NODES = (RT1, GW1, GW2, CL1)
SUBNETS = {"fabric": Subnets("10.0.1.0/24", "fd01::/64"), "clients": Subnets("10.0.2.0/24", "fd02::/64")}
MAP = Map(NODES, number(NODES, {}), SUBNETS)


def role(*parameters: Parameter, metrics: int = 0) -> Role:
    return Role("bird-gateway", RoleType.SERVICE, "", Path(), parameters=parameters, metrics=metrics)


def test_a_node_is_seen_by_its_address_in_the_first_network_that_both_have() -> None:
    assert MAP.seen_from(CL1, RT1)["address"] == "10.0.2.1"
    assert MAP.seen_from(GW1, RT1)["address"] == "10.0.1.1"
    assert MAP.seen_from(CL1, GW1)["address"] == "10.0.1.2"  # none is shared: its own first one


def test_a_node_has_everything_that_templates_are_promised() -> None:
    assert MAP.seen_from(GW1, GW2) == {
        "name": "gw2",
        "group": "gateways",
        "index": 2,
        "number": 3,
        "address": "10.0.1.3",
        "address6": "fd01::3",
        "networks": {
            "fabric": {"address": "10.0.1.3", "address6": "fd01::3", "prefix": "10.0.1.0/24", "prefix6": "fd01::/64"}
        },
        "manage": True,
        "ssh": 22,
    }


def test_hosts_keep_the_addresses_that_their_target_gives_them() -> None:
    n1 = Node("n1", "gateways", "10.0.1.77", "fd01::77", addresses=("10.0.2.77",))
    n2 = Node("n2", "gateways", "10.0.2.78")
    seen = Map((n1, n2), number((n1, n2), {}), SUBNETS)
    assert list(seen.addresses(n1)) == ["fabric", "clients"]
    assert (seen.addresses(n1)["clients"]["address"], seen.addresses(n1)["clients"]["address6"]) == ("10.0.2.77", "")
    assert (seen.seen_from(n2, n1)["address"], seen.seen_from(n1, n1)["address"]) == ("10.0.2.77", "10.0.1.77")
    assert "" not in certificate_names(("node",), n2, seen, {})


def test_hosts_of_a_target_without_networks_are_on_one() -> None:
    n1, n2 = Node("n1", "a", "10.0.1.1", "fd01::1"), Node("n2", "b", "10.9.9.9")
    seen = Map((n1, n2), number((n1, n2), {}), {})
    assert seen.addresses(n1) == {
        "main": {"address": "10.0.1.1", "address6": "fd01::1", "prefix": "", "prefix6": ""},
    }
    assert seen.seen_from(n1, n2)["address"] == "10.9.9.9"


def test_removing_the_one_in_the_middle_renumbers_nobody() -> None:
    """SE-06."""
    before = number(NODES, {})
    assert number((RT1, GW2, CL1), before) == {name: before[name] for name in ("rt1", "gw2", "cl1")}


def test_a_new_node_gets_the_lowest_place_that_is_free() -> None:
    known = {"gw2": Place("gateways", 2, 3)}
    assert number((GW1, GW2), known) == {"gw2": Place("gateways", 2, 3), "gw1": Place("gateways", 1, 1)}


def test_reordering_the_file_changes_no_place_and_no_list() -> None:
    known = number(NODES, {})
    turned = Map(NODES[::-1], number(NODES[::-1], known), SUBNETS)
    assert turned.groups_from(GW1) == MAP.groups_from(GW1)


def test_more_nodes_than_addresses_are_refused() -> None:
    many = tuple(Node(f"n{index}", "g", networks=("fabric",)) for index in range(200))
    with pytest.raises(BadInput, match="199"):
        number(many, {})


def test_parameters_become_plain_values_with_the_role_s_prefix() -> None:
    parameters = (
        Parameter("interval", ParameterType.DURATION, ""),
        Parameter("longest", ParameterType.DURATION, ""),
        Parameter("peers", ParameterType.NODES, ""),
        Parameter("vips", ParameterType.ADDRESS, "", many=True),
    )
    values: dict[str, Value] = {
        "interval": timedelta(milliseconds=100),
        "longest": timedelta(hours=12),
        "peers": "routers",
        "vips": ("192.0.2.10",),
    }
    groups = MAP.groups_from(GW1)
    assert of_role(role(*parameters), values, groups, {}) == {
        "bird_gateway_interval": 0.1,
        "bird_gateway_longest": 43200,
        "bird_gateway_peers": groups["routers"],
        "bird_gateway_vips": ["192.0.2.10"],
    }


def test_a_role_that_tells_services_apart_gets_those_beside_the_first() -> None:
    vips, backends = (Parameter("vips", ParameterType.ADDRESS, "", many=True), Parameter("b", ParameterType.NODES, ""))
    more: dict[str, Value] = {"vips": ("192.0.2.20",), "b": "routers"}
    groups = MAP.groups_from(GW1)
    apart = replace(role(vips, backends), per_service=("vips", "b"))
    found = of_role(apart, {"vips": ("192.0.2.10",), "b": "gateways"}, groups, {"archive": more})
    assert found["bird_gateway_vips"] == ["192.0.2.10"] and found["bird_gateway_b"] == groups["gateways"]
    assert found["bird_gateway_services"] == [{"name": "archive", "vips": ["192.0.2.20"], "b": groups["routers"]}]
    assert "bird_gateway_services" not in of_role(role(vips), {"vips": ("192.0.2.10",)}, groups, {})


def test_a_value_that_looks_like_a_template_is_refused() -> None:
    with pytest.raises(BadInput, match="bird-gateway: text"):
        of_role(role(Parameter("text", ParameterType.TEXT, "")), {"text": "{{ lookup('pipe', 'id') }}"}, {}, {})


def test_metrics_are_found_at_every_node_of_every_role_that_has_them() -> None:
    roles = {"gateways": (role(metrics=9551),), "routers": (role(),)}
    assert metrics_targets(MAP, RT1, roles) == [
        {"job": "bird-gateway", "node": "gw1", "address": "10.0.1.2", "port": 9551},
        {"job": "bird-gateway", "node": "gw2", "address": "10.0.1.3", "port": 9551},
    ]


def test_a_certificate_covers_the_node_or_what_its_parameters_hold() -> None:
    assert certificate_names(("node",), RT1, MAP, {}) == [
        *("rt1", "10.0.1.1", "fd01::1", "10.0.2.1", "fd02::1", "localhost", "127.0.0.1", "::1")
    ]
    values: dict[str, Value] = {"dns_name": "s3.example.test", "vips": ("192.0.2.10", "2001:db8::10")}
    names = certificate_names(("dns_name", "vips"), RT1, MAP, values)
    assert names == ["s3.example.test", "*.s3.example.test", "192.0.2.10", "2001:db8::10"]


def test_openings_name_addresses_of_both_families_and_leave_out_what_is_for_nobody() -> None:
    router = Role(
        "bird-gateway", RoleType.SERVICE, "", Path(),
        openings=(
            Opening("bgp", ("179",), ("peers",)),
            Opening("api", ("8083",), ("api_from",)),
            Opening("clients", ("80", "443"), ("anyone",)),
            Opening("named", ("22",), ("named", "peers")),
        ),
    )  # fmt: skip
    given: dict[str, Value] = {"peers": "routers", "api_from": (), "named": ("192.0.2.0/24",)}
    found = openings([(router, given)], MAP.groups_from(GW1))
    assert {opening["name"]: opening["from"] for opening in found} == {
        "bgp": ["10.0.1.1", "fd01::1"],
        "clients": ["anyone"],
        "named": ["10.0.1.1", "192.0.2.0/24", "fd01::1"],
    }
    assert found[0]["protocol"] == "tcp" and found[0]["role"] == "bird-gateway"
