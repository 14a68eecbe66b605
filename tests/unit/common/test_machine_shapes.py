"""Targets of virtual machines: what may be said, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import machine_shapes
from common.machine_shapes import as_memory
from common.system import Machine
from common.values import Wrong
from seter.provisioner.modules import MODULES

if TYPE_CHECKING:
    from tests.unit.common.conftest import Definitions

FILE = "lab/targets/machines.hcl"
GOOD = """\
target "machines" {
  kind = "virtual"
  machine "qemu" {
    memory = "1GiB"
    cores  = 2
    disk   = "4GiB"
  }
  network "lab" {}
  nodes "edge" {
    node "n1" {
      networks = ["lab"]
      memory   = "2GiB"
      parameters { router_id = "10.0.0.1" }
    }
    node "n2" {
      networks = ["lab"]
      parameters { router_id = "10.0.0.2" }
    }
  }
}
"""


def test_a_machine_is_as_large_as_its_node_says_else_as_the_target_does(definitions: Definitions) -> None:
    definitions.write(FILE, GOOD)
    target = definitions.catalog.target("lab", "machines")
    assert target.machine == Machine("qemu", memory=1 << 30, cores=2, disk=4 << 30)
    assert [(node.memory, node.cores) for node in target.nodes] == [(2 << 30, 0), (0, 0)]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('machine "qemu"', 'machine "qmeu"', 'did you mean "qemu"?'),
        ('machine "qemu"', 'machine "openstack"', 'machines of a cloud have no size; add flavor = "…"'),
        ('"1GiB"', '"100MiB"', "is no memory of a machine; write whole MiB"),
        ("cores  = 2", "cores  = 0", "a machine has at least one core"),
        ("cores  = 2", 'accelerator = "tgc"', 'did you mean "tcg"?'),
        ('kind = "virtual"', 'kind = "container"\n  image = "debian-13"', "a machine block in a container target"),
        (
            'networks = ["lab"]\n      memory',
            'kind = "baremetal"\n      address = "10.0.0.9"\n      memory',
            'node "n1" has memory or cores, and is no virtual machine',
        ),
    ],
)
def test_what_cannot_be_is_told_with_what_to_write(
    definitions: Definitions, before: str, after: str, message: str
) -> None:
    assert before in GOOD
    definitions.write(FILE, GOOD.replace(before, after, 1))
    found = definitions.problems(lambda catalog: catalog.target("lab", "machines"))
    assert any(message in line for line in found), found


def test_without_a_machine_block_nobody_makes_the_nodes(definitions: Definitions) -> None:
    start, end = GOOD.index("  machine"), GOOD.index("  network")
    definitions.write(FILE, GOOD[:start] + GOOD[end:])
    found = definitions.problems(lambda catalog: catalog.target("lab", "machines"))
    assert any('add machine "qemu" {}' in line for line in found), found


def test_the_names_of_modules_are_those_that_there_are() -> None:
    assert set(machine_shapes.MODULES) == set(MODULES)


@given(st.text() | st.integers() | st.booleans())
def test_no_other_memory_passes(literal: str | int | bool) -> None:
    try:
        size = as_memory(literal)
    except Wrong:
        return
    assert size >= machine_shapes.LEAST_MEMORY and size % (1 << 20) == 0
