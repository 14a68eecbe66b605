"""Networks of an engine: bridges of its own, or the wire that an interface of its machine is on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

import docker.errors
from docker.types import IPAMConfig, IPAMPool

from common.system import Target
from seter.provisioner import labels
from seter.provisioner.docker_errors import translated
from seter.provisioner.returning import Returning
from seter.provisioner.subnets import GATEWAY, address, free, routes
from seter.state import Subnets


@dataclass(frozen=True, slots=True)
class Wire:
    """A network whose containers are on the wire of an interface, each with a MAC address of its own (macvlan)."""

    parent: str
    gateway: str = ""


def wires(target: Target) -> dict[str, Wire]:
    """The target's networks of that kind, as its first engine's machine has them."""
    own = dict(target.engines[0].parents) if target.engines else {}
    found = {each.name: Wire(own.get(each.name, each.parent), each.gateway) for each in target.networks}
    return {name: wire for name, wire in found.items() if wire.parent}


class Networked(Returning):
    """Nodes on networks of an engine."""

    wires: Mapping[str, Wire]
    engine: Any  # the SDK's client
    _mark: str

    def taken(self) -> tuple[IPv4Network, ...]:
        """See the interface. What any Docker network has and what this host has a route to."""
        with translated("looking for free addresses"):
            busy = labels.taken(self.engine.networks())
        known = Path("/proc/net/route")
        return busy + (routes(known.read_text()) if known.exists() else ())

    def free_subnets(self, network: str, pool: str, length: int) -> Subnets:
        """See the interface."""
        return free(str(self.deployment), network, pool, length, self.taken())

    def ensure_network(self, network: str, subnets: Subnets) -> bool:
        """See the interface. Not `internal`: that would drop the virtual IPs, which are in no subnet of the bridge."""
        name = self.network_name(network)
        driver, options, pools = settings(subnets, self.wires.get(network))
        marks = labels.of_part(self.deployment, "network") | {labels.NETWORK: network}
        with translated(f"making network {name}"):
            try:
                self.engine.create_network(
                    name, driver, options=options, check_duplicate=True, labels=marks, enable_ipv6=bool(subnets.v6),
                    ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=each, gateway=way) for each, way in pools.items()]),
                )  # fmt: skip
            except docker.errors.APIError as error:
                text = str(error.explanation)
                if "overlap" in text:
                    return False
                if "already exists" not in text:
                    raise
                labels.refuse_foreign(self.deployment, "network", {name}, self.engine.networks(names=[name]))
        return True

    def remove_network(self, network: str) -> None:
        """See the interface."""
        name = self.network_name(network)
        with translated(f"removing network {name}"):
            # By label: a name would also find those that it is only a part of.
            for found in self.engine.networks(filters={"label": [self._mark, f"{labels.NETWORK}={network}"]}):
                self.engine.remove_network(found["Id"])


def settings(subnets: Subnets, wire: Wire | None) -> tuple[str, dict[str, str], dict[str, str]]:
    """Driver, options, and each prefix with its gateway. Pure."""
    if wire is None:
        pools = {prefix: address(prefix, GATEWAY) for prefix in (subnets.v4, subnets.v6) if prefix}
        return "bridge", {"com.docker.network.bridge.enable_ip_masquerade": "false"}, pools
    # What is for elsewhere goes to the gateway of that wire, which may not be there at all; without one Docker would
    # take the first address of the prefix for itself.
    pools = {subnets.v4: wire.gateway or str(ip_network(subnets.v4)[-2])}
    pools |= {subnets.v6: address(subnets.v6, GATEWAY)} if subnets.v6 else {}
    return "macvlan", {"parent": wire.parent, "macvlan_mode": "bridge"}, pools
