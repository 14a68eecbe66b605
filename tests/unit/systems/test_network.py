from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import network
import pytest

WANTED = {
    "addresses": ["192.0.2.10", "2001:db8::10"],
    "routes": {"to": ["198.51.100.1", "2001:db8::1"], "via": ["10.0.0.1", "10.0.0.2"], "via6": ["fd00::1"]},
}
NOTHING = network.Present(frozenset(), frozenset())


def test_addresses_go_to_the_loopback_and_routes_get_every_next_hop_of_their_family() -> None:
    wanted = network.parse(json.dumps(WANTED))
    assert network.batch(wanted, NOTHING, 4) == [
        "addr replace 192.0.2.10/32 dev lo proto 213",
        "route replace 198.51.100.1/32 proto 213 nexthop via 10.0.0.1 nexthop via 10.0.0.2",
    ]
    assert network.batch(wanted, NOTHING, 6) == [
        "addr replace 2001:db8::10/128 dev lo proto 213 nodad",
        "route replace 2001:db8::1/128 proto 213 nexthop via fd00::1",
    ]


def test_what_an_earlier_run_made_and_nobody_wants_any_more_goes() -> None:
    wanted = network.parse(json.dumps({"addresses": [], "routes": {"to": [], "via": [], "via6": []}}))
    present = network.Present(frozenset({ip_address("192.0.2.9")}), frozenset({ip_address("198.51.100.9")}))
    assert network.batch(wanted, present, 4) == [
        "addr del 192.0.2.9/32 dev lo",
        "route del 198.51.100.9/32 proto 213",
    ]


def test_next_hops_are_watched_where_there_is_another() -> None:
    wanted = network.parse(json.dumps(WANTED))
    assert network.watched(wanted, 4) == (ip_address("10.0.0.1"), ip_address("10.0.0.2"))
    assert network.watched(wanted, 6) == ()  # there is one
    routes = {"to": ["2001:db8::1"], "via": ["10.0.0.1", "10.0.0.2"], "via6": ["fd00::1"]}
    unused = network.parse(json.dumps({"addresses": [], "routes": routes}))
    assert network.watched(unused, 4) == ()


def test_only_addresses_with_our_protocol_number_are_ours() -> None:
    links = [
        {
            "addr_info": [
                {"local": "127.0.0.1"},
                {"local": "::1", "protocol": "kernel_lo"},
                {"local": "192.0.2.10", "protocol": "0xd5"},
            ]
        }
    ]
    found = network.present_in(links, [{"dst": "192.0.2.20"}, {"dst": "2001:db8::20"}])
    assert found.addresses == {ip_address("192.0.2.10")}
    assert found.routes == {ip_address("192.0.2.20"), ip_address("2001:db8::20")}


def test_a_route_without_a_next_hop_of_its_family_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    document = {"addresses": [], "routes": {"to": ["2001:db8::1"], "via": ["10.0.0.1"], "via6": []}}
    file = tmp_path / "network.json"
    file.write_text(json.dumps(document))
    assert network.main(["check", str(file)]) == 2
    with pytest.raises(ValueError, match="2001:db8::1 has no next hop of its family"):
        network.parse(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"addresses": ["x"], "routes": {"to": [], "via": [], "via6": []}}'])
def test_a_file_that_cannot_be_read_is_told_and_nothing_is_done(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "network.json"
    file.write_text(text)
    assert network.main(["apply", str(file)]) == 2
    assert str(file) in capsys.readouterr().err
