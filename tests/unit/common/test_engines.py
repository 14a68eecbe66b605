"""Targets whose nodes are on several engines, or of several kinds: what may be said, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.engine_shapes import as_engine_url, as_interface
from common.system import Engine
from common.values import Wrong

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

FILE = "lab/targets/spread.hcl"
SPREAD = """\
target "spread" {
  kind  = "container"
  image = "debian-13"
  engine "far" {
    url  = "tcp://far.example.test:2376"
    ca   = "~/pki/ca.pem"
    cert = "~/pki/cert.pem"
    key  = "~/pki/key.pem"
    parent "rack" { interface = "eno2" }
  }
  engine "near" { url = "ssh://ops@near.example.test:2222" }
  network "rack" {
    parent  = "eno1"
    prefix  = "10.20.0.0/24"
    prefix6 = "2001:db8:20::/64"
    gateway = "10.20.0.1"
  }
  network "lab" {}
  nodes "edge" {
    engine = "far"
    node "n1" {
      address    = "10.20.0.11"
      networks   = ["rack", "lab"]
      parameters { router_id = "10.0.0.1" }
    }
    node "n2" {
      kind       = "baremetal"
      engine     = "near"
      address    = "10.20.0.12"
      parameters { router_id = "10.0.0.2" }
    }
  }
}
"""
GOOD = SPREAD.replace('      engine     = "near"\n', "").replace('    engine = "far"\n', "").replace(
    '    node "n1" {\n', '    node "n1" {\n      engine = "far"\n'
)  # fmt: skip


def test_engines_kinds_and_wires_are_read(definitions: Definitions) -> None:
    definitions.write(FILE, GOOD)
    target = definitions.catalog.target("lab", "spread")
    far, near = target.engines
    assert (far.name, far.url, far.parents) == ("far", "tcp://far.example.test:2376", (("rack", "eno2"),))
    assert near == Engine("near", "ssh://ops@near.example.test:2222")
    one, two = target.nodes
    assert (one.kind, one.engine, two.kind, two.engine) == ("container", "far", "baremetal", "")
    assert target.kinds == ("container", "baremetal")
    assert (target.networks[0].parent, target.networks[0].gateway) == ("eno1", "10.20.0.1")
    assert [network.name for network in target.made_networks()] == ["rack", "lab"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('engine = "far"', 'engine = "fat"', 'node "n1": unknown engine "fat"; did you mean "far"?'),
        ('kind       = "baremetal"', 'kind = "baremetal"\n engine = "far"', 'node "n2" is no container and has an'),
        ('    key  = "~/pki/key.pem"\n', "", "an engine at a port needs TLS; add ca, cert and key"),
        ('2222" }', '2222"\n ca = "/ca"\n }', "ca, cert and key are of an engine at a port"),
        ("ssh://ops@", "ssh://ops:secret@", "is no address of a Docker engine"),
        ("tcp://far.example.test:2376", "tcp://far.example.test", "is no address of a Docker engine"),
        ('parent "rack"', 'parent "rock"', 'engine "far": unknown network "rock"; did you mean "rack"?'),
        ('"eno2"', '"eno2; reboot"', "is no name of an interface"),
        ('address    = "10.20.0.11"', 'address = "10.21.0.11"', "10.21.0.11 is in none of the networks"),
        ('      address    = "10.20.0.11"\n', "", 'node "n1" has no address on network rack; add address'),
        ('kind       = "baremetal"', 'kind = "metal"', '"metal" is no choice'),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_what_to_write(
    definitions: Definitions, before: str, after: str, message: str
) -> None:
    assert before in GOOD
    definitions.write(FILE, GOOD.replace(before, after, 1))
    found = definitions.problems(lambda catalog: catalog.target("lab", "spread"))
    assert any(message in line for line in found), found


def test_a_network_on_two_engines_needs_a_wire_between_them(definitions: Definitions) -> None:
    node = """    node "n%d" {
      networks = ["lab"]
      engine = "%s"
      parameters { router_id = "10.0.0.%d" }
    }\n"""
    nodes = node % (1, "far", 1) + node % (2, "near", 2)
    text = GOOD[: GOOD.index('    node "n1"')] + nodes + "  }\n}\n"
    definitions.write(FILE, text)
    found = definitions.problems(lambda catalog: catalog.target("lab", "spread"))
    assert any('network "lab" is on the engines "far" and "near"; add parent' in line for line in found), found
    definitions.write(FILE, text.replace('network "lab" {}', 'network "lab" { parent = "eno3" }'))
    assert definitions.problems(lambda catalog: catalog.target("lab", "spread")) == []


@pytest.mark.parametrize(
    "url",
    ["unix:///run/docker.sock", "ssh://h", "ssh://ops@h:22", "ssh://root@[2001:db8::1]:22/run/d.sock",
     "tcp://10.0.0.1:2376"],
)  # fmt: skip
def test_addresses_of_engines_are_those_of_docker(url: str) -> None:
    assert as_engine_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "h", "http://h:1", "unix://h/s", "unix://", "tcp://h", "tcp://u@h:1", "tcp://h:1/p", "ssh://-oProxyCommand=x",
     "ssh://a;b@h", "ssh://h/a b", "ssh://u:p@h", "tcp://h:0", "tcp://h:99999", "ssh://h?x"],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Wrong):
        as_engine_url(url)


@given(st.text(max_size=40))
def test_nothing_that_is_taken_can_be_an_option_or_more_than_one_word(text: str) -> None:
    for take in (as_engine_url, as_interface):
        try:
            taken = take(text)
        except Wrong:
            continue
        assert taken == text and not taken.startswith("-") and not set(taken) & set(" \t\n'\"$`;&|<>")
