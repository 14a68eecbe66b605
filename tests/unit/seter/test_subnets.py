"""Free subnets."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest

from common.errors import BadInput, Conflict
from seter.provisioner.subnets import address, candidates, free, routes

POOL = "10.213.0.0/16"


def test_a_subnet_that_overlaps_something_is_never_taken() -> None:
    all_but_one = [IPv4Network(("10.213.0.0", 17)), IPv4Network(("10.213.128.0", 18)), IPv4Network("10.213.192.0/19")]
    all_but_one += [IPv4Network(f"10.213.{third}.0/24") for third in range(224, 256) if third != 230]
    assert free("s/t/i", "net", POOL, 24, all_but_one).v4 == "10.213.230.0/24"


def test_a_full_pool_is_said_so() -> None:
    with pytest.raises(Conflict, match="free"):
        free("s/t/i", "net", POOL, 24, [IPv4Network("10.0.0.0/8")])


def test_every_subnet_of_the_pool_is_a_candidate_once() -> None:
    found = list(candidates("s/t/i", "net", POOL, 24))
    assert len(set(found)) == len(found) == 256
    assert all(candidate.subnet_of(IPv4Network(POOL)) for candidate in found)


def test_deployments_begin_to_look_at_different_places() -> None:
    starts = {next(candidates(f"s/t/{number}", "net", POOL, 24)) for number in range(10)}
    assert len(starts) > 5


def test_the_ipv6_network_beside_it_is_a_unique_local_64() -> None:
    network = IPv6Network(free("s/t/i", "net", POOL, 24, []).v6)
    assert network.prefixlen == 64
    assert network.subnet_of(IPv6Network("fd00::/8"))


def test_a_pool_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(BadInput):
        free("s/t/i", "net", "10.0.0.0/28", 24, [])


def test_addresses_of_both_families_have_the_same_host_part() -> None:
    assert address("10.213.4.0/24", 17) == "10.213.4.17"
    assert address("fd00:1::/64", 17) == "fd00:1::11"


def test_routes_of_the_host_are_read_as_the_kernel_prints_them() -> None:
    text = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert routes(text) == (IPv4Network("172.17.0.0/16"),)
