"""Free subnets for a deployment's networks. Pure: what is taken is passed in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from common.errors import BadInput, Conflict
from seter.state import Subnets

GATEWAY = 254  # host part of the engine's own address in each network; nodes have 1 to 199


def candidates(deployment: str, network: str, pool: str, length: int) -> Iterator[IPv4Network]:
    """All subnets of the pool, from a place that depends on the deployment, so that two rarely want the same one."""
    whole = _pool(pool, length)
    count = 1 << (length - whole.prefixlen)
    start = int.from_bytes(hashlib.sha256(f"{deployment}/{network}".encode()).digest()[:4])
    size = 1 << (32 - length)
    for offset in range(count):
        address = int(whole.network_address) + ((start + offset) % count) * size
        yield IPv4Network((address, length))


def _pool(pool: str, length: int) -> IPv4Network:
    whole = ip_network(pool, strict=False)
    if not isinstance(whole, IPv4Network) or not whole.prefixlen <= length <= 24:
        raise BadInput(
            f"{pool} cannot be cut into networks of length {length}",
            resolution="Give an IPv4 pool, and a length between its own and 24.",
        )
    return whole


def free(deployment: str, network: str, pool: str, length: int, taken: Iterable[IPv4Network]) -> Subnets:
    """The first candidate that overlaps nothing, with an IPv6 ULA beside it. Raises Conflict when the pool is full."""
    busy = tuple(taken)
    for candidate in candidates(deployment, network, pool, length):
        if not any(candidate.overlaps(other) for other in busy):
            return Subnets(str(candidate), str(unique_local(deployment, network, candidate)))
    raise Conflict(
        f"no network of length {length} is free in {pool}",
        resolution=f"Destroy a deployment, or give network {network!r} another pool in the target's file.",
    )


def unique_local(deployment: str, network: str, beside: IPv4Network) -> IPv6Network:
    """An IPv6 /64 from fd00::/8 with 40 pseudo-random bits (RFC 4193, 3.2.2), another one for another IPv4 subnet."""
    name = f"{deployment}/{network}/{beside}".encode()
    return IPv6Network((b"\xfd" + hashlib.sha256(name).digest()[:5] + bytes(10), 64))


def address(prefix: str, number: int) -> str:
    """The address with this host part."""
    return str(ip_network(prefix)[number])


def routes(proc_net_route: str) -> tuple[IPv4Network, ...]:
    """The destinations in the text of /proc/net/route (little-endian hexadecimal), without the default route."""
    found = []
    for line in proc_net_route.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and fields[7] != "00000000":
            target, mask = (int.from_bytes(bytes.fromhex(fields[column])[::-1]) for column in (1, 7))
            found.append(IPv4Network((target, mask.bit_count())))
    return tuple(found)
