"""Virtual machines of an OpenStack cloud, by the provider terraform-provider-openstack/openstack.

Networks are made with the addresses that seter picks; each node has a port in each of its networks, with fixed
addresses and the prefixes that it may announce. Nodes of a group are kept apart by a server group; their disk is an
image that is uploaded once. What a machine is told comes on its config drive, as user data, which our images'
initramfs hands to systemd as credentials. Credentials of the cloud are the operator's own (clouds.yaml), and in no file
of ours.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from common.system import Machine
from seter.provisioner.modules import Document, Found, Given, Life, Module, Wish, literal
from seter.provisioner.subnets import GATEWAY, address
from seter.state import Subnets

SOURCE, VERSION = "terraform-provider-openstack/openstack", "3.4.0"
IMAGE, GROUP = "image-", "group-"  # what units' names begin with
USER_DATA = "#seter"  # its first line, by which our images know that it is for them
POWER = {"active": Life.ON, "shutoff": Life.OFF, "build": Life.STARTING}
MACHINE = "openstack_compute_instance_v2.machine"
NETWORK = "openstack_networking_network_v2.network"


class Openstack(Module):
    """See the interface."""

    asks_terraform = True
    state_device = "/dev/vdb"  # the second disk of an instance, as virtio has them

    def network(self, name: str, subnets: Subnets, machine: Machine) -> Given:
        return {
            **_of(machine),
            "kind": "network",
            "name": f"{self.deployment.prefix}.{name}",
            "subnets": [subnets.v4, subnets.v6],
            "router": machine.router,
        }

    def shared(self, wish: Wish) -> Mapping[str, Given]:
        name, group = self.deployment.prefix, wish.group
        image = wish.image.rpartition(":")[2]
        return {
            f"{IMAGE}{image[:16]}": {
                **_of(wish.machine),
                "kind": "image",
                "name": f"{name}.{wish.image}",
                "base": str(wish.disk),
            },
            f"{GROUP}{group}": {**_of(wish.machine), "kind": "group", "name": f"{name}.{group}"},
        }

    def node(self, wish: Wish) -> Given:
        image, group = self.shared(wish)
        ports = [
            {
                "network": wish.outputs[f"network-{each.network}"]["network"],
                "fixed": [
                    [wish.outputs[f"network-{each.network}"][f"subnet{family}"], text.partition("/")[0]]
                    for family, text in (("4", each.address), ("6", each.address6))
                ],
                "mac": each.mac,
            }
            for each in wish.cards
        ]
        return {
            **_of(wish.machine),
            "kind": "machine",
            "node": wish.node,
            "name": f"{self.deployment.prefix}.{wish.node}",
            "needs": [image, group, *(f"network-{each.network}" for each in wish.cards)],
            "image": wish.outputs[image]["image"],
            "base": str(wish.disk),
            "group": wish.outputs[group]["group"],
            "flavor": wish.machine.flavor,
            "size": -(-wish.machine.disk >> 30) or 1,
            "allowed": list(wish.machine.allowed),
            "ports": ports,
        }

    def secret(self, wish: Wish) -> Mapping[str, str]:
        return {"TF_VAR_user_data": user_data(wish.told)}

    def config(self, given: Given) -> Document:
        made = {"network": _network, "image": _image, "group": _group, "machine": _machine}[str(given["kind"])](given)
        cloud = {"cloud": given["cloud"]} if given["cloud"] else {}
        return {
            "terraform": {"required_providers": {"openstack": {"source": SOURCE, "version": VERSION}}},
            "provider": {"openstack": literal(cloud)},
            **made,
        }

    def has_network(self, given: Given, found: Found) -> bool:
        return NETWORK in found

    def life(self, given: Given, found: Found) -> Life:
        if MACHINE not in found:
            return Life.ABSENT
        return POWER.get(str(found[MACHINE].get("power_state", "")).lower(), Life.ON)


def user_data(told: Mapping[str, str]) -> str:
    """What our images read: a line for each credential, its name and its value in base64. Pure."""
    lines = [f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in sorted(told.items())]
    return "\n".join((USER_DATA, *lines)) + "\n"


def _of(machine: Machine) -> dict[str, Any]:
    return {"cloud": machine.cloud, "providers": machine.providers}


def _network(given: Given) -> Document:
    resources: dict[str, dict[str, Any]] = {
        "openstack_networking_network_v2": {"network": {"name": literal(given["name"]), "admin_state_up": True}},
        "openstack_networking_subnet_v2": {
            f"subnet{family}": {
                "name": literal(f"{given['name']}.{family}"),
                "network_id": f"${{{NETWORK}.id}}",
                "cidr": prefix,
                "ip_version": family,
                "enable_dhcp": False,
                "gateway_ip": address(str(ip_network(prefix)), GATEWAY),
            }
            for family, prefix in zip((4, 6), given["subnets"], strict=True)
        },
    }
    if given["router"]:
        resources["openstack_networking_router_interface_v2"] = {
            f"way{family}": {
                "router_id": literal(given["router"]),
                "subnet_id": f"${{openstack_networking_subnet_v2.subnet{family}.id}}",
            }
            for family in (4, 6)
        }
    outputs = {f"subnet{family}": f"${{openstack_networking_subnet_v2.subnet{family}.id}}" for family in (4, 6)}
    return {"resource": resources, "output": _outputs({"network": f"${{{NETWORK}.id}}", **outputs})}


def _image(given: Given) -> Document:
    image = {
        "name": literal(given["name"]),
        "local_file_path": literal(given["base"]),
        "container_format": "bare",
        "disk_format": "qcow2",
        "visibility": "private",
        # Our disks boot by UEFI, and are virtio's (glance, useful image properties).
        "properties": {"hw_firmware_type": "uefi", "hw_machine_type": "q35", "hw_disk_bus": "virtio"},
        # The file is on the machine that uploaded it: another operator's is no reason to upload it again.
        "lifecycle": {"ignore_changes": ["local_file_path"]},
    }
    address = "openstack_images_image_v2.image"
    return {
        "resource": {"openstack_images_image_v2": {"image": image}},
        "output": _outputs({"image": f"${{{address}.id}}"}),
    }


def _group(given: Given) -> Document:
    group = {"name": literal(given["name"]), "policies": ["soft-anti-affinity"]}
    address = "openstack_compute_servergroup_v2.group"
    return {
        "resource": {"openstack_compute_servergroup_v2": {"group": group}},
        "output": _outputs({"group": f"${{{address}.id}}"}),
    }


def _machine(given: Given) -> Document:
    ports = {
        f"port{number}": {
            "name": literal(f"{given['name']}.{number}"),
            "network_id": literal(port["network"]),
            "mac_address": port["mac"],
            "admin_state_up": True,
            "fixed_ip": [{"subnet_id": literal(subnet), "ip_address": text} for subnet, text in port["fixed"]],
            "allowed_address_pairs": [{"ip_address": prefix} for prefix in given["allowed"]],
        }
        for number, port in enumerate(given["ports"])
    }
    state = {"name": literal(f"{given['name']}.state"), "size": given["size"], "enable_online_resize": True}
    machine = {
        "name": literal(given["name"]),
        "flavor_name": literal(given["flavor"]),
        "image_id": literal(given["image"]),
        "config_drive": True,
        "user_data": "${var.user_data}",
        "power_state": "active",
        "stop_before_destroy": True,
        "network": [{"port": f"${{openstack_networking_port_v2.{name}.id}}"} for name in ports],
        "block_device": [
            _disk(literal(given["image"]), "image", "local", 0, goes=True),
            _disk("${openstack_blockstorage_volume_v3.state.id}", "volume", "volume", -1, goes=False),
        ],
        "scheduler_hints": [{"group": literal(given["group"])}],
    }
    return {
        "variable": {"user_data": {"type": "string", "sensitive": True, "default": ""}},
        "resource": {
            "openstack_networking_port_v2": ports,
            "openstack_blockstorage_volume_v3": {"state": state},
            "openstack_compute_instance_v2": {"machine": machine},
        },
    }


def _disk(uuid: object, source: str, destination: str, index: int, *, goes: bool) -> dict[str, Any]:
    return {
        "uuid": uuid, "source_type": source, "destination_type": destination, "boot_index": index,
        "delete_on_termination": goes,
    }  # fmt: skip


def _outputs(values: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in values.items()}
