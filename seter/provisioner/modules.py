"""What makes virtual machines: the contract of all modules. A module writes Terraform's files; Terraform does
the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.system import Deployment, Machine
from seter.provisioner.seeds import STATE_DEVICE, Card
from seter.state import Subnets

Given = Mapping[str, Any]  # what a unit's files are made of, as JSON has it
Found = Mapping[str, Mapping[str, Any]]  # what Terraform found when it looked: attributes by address
Document = dict[str, Any]  # one of Terraform's files, as JSON has it (language/syntax/json of its documentation)

MODULES = {
    "qemu": "seter.provisioner.qemu:Qemu",
    "openstack": "seter.provisioner.openstack:Openstack",
    "libvirt": "seter.provisioner.libvirt:Libvirt",
}


class Life(StrEnum):
    """How a machine is, as far as who runs it can say."""

    ABSENT = "absent"
    OFF = "off"
    STARTING = "starting"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Wish:
    """A node as its machine has to be. `image` is an artefact by its digest, `told` its credentials by name; `outputs`
    are what Terraform says of other units, by unit and name."""

    node: str
    group: str
    machine: Machine
    image: str
    disk: Path  # the artefact's, on this machine
    cards: Sequence[Card]
    told: Mapping[str, str]
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Module(ABC):
    """One deployment's machines."""

    # What is replaced when a machine that is off is to start again; its state stays.
    restarts: tuple[str, ...] = ()
    # Who runs machines is asked by Terraform, which then hands `life` what it found.
    asks_terraform = False
    state_device = STATE_DEVICE

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        """`folder` is the deployment's on this machine."""
        self.deployment, self.folder = deployment, folder.absolute()

    @abstractmethod
    def network(self, name: str, subnets: Subnets, machine: Machine) -> Given:
        """A network with these addresses. Pure."""

    def shared(self, wish: Wish) -> Mapping[str, Given]:
        """What has to be there before, and several nodes have in common, by unit. Pure."""
        return {}

    @abstractmethod
    def node(self, wish: Wish) -> Given:
        """A machine. Nothing secret is in it. Pure."""

    @abstractmethod
    def config(self, given: Given) -> Document:
        """Terraform's file for a network or a machine. Pure."""

    def secret(self, wish: Wish) -> Mapping[str, str]:
        """What Terraform has to have in its environment. Pure."""
        return {}

    def prepare(self, wish: Wish) -> None:
        """What has to lie on this machine beforehand does."""
        return None

    def conceal(self, given: Given) -> None:
        """What of `prepare` is secret is not on this machine any more: the machine runs and has read it."""
        return None

    @abstractmethod
    def has_network(self, given: Given, found: Found) -> bool:
        """Whether it is there now. Changes nothing."""

    @abstractmethod
    def life(self, given: Given, found: Found) -> Life:
        """How the machine is now. Changes nothing."""

    def cut(self, given: Given) -> None:
        """Cut its power at once. Raises BadInput where that cannot be done from here."""
        raise BadInput(
            f"the power of {given['node']} cannot be cut from here", resolution="Cut it where the machine is run."
        )

    def console(self, given: Given) -> str:
        """The end of what it wrote to its console, '' if nobody knows."""
        return ""

    def clear(self, given: Given) -> None:
        """It was destroyed: nothing of it is left on this machine."""
        return None


def literal(value: object) -> object:
    """As Terraform's JSON has it: in a string `${` would begin an expression (language/syntax/json). Pure."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {str(name): literal(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [literal(each) for each in value]
    return value


def module(name: str, deployment: Deployment, folder: Path) -> Module:
    """By name. Raises BadInput for one that there is not."""
    if name not in MODULES:
        raise BadInput(f"nothing makes machines by {name!r}", resolution=f"There are: {', '.join(MODULES)}.")
    where, _, kind = MODULES[name].partition(":")
    made = getattr(import_module(where), kind)(deployment, folder)
    assert isinstance(made, Module)
    return made
