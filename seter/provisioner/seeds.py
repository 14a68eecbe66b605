"""What a virtual machine is told at its start, and by which our images know how to behave. Pure.

They are systemd credentials (systemd.system-credentials(7), systemd 254 and newer), so no agent has to be in the image:
who may log in, the machine's own SSH key, its name, its addresses, and the disk that keeps its state.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from uuid import UUID, uuid5

from common.system import Deployment
from seter.provisioner.machines import Pair
from seter.provisioner.subnets import GATEWAY, address
from seter.state import Subnets
from seter.tree import STATE

STATE_DEVICE = "/dev/disk/by-id/virtio-state"  # by the serial number that the module gives the disk
_SPACE = UUID("c5f0b1de-6a50-4a2b-9d3c-0a4b7f3f5f10")  # of our machines' ids (RFC 9562, name-based)


@dataclass(frozen=True, slots=True)
class Card:
    """A network interface: which network it is on, its own addresses there, with the length of the prefix."""

    network: str
    mac: str
    address: str
    address6: str
    gateway: str  # the address of whoever has made the network


def machine_id(deployment: Deployment, node: str) -> UUID:
    """The same for every life of the node."""
    return uuid5(_SPACE, f"{deployment}/{node}")


def mac(deployment: Deployment, node: str, network: str) -> str:
    """Locally administered, in QEMU's range, the same for every life of the node."""
    digest = hashlib.sha256(f"{deployment}/{node}/{network}".encode()).hexdigest()
    return ":".join(("52", "54", "00", *(digest[place : place + 2] for place in (0, 2, 4))))


def card(deployment: Deployment, node: str, place: tuple[str, str, str], subnets: Subnets) -> Card:
    """The interface of a node in a network; `place` is network, IPv4 and IPv6 address."""
    network, v4, v6 = place
    length, length6 = (ip_network(each).prefixlen for each in (subnets.v4, subnets.v6))
    gateway = f"{address(subnets.v4, GATEWAY)}/{length}"
    return Card(network, mac(deployment, node, network), f"{v4}/{length}", f"{v6}/{length6}", gateway)


def credentials(node: str, login: str, host: Pair, cards: Sequence[Card], device: str = STATE_DEVICE) -> dict[str, str]:
    """By name. What is secret in them is the machine's own key; `login` is the public key that may log in, `device` the
    disk that keeps the state."""
    key = base64.b64encode(host.private.encode()).decode()
    public = base64.b64encode(f"{host.public}\n".encode()).decode()
    file = "/etc/ssh/ssh_host_ed25519_key"
    told = {
        "ssh.authorized_keys.root": f"{login}\n",
        "system.hostname": node,
        "tmpfiles.extra": f"f+~ {file} 0600 root root - {key}\nf+~ {file}.pub 0644 root root - {public}\n",
        "fstab.extra": f"{device} {STATE} ext4 x-systemd.makefs,x-systemd.growfs,nofail 0 2\n",
    }
    return told | {f"network.network.10-{each.network}": network_file(each, first=each == cards[0]) for each in cards}


def network_file(card: Card, *, first: bool) -> str:
    """A file of systemd.network(5). The first network has the way out."""
    lines = ["[Match]", f"MACAddress={card.mac}", "[Link]", "RequiredForOnline=no", "[Network]"]
    lines += [f"Address={each}" for each in (card.address, card.address6)]
    lines += ["LinkLocalAddressing=ipv6", "IPv6AcceptRA=no", "DHCP=no"]
    lines += [f"Gateway={card.gateway.partition('/')[0]}"] if first else []
    return "\n".join(lines) + "\n"


def smbios(credentials: Mapping[str, str]) -> dict[str, str]:
    """Each as an OEM string of SMBIOS (type 11), which systemd reads; by a name for its file."""
    return {
        name: f"io.systemd.credential.binary:{name}={base64.b64encode(value.encode()).decode()}"
        for name, value in credentials.items()
    }
