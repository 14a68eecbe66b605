"""The ring of gateways: the interfaces over which they hand packets to each other, and the rules by which they do.

A packet in the middle of a TCP flow that reaches a node without its socket goes to the next node of the ring, at most
once round. The interface that it comes in on counts: the uplink is the way from the routers, hop1 says that one node
was asked before, hop2 two. With N nodes there are N hops, so the last asked is the first again; it answers as any host
does when nobody knows the flow, and accepts the SYN cookies that it alone can check. Nothing in a packet changes but
its TTL, and the owner answers the client by itself.

Who the next node is says BIRD: it keeps a route for each hop's name, and BFD moves it on when that node is gone.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Of the ring alone; on no route that leaves a gateway. 198.18.0.0/15 is for tests of devices (RFC 2544, appendix
# C.2.2), the other a prefix that was drawn (RFC 4193). BIRD's configuration has the same.
HOP4, NAME4 = "198.18.{hop}.{number}", "198.19.0.{hop}"
HOP6, NAME6 = "fd73:6574:6572:{hop:x}::{number:x}", "fd73:6574:6572:ffff::{hop:x}"
MAC = "02:73:65:{hop:02x}:00:{number:02x}"  # locally administered (IEEE 802, bit 0x02 of the first octet)
MOST = 64  # members; each hop is an interface on each of them
TABLE = "second_chance"
FAMILIES = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}


@dataclass(frozen=True, slots=True)
class Config:
    """What seter wrote. `rate` is packets a second."""

    address: str
    number: int
    members: tuple[int, ...]
    vips: tuple[str, ...]
    ports: tuple[int, ...]
    rate: int
    metrics_port: int

    @classmethod
    def read(cls, path: str) -> Config:
        """Raises ValueError with the reason."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            config = cls(
                address=str(ipaddress.ip_address(found["address"])),
                number=int(found["number"]),
                members=tuple(sorted(int(number) for number in found["members"])),
                vips=tuple(str(ipaddress.ip_address(vip)) for vip in found["vips"]),
                ports=tuple(int(port) for port in found["ports"]),
                rate=int(found["rate"]),
                metrics_port=int(found["metrics_port"]),
            )
        except (OSError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{path} cannot be used: {type(fault).__name__}: {fault}") from fault
        if config.number not in config.members:
            raise ValueError(f"{path}: this node is no member of the ring")
        if not 0 < config.members[0] <= config.members[-1] < 255 or len(config.members) > MOST:
            raise ValueError(f"{path}: there can be {MOST} members, numbered from 1 to 254")
        if not config.vips or not config.ports or config.rate <= 0:
            raise ValueError(f"{path}: there have to be virtual IPs and ports, and rate is above 0")
        return config

    @property
    def hops(self) -> range:
        """Once round; none where there is nobody else."""
        return range(1, len(self.members) + 1) if len(self.members) > 1 else range(0)

    def of_family(self, version: int) -> tuple[str, ...]:
        """The virtual IPs of IPv4 or IPv6."""
        return tuple(vip for vip in self.vips if ipaddress.ip_address(vip).version == version)


def rules(config: Config, uplink: str) -> str:
    """What `nft -f` reads: all of it or nothing comes to be, in place of what was there. Pure."""
    return "".join(_table(config, version, uplink) for version in FAMILIES if config.of_family(version) and config.hops)


def _table(config: Config, version: int, uplink: str) -> str:
    family, kind = FAMILIES[version]
    name = NAME4 if version == 4 else NAME6
    came_in = [uplink, *(f"hop{hop}" for hop in config.hops)]  # by how many were asked
    # A router on the way that wants smaller packets tells whoever the routers think has the flow: all are told.
    too_big = "icmp type destination-unreachable icmp code 4" if version == 4 else "icmpv6 type packet-too-big"
    told = "".join(
        f'    {family} daddr @vip {too_big} iifname "{came_in[hop - 1]}" dup to {name.format(hop=hop)}\n'
        for hop in config.hops
        if hop < len(config.members)
    )
    ways = ", ".join(f'"{came_in[hop - 1]}" : goto ask{hop}' for hop in config.hops)
    asked = "".join(_asked(config, hop, name.format(hop=hop)) for hop in config.hops)
    return f"""\
table {family} {TABLE}
delete table {family} {TABLE}
table {family} {TABLE} {{
  set vip {{ type {kind}; elements = {{ {", ".join(config.of_family(version))} }} }}
  set ring {{ type ether_addr; elements = {{ {", ".join(_macs(config))} }} }}
  set port {{ type inet_service; elements = {{ {", ".join(map(str, config.ports))} }} }}
{"".join(f"  counter asked{hop} {{ }}{chr(10)}" for hop in config.hops)}\
  counter gave_up {{ }}
  chain before {{
    type filter hook prerouting priority mangle; policy accept;
    iifname "hop*" ether saddr != @ring drop comment "gateways alone speak here"
    {family} daddr @vip tcp dport @port goto look
{told}  }}
  chain look {{
    tcp flags & (fin | syn | rst | ack) == syn return comment "a new flow: ours"
    socket wildcard 0 return comment "its socket is here"
    socket wildcard 1 goto ask comment "only the listener is"
    socket transparent 0 return comment "it begins or ends here"
    goto ask comment "nobody listens"
  }}
  chain ask {{
    iifname vmap {{ {ways}, "{came_in[-1]}" : goto full_circle }}
  }}
{asked}  chain full_circle {{
    counter name gave_up
  }}
}}
"""


def _macs(config: Config) -> list[str]:
    """Of all hop interfaces of all gateways."""
    return [MAC.format(hop=hop, number=number) for number in config.members for hop in config.hops]


def _asked(config: Config, hop: int, name: str) -> str:
    # Only what comes from the routers: what is on its way round was counted by who sent it.
    limit = f"    limit rate over {config.rate}/second burst {max(config.rate // 10, 1)} packets goto full_circle\n"
    return f"""\
  chain ask{hop} {{
{limit if hop == 1 else ""}    counter name asked{hop} dup to {name} drop
  }}
"""


def links(config: Config, uplink: str, present: Mapping[str, str]) -> list[str]:
    """Lines for `ip -batch` that make the hop interfaces of those that are there, MAC by name. Pure."""
    wanted = {f"hop{hop}": MAC.format(hop=hop, number=config.number) for hop in config.hops}
    lines = [f"link del dev {name}" for name, mac in present.items() if wanted.get(name) != mac]
    for hop in config.hops:
        name = f"hop{hop}"
        if present.get(name) != wanted[name]:
            # In private mode a node does not hear itself.
            lines.append(f"link add {name} link {uplink} address {wanted[name]} type macvlan mode private")
        lines.append(f"addr replace {HOP4.format(hop=hop, number=config.number)}/24 dev {name}")
        lines.append(f"addr replace {HOP6.format(hop=hop, number=config.number)}/64 dev {name} nodad")
        lines.append(f"link set {name} up")
    return lines


def uplink_of(links: Sequence[Mapping[str, Any]], address: str) -> str:
    """The interface with the address, in what `ip -json addr show` prints. Raises OSError. Pure."""
    for link in links:
        if any(entry.get("local") == address for entry in link.get("addr_info", ())):
            return str(link["ifname"])
    raise OSError(f"no interface has the address {address} of this node")


def hops_in(links: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """MAC by name of the hop interfaces in what `ip -json link show type macvlan` prints. Pure."""
    return {
        str(link["ifname"]): str(link["address"])
        for link in links
        if str(link.get("ifname", "")).startswith("hop") and str(link["ifname"])[3:].isdigit()
    }


def counters_in(table: Mapping[str, Any]) -> dict[str, int]:
    """Packets by counter, in what `nft --json list table` prints. Pure."""
    counters = (entry["counter"] for entry in table.get("nftables", ()) if "counter" in entry)
    return {str(counter["name"]): int(counter["packets"]) for counter in counters}


def without_counts(table: Mapping[str, Any]) -> list[str]:
    """The same without what was counted: another list means that somebody changed the rules. Pure."""
    return sorted(_plain(entry) for entry in table.get("nftables", ()) if "counter" not in entry)


def _plain(entry: Mapping[str, Any]) -> str:
    """In which order the kernel lists the elements of a set means nothing."""
    if elements := entry.get("set", {}).get("elem"):
        entry = {"set": entry["set"] | {"elem": sorted(map(str, elements))}}
    return json.dumps(entry, sort_keys=True)


class Kernel:
    """What `ip` and `nft` do to this node. All raise OSError."""

    def uplink(self, address: str) -> str:
        """The interface to the routers."""
        return uplink_of(json.loads(_run("ip", "-json", "addr", "show") or "[]"), address)

    def hops(self) -> dict[str, str]:
        """The hop interfaces that are there."""
        return hops_in(json.loads(_run("ip", "-json", "link", "show", "type", "macvlan") or "[]"))

    def link(self, lines: Sequence[str]) -> None:
        """Make them so."""
        _run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def load(self, text: str) -> None:
        """Exchange the rules."""
        _run("nft", "-f", "-", text=text)

    def table(self, version: int) -> dict[str, Any]:
        """Our rules for this version of IP as they are now; empty where there are none."""
        try:
            found: dict[str, Any] = json.loads(_run("nft", "--json", "list", "table", FAMILIES[version][0], TABLE))
        except OSError as fault:
            if "No such file or directory" in str(fault):
                return {}
            raise
        return found


def _run(*argv: str, text: str = "") -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
