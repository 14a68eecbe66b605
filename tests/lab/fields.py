"""Where provisioners are tried: on the Docker engine, and on a machine that is reached by SSH."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.role import Process
from common.system import Deployment, Engine, Network, Node, Power, Target
from seter.provisioner.container import ContainerProvisioner
from seter.provisioner.interface import NodeShape, Provisioner
from seter.provisioner.parts import Parts
from seter.provisioner.slots import SlotProvisioner
from seter.provisioner.subnets import address
from seter.state import RoleState, Subnets
from tests.lab.hosts import USER, Hosts
from tests.lab.programs import program

POOL = "10.213.0.0/16"
ROLE = "web"
RUNS = Process(("/bin/sh", "-c", "trap exit TERM; echo it is up; while :; do sleep 0.3; echo goes on; done"))
UNIT = """\
[Service]
Type=exec
ExecStart={command}
ExecStartPost=/bin/sh -c "mkdir -p /run/seter/process; echo {digest} >/run/seter/process/{role}"
[Install]
WantedBy=multi-user.target
"""
SYSCTLS = (("net.ipv4.ip_forward", "0"), ("net.ipv6.conf.all.disable_ipv6", "0"))
NODE = "n1"


class Field(ABC):
    """One kind of target, with a node `n1` that there may be, on the networks `one` and `two`."""

    kind: str
    image: str = ""
    number: int  # host part of the node's addresses
    makes_networks: bool = True

    def deployment(self, instance: str) -> Deployment:
        return Deployment("contract", self.kind, instance)

    @abstractmethod
    def provisioner(self, instance: str) -> Provisioner:
        """Of a deployment of this name."""

    @abstractmethod
    def inside(self, instance: str, *argv: str) -> str:
        """What a command prints that is run on the node as root, by another way than the provisioner's."""

    @abstractmethod
    def start(self, instance: str, process: str) -> None:
        """The role `web` runs on the node as `RUNS`; what it has read last is called `process`."""

    def nets(self, provisioner: Provisioner) -> dict[str, Subnets]:
        """The two networks, which are there then."""
        found = {}
        for name in ("one", "two"):
            found[name] = provisioner.free_subnets(name, POOL, 24)
            assert provisioner.ensure_network(name, found[name])
        return found

    def shape(self, nets: Mapping[str, Subnets], *names: str, digest: str = "shape-1") -> NodeShape:
        """The node's, on these networks."""
        networks = tuple(
            (name, address(nets[name].v4, self.number), address(nets[name].v6, self.number))
            for name in names or ("one",)
        )
        return NodeShape(NODE, "group", 1, self.number, self.image, networks, SYSCTLS, digest)


@dataclass
class Containers(Field):
    """The engine that the tests use."""

    image: str
    kind: str = "container"
    number: int = 7

    @property
    def docker(self) -> tuple[str, ...]:
        """Docker's own client."""
        return ("docker",)

    def provisioner(self, instance: str) -> Provisioner:
        return ContainerProvisioner(self.deployment(instance))

    def inside(self, instance: str, *argv: str) -> str:
        name = f"{self.deployment(instance).prefix}.{NODE}"
        return subprocess.run(
            [*self.docker, "exec", name, *argv], capture_output=True, text=True, check=True
        ).stdout.strip()

    def start(self, instance: str, process: str) -> None:
        own = self.provisioner(instance).started(NODE, ROLE, RUNS, _state(process), self.image)
        labels = own["labels"]
        assert isinstance(labels, dict)
        argv = ["run", "--detach", "--name", str(own["container"]), "--network", f"container:{own['node_container']}"]
        argv += [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        argv += ["--entrypoint", RUNS.command[0], self.image, *RUNS.command[1:]]
        subprocess.run([*self.docker, *argv], capture_output=True, check=True)


@dataclass
class Spread(Containers):
    """Another engine than the tests use, as one part of a deployment on two; that it has both networks is enough here,
    wires between engines have a test of their own."""

    engine: str = ""  # its URL
    folder: Path = Path()

    def provisioner(self, instance: str) -> Provisioner:
        far = Engine("far", self.engine)
        node = Node(NODE, "group", networks=("one", "two"), kind="container", engine="far")
        networks = (Network("one"), Network("two"))
        target = Target("container", "container", (node,), Path("container.hcl"), networks=networks, engines=(far,))
        folder = self.folder / instance

        def opened(kind: str, narrow: Target | None) -> Provisioner:
            return ContainerProvisioner.of(self.deployment(instance), folder, narrow, None)

        return Parts.made(self.deployment(instance), folder, target, opened)

    @property
    def docker(self) -> tuple[str, ...]:
        return ("docker", "--host", self.engine)


@dataclass
class Machines(Field):
    """A machine of the lab."""

    lab: Hosts
    kind: str = "baremetal"
    number: int = 11
    makes_networks: bool = False

    def target(self) -> Target:
        host = self.lab[NODE]
        (v4, v6), *further = host.addresses.values()
        others = tuple(each for pair in further for each in pair)
        key = " ".join(host.key.split()[:2])
        node = Node(NODE, "group", v4, v6, addresses=others, host_key=key)
        networks = tuple(
            Network(name, prefix=subnets.v4, prefix6=subnets.v6) for name, subnets in self.lab.networks.items()
        )
        name = f"{self.lab.prefix}.{{node}}"
        power = Power((program("docker"), "kill", name), (program("docker"), "start", name))
        more = {"user": USER, "identity_file": str(self.lab.key), "power": power, "networks": networks}
        return Target("baremetal", "baremetal", (node,), Path("baremetal.hcl"), **more)

    def provisioner(self, instance: str) -> SlotProvisioner:
        return SlotProvisioner.of(self.deployment(instance), self.lab.folder / instance, self.target(), None)

    def inside(self, instance: str, *argv: str) -> str:
        return self.lab[NODE].run(*argv)

    def start(self, instance: str, process: str) -> None:
        own = self.provisioner(instance).started(NODE, ROLE, RUNS, _state(process), "")
        command = f'{RUNS.command[0]} -c "{RUNS.command[2]}"'
        unit = UNIT.format(command=command, digest=own["digest"], role=ROLE)
        self.lab[NODE].run("sh", "-c", f"cat >/etc/systemd/system/seter-{ROLE}.service", given=unit)
        self.lab[NODE].run("systemctl", "daemon-reload")
        self.lab[NODE].run("systemctl", "enable", "--now", "--quiet", f"seter-{ROLE}.service")


def _state(process: str) -> RoleState:
    return RoleState("sha256:a", "", process, "start")
