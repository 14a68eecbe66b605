from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import second_chance
from second_chance_ring import Config, Kernel, counters_in, hops_in, links, rules, uplink_of, without_counts

DOCUMENT: dict[str, Any] = {
    "address": "10.0.0.1",
    "number": 1,
    "members": [3, 1, 2],
    "vips": ["192.0.2.10", "2001:db8::10"],
    "ports": [80, 443],
    "rate": 20000,
    "metrics_port": 9553,
}
HOPS = {f"hop{hop}": f"02:73:65:0{hop}:00:01" for hop in (1, 2, 3)}


def config(folder: Path, **changes: object) -> Config:
    path = folder / "second-chance.json"
    path.write_text(json.dumps(DOCUMENT | changes))
    return Config.read(str(path))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": 9}, "no member"),
        ({"members": [1, 255]}, "64 members"),
        ({"members": list(range(1, 70))}, "64 members"),
        ({"vips": []}, "virtual IPs"),
        ({"vips": ["everywhere"]}, "cannot be used"),
        ({"ports": []}, "ports"),
        ({"rate": 0}, "rate"),
        ({"rate": "fast"}, "cannot be used"),
        ({"members": None}, "cannot be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        config(tmp_path, **changes)


def test_one_gateway_alone_hands_nothing_on(tmp_path: Path) -> None:
    alone = config(tmp_path, members=[1])
    assert rules(alone, "eth0") == "" and links(alone, "eth0", {}) == []


def test_hop_interfaces_are_made_once_and_those_of_another_ring_go(tmp_path: Path) -> None:
    ring = config(tmp_path)
    made = links(ring, "eth0", {})
    assert made[0] == "link add hop1 link eth0 address 02:73:65:01:00:01 type macvlan mode private"
    assert made[1:4] == [
        "addr replace 198.18.1.1/24 dev hop1",
        "addr replace fd73:6574:6572:1::1/64 dev hop1 nodad",
        "link set hop1 up",
    ]
    assert not [line for line in links(ring, "eth0", HOPS) if "add" in line.split() or "del" in line.split()]
    changed = links(ring, "eth0", HOPS | {"hop2": "02:73:65:02:00:07", "hop4": "02:73:65:04:00:01"})
    assert changed[:2] == ["link del dev hop2", "link del dev hop4"]
    assert [line for line in changed if line.startswith("link add")] == [
        "link add hop2 link eth0 address 02:73:65:02:00:01 type macvlan mode private"
    ]


def test_the_uplink_is_known_by_its_address() -> None:
    found = [{"ifname": "lo"}, {"ifname": "eth7", "addr_info": [{"local": "10.0.0.1"}]}]
    assert uplink_of(found, "10.0.0.1") == "eth7"
    with pytest.raises(OSError, match=r"10\.0\.0\.2"):
        uplink_of(found, "10.0.0.2")


def test_only_hop_interfaces_are_ours() -> None:
    names = ("hop1", "hopper", "eth0", "hop")
    assert hops_in([{"ifname": name, "address": "02:00:00:00:00:00"} for name in names]).keys() == {"hop1"}


def table(packets: int = 5, rules: Sequence[str] = ("look",), ports: Sequence[int] = (80, 443)) -> dict[str, Any]:
    """As `nft --json list table` prints it."""
    counters = [{"counter": {"name": name, "packets": packets, "bytes": 9}} for name in ("asked1", "gave_up")]
    listed = [{"rule": {"chain": "before", "handle": number, "expr": rule}} for number, rule in enumerate(rules)]
    return {"nftables": [{"metainfo": {}}, *counters, {"set": {"name": "port", "elem": list(ports)}}, *listed]}


def test_counters_are_read_by_name() -> None:
    assert counters_in(table(7)) == {"asked1": 7, "gave_up": 7}
    assert counters_in({}) == {}


def test_what_was_counted_is_no_change_of_rules_and_any_other_rule_is() -> None:
    was = without_counts(table(7))
    assert without_counts(table(8, ports=(443, 80))) == was
    for other in (table(7, ()), table(7, ("look", "drop")), table(7, ("other",)), table(7, ports=(80,)), {}):
        assert without_counts(other) != was


class StandIn(Kernel):
    """A kernel that does what it is told, or not."""

    def __init__(self) -> None:
        self.present: dict[str, str] = {}
        self.loaded = ""
        self.rules: list[str] = []
        self.acts: list[str] = []
        self.broken = False

    def uplink(self, address: str) -> str:
        if self.broken:
            raise OSError("no such interface")
        return "eth0"

    def hops(self) -> dict[str, str]:
        return dict(self.present)

    def link(self, lines: Sequence[str]) -> None:
        self.acts.append("link")
        self.present = dict(HOPS)

    def load(self, text: str) -> None:
        self.acts.append("load")
        self.loaded, self.rules = text, ["look"]

    def table(self, version: int) -> dict[str, Any]:
        return table(rules=self.rules) if self.loaded else {}


def metrics_of(state: second_chance.State) -> Mapping[str, str]:
    lines = [line for line in state.metrics().splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines)


def test_what_is_in_place_is_left_alone_and_what_went_is_put_back(tmp_path: Path) -> None:
    kernel, state = StandIn(), second_chance.State()
    keeper = second_chance.Keeper(config(tmp_path), kernel, state)
    keeper.look()
    keeper.look()
    assert kernel.acts == ["link", "load"] and state.in_place and state.corrections == 0
    assert metrics_of(state)['second_chance_packets_total{family="ip6",asked="1"}'] == "5"
    assert metrics_of(state)['second_chance_given_up_packets_total{family="ip"}'] == "5"
    kernel.loaded = ""  # somebody deleted the table
    keeper.look()
    kernel.rules.clear()  # somebody flushed the chain
    keeper.look()
    assert kernel.rules == ["look"]
    del kernel.present["hop2"]
    keeper.look()
    assert state.in_place and state.corrections == 3 and kernel.loaded and kernel.present == HOPS


def test_a_kernel_that_refuses_is_told_and_asked_again(tmp_path: Path) -> None:
    kernel, state = StandIn(), second_chance.State()
    keeper = second_chance.Keeper(config(tmp_path), kernel, state)
    kernel.broken = True
    keeper.look()
    assert not state.in_place and state.report()["reason"] == "no such interface"
    kernel.broken = False
    keeper.look()
    assert state.in_place and state.report()["reason"] == ""
