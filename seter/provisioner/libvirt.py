"""Virtual machines of a libvirt daemon, by the provider dmacvicar/libvirt, as its documentation of 0.8 says.

That provider could not be had where this was written: what is made here is compared with golden files and was never
run. What a machine is told comes on a disk as cloud-init's NoCloud has it, which our images' initramfs reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from common.machine.emulated import FIRMWARE
from common.system import Machine
from seter.provisioner.modules import Document, Found, Given, Life, Module, Wish, literal
from seter.provisioner.openstack import user_data
from seter.provisioner.subnets import GATEWAY, address
from seter.state import Subnets

SOURCE, VERSION = "dmacvicar/libvirt", "~> 0.8.3"
URI = "qemu:///system"
DOMAIN, NETWORK = "libvirt_domain.machine", "libvirt_network.network"


class Libvirt(Module):
    """See the interface."""

    asks_terraform = True
    state_device = "/dev/vdb"  # the second of a domain's virtio disks

    def network(self, name: str, subnets: Subnets, machine: Machine) -> Given:
        return {
            **_of(machine),
            "kind": "network",
            "name": f"{self.deployment.prefix}.{name}",
            "subnets": [subnets.v4, subnets.v6],
        }

    def node(self, wish: Wish) -> Given:
        return {
            **_of(wish.machine),
            "kind": "machine",
            "node": wish.node,
            "name": f"{self.deployment.prefix}.{wish.node}",
            "needs": [f"network-{each.network}" for each in wish.cards],
            "image": wish.image,
            "base": str(wish.disk),
            "memory": wish.machine.memory >> 20,
            "cores": wish.machine.cores,
            "size": wish.machine.disk,
            "cards": [[wish.outputs[f"network-{each.network}"]["network"], each.mac] for each in wish.cards],
        }

    def secret(self, wish: Wish) -> Mapping[str, str]:
        return {"TF_VAR_user_data": user_data(wish.told)}

    def config(self, given: Given) -> Document:
        made = _network(given) if given["kind"] == "network" else _machine(given)
        return {
            "terraform": {"required_providers": {"libvirt": {"source": SOURCE, "version": VERSION}}},
            "provider": {"libvirt": {"uri": literal(given["uri"])}},
            **made,
        }

    def has_network(self, given: Given, found: Found) -> bool:
        return NETWORK in found

    def life(self, given: Given, found: Found) -> Life:
        if DOMAIN not in found:
            return Life.ABSENT
        return Life.ON if found[DOMAIN].get("running", True) else Life.OFF


def _of(machine: Machine) -> dict[str, Any]:
    return {"uri": machine.uri or URI, "providers": machine.providers}


def _network(given: Given) -> Document:
    # The addresses are the daemon's own in the network: the last but one, as seter's networks have it.
    addresses = [f"{address(prefix, GATEWAY)}/{ip_network(prefix).prefixlen}" for prefix in given["subnets"]]
    network = {
        "name": literal(given["name"]),
        "mode": "route",
        "autostart": True,
        "addresses": addresses,
        "dhcp": {"enabled": False},
        "dns": {"enabled": False},
    }
    outputs = {"network": {"value": f"${{{NETWORK}.id}}"}}
    return {"resource": {"libvirt_network": {"network": network}}, "output": outputs}


def _machine(given: Given) -> Document:
    name = literal(given["name"])
    volumes = {
        "base": {"name": f"{name}.base.qcow2", "source": literal(given["base"]), "format": "qcow2"},
        "root": {"name": f"{name}.root.qcow2", "base_volume_id": "${libvirt_volume.base.id}", "format": "qcow2"},
        "state": {"name": f"{name}.state.qcow2", "size": given["size"], "format": "qcow2"},
    }
    machine = {
        "name": name,
        "memory": given["memory"],
        "vcpu": given["cores"],
        "firmware": str(FIRMWARE),
        "running": True,
        "autostart": True,
        "cloudinit": "${libvirt_cloudinit_disk.told.id}",
        "disk": [{"volume_id": f"${{libvirt_volume.{each}.id}}"} for each in ("root", "state")],
        "network_interface": [{"network_id": literal(network), "mac": mac} for network, mac in given["cards"]],
        "console": [{"type": "pty", "target_port": "0", "target_type": "serial"}],
    }
    told = {"name": f"{name}.told.iso", "user_data": "${var.user_data}"}
    return {
        "variable": {"user_data": {"type": "string", "sensitive": True, "default": ""}},
        "resource": {
            "libvirt_volume": volumes,
            "libvirt_cloudinit_disk": {"told": told},
            "libvirt_domain": {"machine": machine},
        },
    }
