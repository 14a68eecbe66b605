"""What of a gateway can be reached, and from where: asked by nodes of a deployment."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Running
from tests.integration.test_roles_services import GATEWAYS, run, says
from tests.lab.waiting import soon

# Asks each HOST PORT for a connection, and says which got one; a firewall that drops says nothing.
KNOCK = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def open_(door):
    try:
        socket.create_connection(door, timeout=1.5).close()
    except OSError:
        return None
    return door
doors = [(sys.argv[1], int(port)) for port in sys.argv[2:]]
with ThreadPoolExecutor(64) as pool:
    print(*(door[1] for door in pool.map(open_, doors) if door))
"""


def reached(running: Running, node: str, role: str, host: str, ports: list[int]) -> set[int]:
    """Of these ports, those that a connection is had to, from the container of this role."""
    said = run(running, node, role, "python3", "-c", KNOCK, host, *map(str, ports))
    return {int(port) for port in said.split()}


def address(running: Running, node: str) -> str:
    """In the network of the gateways."""
    name = f"s3-lb.container.{running.instance}.{node}"
    networks = json.loads(running.docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", name))
    return str(next(each["IPAddress"] for name, each in networks.items() if "fabric" in name))


def listening(running: Running) -> list[int]:
    """Every TCP port of a gateway that anything listens on, on whatever address."""
    tables = run(running, "gw1", "second-chance", "cat", "/proc/net/tcp", "/proc/net/tcp6")
    rows = [line.split() for line in tables.splitlines() if "local_address" not in line]
    return sorted({int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"})  # TCP_LISTEN


@pytest.mark.parametrize("host", ["192.0.2.10", "2001:db8::10"])
def test_clients_reach_the_service_and_nothing_else(running: Running, host: str) -> None:
    ports = listening(running)
    assert {80, 179, 443, 2379, 7443, 7480, 8082, 9551} <= set(ports)
    assert reached(running, "cl1", "s3-client", host, ports) == {80, 443}


def test_each_neighbour_reaches_what_is_for_it(running: Running) -> None:
    ports, gateway = listening(running), address(running, "gw1")
    # BGP answers to who signs with the password alone (RFC 2385), so it is not among them.
    assert reached(running, "rt1", "bird-router", gateway, ports) == {80, 443}
    assert reached(running, "gw2", "traefik", gateway, ports) == {80, 443, 2379, 2380, 7443}
    metrics = {2381, 8082, 9551, 9553, 9554, 9558}
    watched = reached(running, "mo1", "prometheus", gateway, ports)
    assert metrics <= watched and not watched & {179, 2379, 2380, 7443, 7480, 8080}


def test_rules_that_somebody_deletes_are_back(running: Running) -> None:
    before = says(running, "gw2", "firewall", "firewall", "status")["corrections"]
    run(running, "gw2", "firewall", "nft", "delete", "table", "inet", "seter_firewall")
    soon(lambda: says(running, "gw2", "firewall", "firewall", "status")["corrections"] > before, 10, "they are back")
    assert says(running, "gw2", "firewall", "firewall", "status")["ok"]


def test_a_stranger_s_bfd_is_refused_and_counted(running: Running) -> None:
    before = says(running, "gw1", "firewall", "firewall", "status")["refused"]
    forged = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        f"[s.sendto(b'x', ('{address(running, 'gw1')}', 3784)) for _ in range(20)]"
    )
    run(running, "mo1", "prometheus", "python3", "-c", forged)
    soon(
        lambda: says(running, "gw1", "firewall", "firewall", "status")["refused"] >= before + 20,
        10,
        "BFD of a stranger",
    )
    assert all(says(running, node, "health", "health", "status")["announced"] for node in GATEWAYS)
