"""The shape of what makes virtual machines, in `targets/*.hcl`."""

from __future__ import annotations

from collections.abc import Iterator

from common.hcl import Literal
from common.schema import Setting, Shape
from common.system import Machine
from common.values import Wrong, as_count, as_prefix, as_size, as_text, many, one_of, shown

MODULES = ("qemu", "openstack", "libvirt")  # as seter.provisioner.modules knows them
ACCELERATORS = ("tcg", "kvm")
LEAST_MEMORY = 256 << 20  # bytes; less does not boot


def as_cores(literal: Literal) -> int:
    """How many processors a machine has."""
    if (number := as_count(literal)) < 1:
        raise Wrong("a machine has at least one core", "write 1 or more")
    return number


def as_memory(literal: Literal) -> int:
    """A size that a machine boots with, in bytes; QEMU and clouds count in MiB."""
    size = as_size(literal)
    if size < LEAST_MEMORY or size % (1 << 20):
        raise Wrong(f"{shown(literal)} is no memory of a machine", 'write whole MiB, 256MiB or more, as in "512MiB"')
    return size


def _machine_faults(machine: Machine) -> Iterator[Wrong]:
    if machine.module == "openstack" and not machine.flavor:
        yield Wrong("machines of a cloud have no size", 'add flavor = "…", which says memory and cores')


MACHINE = Shape(
    name="machine",
    summary="What makes the nodes of a `virtual` target, and how large they are",
    make=Machine,
    label="module",
    label_summary="`qemu`: on this machine; `openstack`; `libvirt`",
    take_label=one_of(*MODULES),
    settings=(
        Setting("memory", "size", as_memory, "Of each, where its node does not say"),
        Setting("cores", "number", as_cores, "Of each, where its node does not say"),
        Setting(
            "accelerator", "choice", one_of(*ACCELERATORS), "Of `qemu`: `tcg` emulates, `kvm` uses the processor's own"
        ),
        Setting("disk", "size", as_size, "Of the disk that keeps a node's state; it may grow"),
        Setting("flavor", "name", as_text, "Of `openstack`, which must have it: memory and cores of each"),
        Setting("cloud", "name", as_text, "Of `openstack`: its name in clouds.yaml, else $OS_CLOUD"),
        Setting("router", "text", as_text, "Of `openstack`: id of the router that networks are joined to"),
        Setting(
            "allowed", "list of prefixes", many(as_prefix), "Of `openstack`: what nodes announce, such as virtual IPs"
        ),
        Setting("uri", "text", as_text, "Of `libvirt`: its daemon, else `qemu:///system`"),
        Setting(
            "providers",
            "text",
            as_text,
            "Mirror of Terraform's providers: `https://…/`, or a folder; else the registry",
        ),
    ),
    faults=_machine_faults,
)
