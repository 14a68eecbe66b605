"""What the roles of the data plane write, to the byte. `SETER_GOLDEN=write` writes the files anew; read the diff."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import second_chance_ring
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from common.catalog import Catalog
from common.role import Process
from seter import document
from seter.blueprint import process_block

HERE = Path(__file__).parent
ROLES = HERE.parents[2] / "systems" / "roles"


def node(name: str, group: str, number: int, *networks: str) -> dict[str, Any]:
    addresses = {
        network: {
            "address": f"10.213.{place}.{number}",
            "address6": f"fd00:{place}::{number}",
            "prefix": f"10.213.{place}.0/24",
            "prefix6": f"fd00:{place}::/64",
        }
        for place, network in enumerate(("fabric", "clients"), start=1)
        if network in networks
    }
    first = addresses[networks[0]]
    found = {"name": name, "group": group, "index": number, "number": number, "networks": addresses, "manage": True}
    return found | {"address": first["address"], "address6": first["address6"]}


ROUTERS = [node("rt1", "routers", 1, "fabric", "clients"), node("rt2", "routers", 2, "fabric", "clients")]
GATEWAYS = [node("gw1", "gateways", 3, "fabric"), node("gw2", "gateways", 4, "fabric")]
VIPS = ["192.0.2.10", "2001:db8::10"]
# The third of them has gone.
RING = [{**GATEWAYS[0], "index": index, "name": f"gw{index}"} for index in (4, 1, 2, 5)]


def templar(variables: dict[str, Any]) -> Templar:
    return Templar(loader=DataLoader(), variables=variables)


def rendered(template: Path, variables: dict[str, Any]) -> str:
    # As the template module does: blocks leave no empty lines, the last newline stays.
    engine = templar(variables).copy_with_new_env(
        searchpath=[str(template.parent)], trim_blocks=True, keep_trailing_newline=True
    )
    return str(engine.template(trust_as_template(template.read_text())))


def same(name: str, text: str) -> None:
    golden = HERE / name
    if os.environ.get("SETER_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def bird(role: str, me: dict[str, Any], peers: list[dict[str, Any]], **changes: object) -> str:
    prefix = role.replace("-", "_")
    parameters = {
        "vips": VIPS,
        "services": [],
        "asn": 64513,
        "peer_asn": 64512,
        "peers": peers,
        "bfd_interval": 0.1,
        "ttl_security": True,
        "password": True,
        "asn_each": False,
    }
    parameters |= {"bfd_multiplier": 3} | changes
    variables = {f"{prefix}_{name}": value for name, value in parameters.items()}
    return rendered(ROLES / role / "templates" / "bird.conf.j2", {**variables, "node": me})


def test_the_gateway_s_bird_announces_the_virtual_ips_alone_and_only_when_told() -> None:
    same("bird-gateway.conf", bird("bird-gateway", GATEWAYS[0], ROUTERS))


def test_a_gateway_in_a_ring_has_a_way_to_the_next_and_one_round_it_for_every_hop() -> None:
    same("bird-gateway-ring.conf", bird("bird-gateway", RING[1], ROUTERS, ring=RING))


@pytest.mark.parametrize(
    ("members", "near"), [([1], []), ([1, 2], [2]), ([1, 2, 3], [2, 3]), (range(1, 7), [2, 3, 5, 6])]
)
def test_a_ring_of_any_size_asks_for_bfd_with_those_who_are_near(members: list[int], near: list[int]) -> None:
    ring = [{**RING[0], "index": index} for index in members]
    text = bird("bird-gateway", ring[0], ROUTERS, ring=ring)
    assert [f"198.18.1.{number}" in text for number in range(1, 7)] == [number in near for number in range(1, 7)]


def second_chance(**changes: object) -> str:
    given = {"vips": VIPS[::-1], "ports": [443, 80], "members": RING, "rate": 20000} | changes
    variables = {f"second_chance_{name}": value for name, value in given.items()} | {"node": RING[1]}
    return rendered(ROLES / "second-chance" / "templates" / "second-chance.json.j2", variables)


def test_the_rules_of_the_ring(tmp_path: Path) -> None:
    path = tmp_path / "second-chance.json"
    path.write_text(second_chance())
    same("second-chance.json", path.read_text())
    same("second-chance.nft", second_chance_ring.rules(second_chance_ring.Config.read(str(path)), "eth0"))


@pytest.mark.parametrize("role", ["bird-gateway", "bird-router"])
def test_what_both_sides_have_to_have_is_left_out_where_it_is_not_asked_for(role: str) -> None:
    text = bird(role, GATEWAYS[0], ROUTERS, ttl_security=False, password=False)
    assert "ttl security" not in text and "password" not in text


def told(name: str, vips: list[str], *, asn_each: bool = False, services: object = None) -> str:
    """What this kind of router is told."""
    given = {"vips": vips, "asn": 64513, "peer_asn": 64512, "bfd_interval": 0.1, "bfd_multiplier": 3}
    given |= {"ttl_security": True, "password": True, "asn_each": asn_each, "services": services or []}
    variables = {f"bird_gateway_{key}": value for key, value in given.items()}
    about = {"node": GATEWAYS[0], "groups_of": {"gateways": GATEWAYS}, "deployment": "s3-lb/lab/main"}
    return document.rendered(ROLES / "bird-gateway" / "documents" / f"{name}.j2", variables | about)


ARCHIVE = {"name": "cold-archive", "vips": ["2001:db8::20", "192.0.2.20"]}


def test_each_service_is_announced_by_protocols_of_its_own() -> None:
    text = bird("bird-gateway", GATEWAYS[0], ROUTERS, services=[ARCHIVE])
    same("bird-gateway-services.conf", text)
    assert re.findall(r"protocol static (\w+)", text) == ["vip4", "vip4_cold_archive", "vip6", "vip6_cold_archive"]


@pytest.mark.parametrize("name", ["bird", "frr", "eos", "junos"])
def test_routers_of_others_are_told_of_all_services(name: str) -> None:
    text = told(name, VIPS, services=[ARCHIVE])
    assert all(vip in text for vip in [*VIPS, "2001:db8::20", "192.0.2.20"])


@pytest.mark.parametrize("name", ["bird", "frr", "eos", "junos"])
def test_each_gateway_may_have_a_system_of_its_own(name: str) -> None:
    text = told(name, VIPS, asn_each=True)
    systems = [64512 + gateway["index"] for gateway in GATEWAYS]
    assert [text.count(str(system)) for system in systems] == [len(VIPS)] * len(systems)
    if name == "frr":
        same("document-frr-each.txt", text)


def test_both_sides_of_a_session_know_the_same_systems() -> None:
    router = bird("bird-router", ROUTERS[0], GATEWAYS, asn=64512, peer_asn=64513, asn_each=True)
    for gateway in GATEWAYS:
        own = bird("bird-gateway", gateway, ROUTERS, asn_each=True)
        assert f"local {gateway['address']} as {64512 + gateway['index']};" in own
        assert f"neighbor {gateway['address']} as {64512 + gateway['index']};" in router


@pytest.mark.parametrize("name", ["bird", "frr", "eos", "junos"])
@pytest.mark.parametrize("vips", [VIPS, VIPS[:1], VIPS[1:]], ids=["both", "ipv4", "ipv6"])
def test_what_routers_of_others_are_told(name: str, vips: list[str]) -> None:
    text = told(name, vips)
    if vips == VIPS:
        same(f"document-{name}.txt", text)
    assert [vip in text for vip in VIPS] == [vip in vips for vip in VIPS]


def test_the_router_s_bird_takes_the_virtual_ips_alone_and_tells_where_clients_are() -> None:
    same("bird-router.conf", bird("bird-router", ROUTERS[0], GATEWAYS, asn=64512, peer_asn=64513))


@pytest.mark.parametrize(("role", "me", "peers"), [("bird-gateway", 0, ROUTERS), ("bird-router", 1, GATEWAYS)])
def test_another_order_of_peers_and_virtual_ips_renders_the_same_bytes(
    role: str, me: int, peers: list[dict[str, Any]]
) -> None:
    first = bird(role, (GATEWAYS + ROUTERS)[me], peers)
    assert bird(role, (GATEWAYS + ROUTERS)[me], peers[::-1], vips=VIPS[::-1]) == first


@pytest.mark.parametrize(("vips", "lacks"), [(["192.0.2.10"], "2001:db8"), (["2001:db8::10"], "192.0.2")])
def test_a_service_of_one_family_leaves_the_other_without_virtual_ips(vips: list[str], lacks: str) -> None:
    for role, me, peers in (("bird-gateway", GATEWAYS[0], ROUTERS), ("bird-router", ROUTERS[0], GATEWAYS)):
        assert lacks not in bird(role, me, peers, vips=vips)


def test_a_peer_without_ipv6_gets_no_session_over_it() -> None:
    peers = [{**ROUTERS[0], "address6": ""}, ROUTERS[1]]
    text = bird("bird-gateway", GATEWAYS[0], peers)
    assert "rt1_v4" in text and "rt1_v6" not in text and "rt2_v6" in text


def test_the_client_s_routes_go_over_all_routers_of_both_families() -> None:
    variables = {"network_addresses": [], "network_routes_to": VIPS, "network_via": ROUTERS}
    same("network.json", rendered(ROLES / "network" / "templates" / "network.json.j2", variables))


def test_a_node_without_next_hops_has_none() -> None:
    variables = {"network_addresses": VIPS, "network_routes_to": [], "network_via": ""}
    assert '"via": []' in rendered(ROLES / "network" / "templates" / "network.json.j2", variables)


# One process block: a container, or a unit


def process_of(role: str) -> dict[str, Any]:
    process = Catalog.open(ROLES.parent).role(role).process
    assert isinstance(process, Process)
    more = {"reload": list(process.reload), "listens": list(process.listens), "role": role, "digest": "0" * 64}
    return process_block(process) | more | {"act": "start"}


def derived(process: dict[str, Any]) -> dict[str, Any]:
    """The variables that service.yml computes from the block."""
    (include,) = yaml.safe_load((ROLES / "process" / "tasks" / "service.yml").read_text())
    trusted = {name: _trusted(value) for name, value in include["vars"].items()}
    engine = templar({"process": process, **trusted})
    return {name: engine.template(value) for name, value in trusted.items()}


def _trusted(value: object) -> object:
    return [_trusted(item) for item in value] if isinstance(value, list) else trust_as_template(value)


def test_a_user_other_than_root_gives_up_everything_but_the_role_s_capabilities() -> None:
    found = derived(process_of("bird-gateway"))
    names = "-all,+net_admin,+net_raw,+net_broadcast,+net_bind_service"
    assert found["process_setpriv"] == [
        "--reuid=bird",
        "--regid=bird",
        "--clear-groups",
        f"--inh-caps={names}",
        f"--ambient-caps={names}",
        f"--bounding-set={names}",
        "--no-new-privs",
    ]
    assert found["process_granted"] == [
        *("NET_ADMIN", "NET_RAW", "NET_BROADCAST", "NET_BIND_SERVICE"),
        *("SETUID", "SETGID", "SETPCAP"),
    ]


def test_a_process_without_capabilities_ends_with_none_and_has_its_groups() -> None:
    found = derived(process_of("health"))
    assert "--init-groups" in found["process_setpriv"] and "--bounding-set=-all" in found["process_setpriv"]


def test_root_has_what_the_role_says_and_nothing_to_change_users_with() -> None:
    found = derived(process_of("network"))
    assert (found["process_setpriv"], found["process_granted"]) == (["--no-new-privs"], ["NET_ADMIN"])
    assert found["process_long_running"] is False


@pytest.mark.parametrize("role", ["bird-gateway", "network", "health"])
def test_the_unit_says_the_same_as_the_container(role: str) -> None:
    process = process_of(role)
    variables = {"process": process, "deployment": "s3-lb/baremetal/main", **derived(process)}
    same(f"seter-{role}.service", rendered(ROLES / "process" / "templates" / "unit.service.j2", variables))


def test_words_of_a_command_reach_systemd_as_they_are() -> None:
    process = process_of("network") | {"command": ["/bin/sh", "-c", 'echo "$HOME" 100%'], "environment": {"A": "b c%"}}
    variables = {"process": process, "deployment": "d", **derived(process)}
    text = rendered(ROLES / "process" / "templates" / "unit.service.j2", variables)
    assert 'ExecStart=/bin/sh -c "echo \\"$$HOME\\" 100%%"\n' in text
    assert 'Environment="A=b c%%"\n' in text
