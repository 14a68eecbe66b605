"""What the roles of the data plane write, to the byte. `SETER_GOLDEN=write` writes the files anew; read the diff."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from common.catalog import Catalog
from common.role import Process
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
    parameters = {"vips": VIPS, "asn": 64513, "peer_asn": 64512, "peers": peers, "bfd_interval": 0.1}
    parameters |= {"bfd_multiplier": 3} | changes
    variables = {f"{prefix}_{name}": value for name, value in parameters.items()}
    return rendered(ROLES / role / "templates" / "bird.conf.j2", {**variables, "node": me})


def test_the_gateway_s_bird_announces_the_virtual_ips_alone_and_only_when_told() -> None:
    same("bird-gateway.conf", bird("bird-gateway", GATEWAYS[0], ROUTERS))


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
