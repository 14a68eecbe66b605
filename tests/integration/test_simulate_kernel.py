"""What `seter simulate` says of three gateways is what this machine's kernel does: in a network namespace of its own,
which ends with the command.

Which next hop a packet of a flow takes is asked of the kernel (`ip route get`), as it decides for what it forwards.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from seter.simulate import flows
from seter.simulate.hashing import Resilient

GATEWAYS = 3
FLOWS = 4000
NEAR = 0.04  # five standard deviations of a share of one half, of so many flows
VIP = "192.0.2.10"
ROOM = """
set -e
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
sysctl -qw net.ipv4.fib_multipath_hash_policy=1
ip link set lo up
for i in 0 1 2 3; do
  ip link add d$i type veth peer name p$i
  ip address add 10.9.$i.1/24 dev d$i
  ip link set d$i up; ip link set p$i up
done
echo ready
exec cat
"""


class Namespace:
    """A router with three ways to the virtual IP. Gateways are 0, 1, 2."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ip(self, *lines: str) -> str:
        argv = ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", "ip", "-batch", "-"]
        return subprocess.run(argv, input="\n".join(lines), capture_output=True, text=True, check=True).stdout

    def plain(self, there: Sequence[int]) -> None:
        ways = " ".join(f"nexthop via 10.9.{n + 1}.2 dev d{n + 1}" for n in there)
        self.ip(f"route replace {VIP}/32 {ways}")

    def resilient(self, there: Sequence[int], *, idle: int) -> None:
        members = "/".join(str(n + 1) for n in there)
        self.ip(
            f"nexthop replace id 100 group {members} type resilient buckets 512 idle_timer {idle} unbalanced_timer 0"
        )
        self.ip(f"route replace {VIP}/32 nhid 100")

    def table(self) -> list[int]:
        """The gateway of each bucket."""
        return [int(nhid) - 1 for nhid in re.findall(r"index \d+ .*nhid (\d+)", self.ip("nexthop bucket list id 100"))]

    def to(self) -> list[int]:
        """Where each flow goes."""
        asked = (
            f"route get {VIP} from 203.0.113.9 iif d0 ipproto tcp sport {20000 + flow} dport 443"
            for flow in range(FLOWS)
        )
        found = [int(number) - 1 for number in re.findall(r"\bdev d(\d)\b", self.ip(*asked))]
        assert len(found) == FLOWS
        return found


@pytest.fixture
def router() -> Iterator[Namespace]:
    argv = ["unshare", "--net", "sh", "-c", ROOM]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield Namespace(process)
        finally:
            process.kill()


def shares(before: Sequence[int], after: Sequence[int]) -> dict[tuple[int, int], float]:
    return {pair: count / FLOWS for pair, count in Counter(zip(before, after, strict=True)).items()}


def assert_near(seen: flows.Shares, said: flows.Shares) -> None:
    for pair in seen.keys() | said.keys():
        assert seen.get(pair, 0.0) == pytest.approx(said.get(pair, 0.0), abs=NEAR), (pair, seen, said)


@pytest.mark.parametrize("gone", range(GATEWAYS))
def test_a_multipath_route_moves_the_flows_that_the_model_says(router: Namespace, gone: int) -> None:
    said = flows.transitions("threshold", GATEWAYS, gone)
    router.plain(range(GATEWAYS))
    before = router.to()
    router.plain([n for n in range(GATEWAYS) if n != gone])
    without = router.to()
    router.plain(range(GATEWAYS))
    again = router.to()
    assert_near(shares(before, without), said["leave"])
    assert_near(shares(without, again), said["return"])
    assert again == before


def test_all_flows_break_when_each_gateway_in_turn_is_drained_and_comes_back(router: Namespace) -> None:
    """As in a lab of real gateways without the ring: 200 of 200 (decision 0020)."""
    router.plain(range(GATEWAYS))
    at, broke = router.to(), [False] * FLOWS
    for gone in range(GATEWAYS):
        for there in ([n for n in range(GATEWAYS) if n != gone], list(range(GATEWAYS))):
            router.plain(there)
            now = router.to()
            broke = [was or old != new for was, old, new in zip(broke, at, now, strict=True)]
            at = now
    (said,) = [each for each in flows.broken("threshold", GATEWAYS) if each.event == "update"]
    assert sum(broke) / FLOWS == said.mean == 1.0
    (ring,) = [each for each in flows.broken(flows.RING, GATEWAYS) if each.event == "update"]
    assert ring.mean == 0.0


@pytest.mark.parametrize("gone", range(GATEWAYS))
def test_a_resilient_group_moves_the_flows_of_the_one_that_leaves_and_none_when_it_comes_back(
    router: Namespace, gone: int
) -> None:
    said = flows.transitions("resilient, all busy", GATEWAYS, gone)
    router.ip(*(f"nexthop add id {n + 1} via 10.9.{n + 1}.2 dev d{n + 1}" for n in range(GATEWAYS)))
    router.resilient(range(GATEWAYS), idle=300)
    before = router.to()
    router.resilient([n for n in range(GATEWAYS) if n != gone], idle=300)
    without = router.to()
    router.resilient(range(GATEWAYS), idle=300)
    again = router.to()
    assert_near(shares(before, without), said["leave"])
    assert again == without, "all buckets were in use"
    assert_near(shares(without, again), said["return"])


def test_buckets_that_nobody_used_go_to_the_one_that_comes_back_until_it_has_its_share(router: Namespace) -> None:
    router.ip(*(f"nexthop add id {n + 1} via 10.9.{n + 1}.2 dev d{n + 1}" for n in range(GATEWAYS)))
    router.resilient(range(GATEWAYS), idle=1)
    router.resilient([0, 2], idle=1)
    time.sleep(2.5)
    router.resilient(range(GATEWAYS), idle=1)
    model = Resilient(idle=frozenset(range(512)))
    for there in (range(GATEWAYS), [0, 2], range(GATEWAYS)):
        model.set(there)
    end = time.monotonic() + 10
    said = Counter(model.to(bucket) for bucket in range(512))
    while (seen := Counter(router.table())) and max(abs(seen[n] - said[n]) for n in range(GATEWAYS)) > 1:
        assert time.monotonic() < end, (seen, said)
        time.sleep(0.2)
