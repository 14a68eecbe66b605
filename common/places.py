"""Where a node has to be said to be, by what it is: hosts at their addresses, what is made on its networks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from common.system import Network, Node
from common.values import Wrong


def place_faults(node: Node, networks: Iterable[Network]) -> Iterator[Wrong]:
    """What is missing, or cannot be; each reads on from the name of the node."""
    if (node.kind == "baremetal" or node.existing) and not node.address:
        yield Wrong("has no address", "add address = …")
    elif node.kind != "baremetal" and not node.existing and not node.networks:
        yield Wrong("is on no network", 'add networks = ["…"]')
    elif node.kind == "container" and not node.existing:
        yield from _of_container(node, networks)


def _of_container(node: Node, networks: Iterable[Network]) -> Iterator[Wrong]:
    """A container has the addresses that it is given on networks that are there already, and no others."""
    prefixes = {
        network.name: [ip_network(prefix) for prefix in (network.prefix, network.prefix6) if prefix]
        for network in networks
        if network.name in node.networks
    }
    given = [ip_address(text) for text in (node.address, node.address6, *node.addresses) if text]
    for address in given if any(prefixes.values()) else ():
        if not any(address in prefix for each in prefixes.values() for prefix in each):
            yield Wrong(
                f"has the address {address}, which is in no prefix of its networks",
                "leave it out: addresses of others are picked",
            )
    for name, each in prefixes.items():
        if each and not any(address in prefix for address in given for prefix in each):
            yield Wrong(f"has no address on network {name}", f"add address = …, which is free in {each[0]}")
