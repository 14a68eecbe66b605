"""The role firewall: the rules that openings give, and how they are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import firewall
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

CLIENTS = {"role": "traefik", "name": "clients", "protocol": "tcp", "ports": ["80", "443"], "from": ["anyone"]}
MEMBERS = {
    "role": "etcd", "name": "members", "protocol": "tcp", "ports": ["2379", "2380"],
    "from": ["10.0.0.1", "2001:db8::1", "10.0.0.2", "10.0.0.0/30"],
}  # fmt: skip
BFD = {"role": "bird-gateway", "name": "bfd", "protocol": "udp", "ports": ["3784"], "from": ["10.0.0.9"]}


def config(folder: Path, *openings: dict[str, Any], **changes: object) -> firewall.Config:
    path = folder / "firewall.json"
    path.write_text(
        json.dumps(
            {"openings": openings, "new_per_second": 0, "metrics_port": 9558, "metrics_address": "::1"} | changes
        )
    )
    return firewall.Config.read(str(path))


def test_who_is_named_is_let_in_by_family_and_nobody_else(tmp_path: Path) -> None:
    text = firewall.rules(config(tmp_path, CLIENTS, MEMBERS, BFD))
    assert 'tcp dport { 80, 443 } accept comment "traefik clients"' in text
    assert 'tcp dport { 2379, 2380 } ip saddr { 10.0.0.0/30 } accept comment "etcd members"' in text
    assert 'tcp dport { 2379, 2380 } ip6 saddr { 2001:db8::1/128 } accept comment "etcd members"' in text
    assert 'udp dport { 3784 } ip saddr { 10.0.0.9/32 } accept comment "bird-gateway bfd"' in text
    assert "policy drop" in text and text.count("ip6 saddr {") == 1


def test_a_limit_of_new_connections_is_for_ports_of_anyone_alone(tmp_path: Path) -> None:
    text = firewall.rules(config(tmp_path, CLIENTS, MEMBERS, new_per_second=50))
    limited = [line for line in text.splitlines() if "limit rate over 50/second" in line]
    assert len(limited) == 2 and all("80, 443" in line for line in limited)
    assert "limit rate" not in firewall.rules(config(tmp_path, CLIENTS, MEMBERS))


@pytest.mark.parametrize(
    "change",
    [
        {"ports": ["http"]}, {"ports": []}, {"protocol": "sctp"}, {"from": ["10.0.0.1; drop"]}, {"from": ["300.1.1.1"]},
        {"ports": ["80 } accept"]}, {"ports": None},
    ],
)  # fmt: skip
def test_what_is_no_opening_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        config(tmp_path, CLIENTS | change)


@settings(deadline=None)  # it writes a file each time
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_in_the_file_it_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, found: object
) -> None:
    path = tmp_path_factory.mktemp("any") / "firewall.json"
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="cannot be used"):
        firewall.Config.read(str(path))


# As nft 1.1.3 prints it.
LISTED = """\
table inet seter_firewall {
\tcounter refused {
\t\tpackets 3 bytes 180
\t}

\tcounter hasty {
\t\tpackets 0 bytes 0
\t}

\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\ttcp dport 443 update @hasty4 { ip saddr limit rate over 5/second burst 5 packets } counter name "hasty" drop
\t\ttcp dport { 80, 443 } ip saddr { 10.0.0.0/8, 192.168.1.0/24 } accept comment "x"
\t\tcounter name "refused" drop
\t}
}
"""


def test_what_rules_have_counted_is_read_and_is_no_change_of_them() -> None:
    assert firewall.packets_in(LISTED) == {"refused": 3, "hasty": 0}
    later = LISTED.replace("packets 3 bytes 180", "packets 4012 bytes 240720")
    assert firewall.without_state(later) == firewall.without_state(LISTED) != LISTED
    assert firewall.without_state(LISTED.replace("burst 5", "burst 6")) != firewall.without_state(LISTED)


class Kernel(firewall.Kernel):
    """Remembers what was loaded."""

    def __init__(self) -> None:
        self.text, self.loads, self.fault = "", 0, ""

    def load(self, text: str) -> None:
        if self.fault:
            raise OSError(self.fault)
        self.text, self.loads = LISTED, self.loads + 1

    def listed(self) -> str:
        return self.text


def test_rules_that_somebody_changed_are_put_back_and_unchanged_ones_left(tmp_path: Path) -> None:
    kernel, state = Kernel(), firewall.State()
    keeper = firewall.Keeper(config(tmp_path, CLIENTS), kernel, state)
    keeper.look()
    keeper.look()
    assert (kernel.loads, state.in_place, state.corrections) == (1, True, 0)
    kernel.text = "table inet seter_firewall {}"
    keeper.look()
    assert (kernel.loads, state.corrections, state.refused) == (2, 1, 3)
    kernel.text = ""
    kernel.fault = "nft: Operation not permitted"
    keeper.look()
    assert not state.in_place and "not permitted" in state.report()["summary"]
    assert "firewall_in_place 0" in state.metrics()
