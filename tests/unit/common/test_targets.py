"""Targets of hosts: what may be said of them, and what is refused with line and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.system import Power
from common.target_shapes import as_host_key, as_jump, as_place
from common.values import Wrong

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

FILE = "lab/targets/metal.hcl"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhuBMFOCqaduqREVYi6fcy5wp26DA7rqsFvKX6GyKtf"
METAL = f"""\
target "metal" {{
  kind          = "baremetal"
  user          = "ops"
  port          = 2222
  jump          = "hop@bastion:22"
  identity_file = "~/.ssh/lab"
  snapshot      = "snapshot/debian:2026"
  network "rack" {{
    prefix  = "10.20.0.0/24"
    prefix6 = "2001:db8:20::/64"
  }}
  network "clients" {{
    prefix = "10.30.0.0/24"
  }}
  nodes "edge" {{
    node "n1" {{
      address   = "10.20.0.11"
      address6  = "2001:db8:20::11"
      addresses = ["10.30.0.11"]
      manage    = "n1.example.test"
      port      = 22
      host_key  = "{KEY} root@n1"
      parameters {{ router_id = "10.0.0.1" }}
    }}
  }}
  existing "edge" {{
    node "n2" {{
      address = "10.20.0.12"
      parameters {{ router_id = "10.0.0.2" }}
    }}
  }}
  power {{
    off = ["ipmitool", "{{node}}", "off"]
    on  = ["ipmitool", "{{node}}", "on"]
  }}
}}
"""


def test_a_target_of_hosts_says_where_they_are_and_how_they_are_reached(definitions: Definitions) -> None:
    definitions.write(FILE, METAL)
    target = definitions.catalog.target("lab", "metal")
    one, two = target.nodes
    assert (one.group, one.existing, two.group, two.existing) == ("edge", False, "edge", True)
    assert (one.address, one.address6, one.addresses) == ("10.20.0.11", "2001:db8:20::11", ("10.30.0.11",))
    assert (one.manage, one.port, one.host_key) == ("n1.example.test", 22, KEY)
    assert (target.user, two.port, target.jump) == ("ops", 2222, "hop@bastion:22")
    assert target.identity_file == "~/.ssh/lab"
    assert target.snapshot == "snapshot/debian:2026"
    assert target.power == Power(("ipmitool", "{node}", "off"), ("ipmitool", "{node}", "on"))


def test_hosts_of_a_group_are_installed_unless_they_are_to_be_written(definitions: Definitions) -> None:
    definitions.write(FILE, METAL.replace('  nodes "edge" {', '  nodes "edge" {\n    written = true'))
    assert [node.written for node in definitions.catalog.target("lab", "metal").nodes] == [True, False]
    definitions.write(FILE, METAL)
    assert not any(node.written for node in definitions.catalog.target("lab", "metal").nodes)


def test_only_hosts_are_written(definitions: Definitions) -> None:
    definitions.write(
        FILE, METAL.replace('  nodes "edge" {', '  nodes "edge" {\n    kind = "container"\n    written = true')
    )
    with pytest.raises(Exception, match='nodes "edge" are written, which only `baremetal` can be'):
        definitions.catalog.target("lab", "metal")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('prefix = "10.30.0.0/24"', 'pool = "10.30.0.0/24"', 'network "clients" of a baremetal target has no prefix'),
        ('"10.20.0.12"', '"10.21.0.12"', 'node "n2": 10.21.0.12 is in none of the networks'),
        ('"10.30.0.0/24"', '"10.0.0.0/8"', 'network "clients" (10.0.0.0/8) overlaps network "rack" (10.20.0.0/24, '),
        ('"10.20.0.12"', '"10.30.0.11"', 'has the address 10.30.0.11 of node "n1"'),
        ('["10.30.0.11"]', '["10.20.0.99"]', 'node "n1" has two addresses in 10.20.0.0/24'),
        ('"hop@bastion:22"', '"hop@bastion;id"', 'jump: "hop@bastion;id" is no host to jump over'),
        ('"n1.example.test"', '"-oProxyCommand=id"', '"-oProxyCommand=id" is no name and no address of a host'),
        (KEY, "ssh-ed25519 short", "this is no public key of a host"),
        ('"2001:db8:20::/64"', '"10.20.0.0/24"', '"10.20.0.0/24" is no IPv6 prefix'),
        ('on  = ["ipmitool", "{node}", "on"]', "", "power"),
        ('kind          = "baremetal"', 'kind = "virtual"', "has a prefix"),
    ],
)
def test_what_cannot_be_is_told_at_its_line(definitions: Definitions, old: str, new: str, message: str) -> None:
    assert old in METAL
    definitions.write(FILE, METAL.replace(old, new))
    with pytest.raises(Exception, match="problem") as error:
        definitions.catalog.target("lab", "metal")
    assert message in str(error.value) and FILE in str(error.value)


@given(st.text())
def test_nothing_that_ssh_would_take_for_an_option_passes(text: str) -> None:
    for take in (as_place, as_jump, as_host_key):
        try:
            taken = take(text)
        except Wrong:
            continue
        assert not taken.startswith("-") and not set(taken) & set("\n\r\"'$`;|&")
