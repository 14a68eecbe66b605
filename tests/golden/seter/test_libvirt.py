"""Terraform's files for libvirt, exactly: its provider could not be had, so nothing else has tried them."""

from __future__ import annotations

from pathlib import Path

from common.system import Deployment, Machine
from seter.provisioner import seeds
from seter.provisioner.libvirt import Libvirt
from seter.provisioner.machines import make_pair
from seter.provisioner.modules import Life, Wish
from seter.provisioner.openstack import user_data
from seter.state import Subnets

DEPLOYMENT = Deployment("lb", "virtual", "main")
NETS = Subnets("10.20.0.0/24", "fd00:20::/64")
MACHINE = Machine("libvirt", memory=1 << 30, cores=2, disk=2 << 30, uri="qemu+ssh://ops@kvm1/system")
HEAD = {
    "terraform": {"required_providers": {"libvirt": {"source": "dmacvicar/libvirt", "version": "~> 0.8.3"}}},
    "provider": {"libvirt": {"uri": "qemu+ssh://ops@kvm1/system"}},
}


def wish() -> Wish:
    cards = [seeds.card(DEPLOYMENT, "gw1", ("fabric", "10.20.0.3", "fd00:20::3"), NETS)]
    told = seeds.credentials("gw1", "ssh-ed25519 AAAA", make_pair(), cards, Libvirt.state_device)
    outputs = {"network-fabric": {"network": "6f2a"}}
    return Wish("gw1", "gateways", MACHINE, "vm/lb.gateways@sha256:1", Path("/d/1.qcow2"), cards, told, outputs)


def test_a_network() -> None:
    module = Libvirt(DEPLOYMENT, Path("/s"))
    assert module.config(module.network("fabric", NETS, MACHINE)) == HEAD | {
        "resource": {
            "libvirt_network": {
                "network": {
                    "name": "lb.virtual.main.fabric",
                    "mode": "route",
                    "autostart": True,
                    "addresses": ["10.20.0.254/24", "fd00:20::fe/64"],
                    "dhcp": {"enabled": False},
                    "dns": {"enabled": False},
                }
            }
        },
        "output": {"network": {"value": "${libvirt_network.network.id}"}},
    }


def test_a_machine() -> None:
    module, asked = Libvirt(DEPLOYMENT, Path("/s")), wish()
    assert module.secret(asked) == {"TF_VAR_user_data": user_data(asked.told)}
    assert module.config(module.node(asked)) == HEAD | {
        "variable": {"user_data": {"type": "string", "sensitive": True, "default": ""}},
        "resource": {
            "libvirt_volume": {
                "base": {"name": "lb.virtual.main.gw1.base.qcow2", "source": "/d/1.qcow2", "format": "qcow2"},
                "root": {
                    "name": "lb.virtual.main.gw1.root.qcow2",
                    "base_volume_id": "${libvirt_volume.base.id}",
                    "format": "qcow2",
                },
                "state": {"name": "lb.virtual.main.gw1.state.qcow2", "size": 2 << 30, "format": "qcow2"},
            },
            "libvirt_cloudinit_disk": {
                "told": {"name": "lb.virtual.main.gw1.told.iso", "user_data": "${var.user_data}"}
            },
            "libvirt_domain": {
                "machine": {
                    "name": "lb.virtual.main.gw1",
                    "memory": 1024,
                    "vcpu": 2,
                    "firmware": "/usr/share/OVMF/OVMF_CODE_4M.fd",
                    "running": True,
                    "autostart": True,
                    "cloudinit": "${libvirt_cloudinit_disk.told.id}",
                    "disk": [{"volume_id": "${libvirt_volume.root.id}"}, {"volume_id": "${libvirt_volume.state.id}"}],
                    "network_interface": [
                        {"network_id": "6f2a", "mac": seeds.mac(DEPLOYMENT, "gw1", "fabric")},
                    ],
                    "console": [{"type": "pty", "target_port": "0", "target_type": "serial"}],
                }
            },
        },
    }


def test_what_its_daemon_says_of_a_machine() -> None:
    module = Libvirt(DEPLOYMENT, Path("/s"))
    given = module.node(wish())
    assert module.life(given, {}) is Life.ABSENT
    assert module.life(given, {"libvirt_domain.machine": {"running": False}}) is Life.OFF
    assert module.life(given, {"libvirt_domain.machine": {"running": True}}) is Life.ON
