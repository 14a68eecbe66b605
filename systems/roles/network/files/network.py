#!/usr/bin/python3
"""Gives this node the addresses and routes that seter wrote for it, and takes away those of an earlier run.

    network apply FILE     make it so; a second time changes nothing
    network check FILE     exit 0 when FILE can be applied, else 2 and the reason
    network status FILE    JSON: what is wanted, what is there

A next hop among several that is gone is passed over after one or two seconds (`NEIGHBOUR`), where the kernel would take
up to a minute to notice, and half of all connections would wait as long.

Everything that it makes in the kernel carries a protocol number of its own, so it never touches what others made.
Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROTOCOL = 213  # iproute2, etc/iproute2/rt_protos: 200 to 254 are nobody's

# arp(7), "/proc interfaces", here as ip-ntable(8) has them, in milliseconds. Who has not been heard of for half to one
# and a half of `base_reachable` is asked after `delay_probe`, `ucast_probes` times, once in `retrans`. The kernel
# forgets now and then who was gone, and takes it for there until `mcast_probes` say no.
NEIGHBOUR = "base_reachable 500 delay_probe 250 retrans 250 ucast_probes 2 mcast_probes 1"
CACHES = {4: "arp_cache", 6: "ndisc_cache"}

Addr = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the file asks for. A route to each of `to` has one next hop for each of `via` of its family."""

    addresses: tuple[Addr, ...]
    to: tuple[Addr, ...]
    via: tuple[Addr, ...]


@dataclass(frozen=True, slots=True)
class Present:
    """What this program has made in this kernel, of one family."""

    addresses: frozenset[Addr]
    routes: frozenset[Addr]


def parse(text: str) -> Wanted:
    """Read the file's text. Raises ValueError, also for a route without a next hop of its family."""
    document = json.loads(text)
    routes = document["routes"]
    wanted = Wanted(
        addresses=_addresses(document["addresses"]),
        to=_addresses(routes["to"]),
        via=_addresses([*routes["via"], *routes["via6"]]),
    )
    for address in wanted.to:
        if not next_hops(wanted, address):
            raise ValueError(f"{address} has no next hop of its family; give 'via' a group with nodes of that family")
    return wanted


def _addresses(texts: Iterable[str]) -> tuple[Addr, ...]:
    return tuple(ipaddress.ip_address(text) for text in texts)


def next_hops(wanted: Wanted, address: Addr) -> tuple[Addr, ...]:
    """The next hops of the address's family."""
    return tuple(hop for hop in wanted.via if hop.version == address.version)


def batch(wanted: Wanted, present: Present, version: int) -> list[str]:
    """Lines for `ip -batch` that turn `present` into `wanted`, for one family. Pure."""
    addresses = [address for address in wanted.addresses if address.version == version]
    routes = [address for address in wanted.to if address.version == version]
    lines = [_address_line("replace", address) for address in addresses]
    lines += [_route_line(address, next_hops(wanted, address)) for address in routes]
    lines += [_address_line("del", gone) for gone in sorted(present.addresses - set(addresses), key=int)]
    lines += [f"route del {_host(gone)} proto {PROTOCOL}" for gone in sorted(present.routes - set(routes), key=int)]
    return lines


def watched(wanted: Wanted, version: int) -> tuple[Addr, ...]:
    """Next hops of which there are others, of one family. Pure."""
    hops = tuple(hop for hop in wanted.via if hop.version == version)
    return hops if len(hops) > 1 and any(address.version == version for address in wanted.to) else ()


def _host(address: Addr) -> str:
    return f"{address}/{address.max_prefixlen}"


def _address_line(verb: str, address: Addr) -> str:
    if verb == "del":
        return f"addr del {_host(address)} dev lo"
    # Without nodad an IPv6 address is of no use for its first second.
    return f"addr replace {_host(address)} dev lo proto {PROTOCOL}" + (" nodad" if address.version == 6 else "")


def _route_line(address: Addr, hops: tuple[Addr, ...]) -> str:
    return f"route replace {_host(address)} proto {PROTOCOL}" + "".join(f" nexthop via {hop}" for hop in hops)


def present_in(addresses: Sequence[Mapping[str, Any]], routes: Sequence[Mapping[str, Any]]) -> Present:
    """Ours in what `ip -json addr show dev lo` and `ip -json route show` print. Pure."""
    ours = {
        ipaddress.ip_address(entry["local"])
        for link in addresses
        for entry in link.get("addr_info", ())
        if str(entry.get("protocol")) in (str(PROTOCOL), hex(PROTOCOL))
    }
    return Present(frozenset(ours), frozenset(ipaddress.ip_address(route["dst"].split("/")[0]) for route in routes))


def _ip(*arguments: str, text: str = "") -> str:
    argv = ["ip", *arguments]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def observe(version: int) -> Present:
    """What is ours in the kernel now. Raises OSError."""
    family = f"-{version}"
    return present_in(
        json.loads(_ip(family, "-json", "addr", "show", "dev", "lo") or "[]"),
        json.loads(_ip(family, "-json", "route", "show", "proto", str(PROTOCOL)) or "[]"),
    )


def apply(wanted: Wanted) -> None:
    """All addresses and routes of a family in one call of `ip`. Raises OSError."""
    for version in (4, 6):
        lines = batch(wanted, observe(version), version)
        if lines:
            _ip(f"-{version}", "-batch", "-", text="\n".join(lines) + "\n")
            print("\n".join(lines), file=sys.stderr)
        ways = [json.loads(_ip("-json", "route", "get", str(hop))) for hop in watched(wanted, version)]
        for device in sorted({str(way[0]["dev"]) for way in ways}):
            _ip("ntable", "change", "name", CACHES[version], "dev", device, *NEIGHBOUR.split())


def status(wanted: Wanted) -> dict[str, Any]:
    """Wanted and present addresses and routes, as JSON has them."""
    present = [observe(version) for version in (4, 6)]
    addresses = {address for family in present for address in family.addresses}
    routes = {address for family in present for address in family.routes}
    return {
        "ok": addresses == set(wanted.addresses) and routes == set(wanted.to),
        "addresses": {"wanted": _texts(wanted.addresses), "present": _texts(addresses)},
        "routes": {"wanted": _texts(wanted.to), "present": _texts(routes)},
    }


def _texts(addresses: Iterable[Addr]) -> list[str]:
    return sorted(str(address) for address in addresses)


def main(argv: list[str]) -> int:
    """Exit code: 0 done, 1 the kernel refused, 2 the file or the command line is wrong."""
    if len(argv) != 2 or argv[0] not in ("apply", "check", "status"):
        print(__doc__, file=sys.stderr)
        return 2
    verb, path = argv
    try:
        wanted = parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        print(f"network: {path}: {fault}", file=sys.stderr)
        return 2
    try:
        if verb == "apply":
            apply(wanted)
        elif verb == "status":
            print(json.dumps(status(wanted)))
    except OSError as fault:
        print(f"network: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
