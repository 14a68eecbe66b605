"""Machines for seter: containers with systemd as process 1 and a real SSH server, on networks of their own.

They carry the marks of a deployment of containers, `lab-hosts`, so `bin/clean` finds whatever a killed test leaves.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from common.system import Deployment
from naust.content.engine import load
from naust.listing import resolve
from naust.store import open_store
from seter.provisioner import labels
from seter.provisioner.container import ContainerProvisioner
from seter.provisioner.subnets import address
from seter.state import Subnets
from tests.lab.programs import ROOT, program

ROLE = "lab-host"
POOL = "10.214.0.0/16"
USER = "ops"
# What systemd, sshd, sudo, BIRD and the sandboxes of units need; not all that "privileged" means (capabilities(7)).
CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_ADMIN",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN",
    "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE",
)  # fmt: skip
UP_WITHIN = 60  # seconds
ONLY_SSH = ("/bin/sh", "-c", "mkdir -p /run/sshd && ssh-keygen -A && exec /usr/sbin/sshd -D")


@dataclass(frozen=True)
class Host:
    """A machine that runs. `addresses` are those of each of its networks, both families."""

    name: str
    container: str
    addresses: Mapping[str, tuple[str, str]]
    key: str = ""  # of its SSH server, as it says itself, not over the network

    @property
    def address(self) -> str:
        """The IPv4 address in its first network."""
        return next(iter(self.addresses.values()))[0]

    def run(self, *argv: str, given: str = "", check: bool = True) -> str:
        """Run a command there as root, past SSH; what it printed."""
        command = [program("docker"), "exec", "--interactive", self.container, *argv]
        ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)
        assert not check or ended.returncode == 0, f"{argv} on {self.name}: {ended.stderr}"
        return ended.stdout.strip()

    def power(self, state: str) -> None:
        """Take it away at once (`kill`), or give it again (`start`)."""
        subprocess.run([program("docker"), state, self.container], check=True, capture_output=True, timeout=60)


@dataclass
class Hosts:
    """Machines by name, and the key that opens them."""

    folder: Path
    key: Path
    prefix: str = ""  # of the names of their containers
    networks: dict[str, Subnets] = field(default_factory=dict)
    machines: dict[str, Host] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Host:
        return self.machines[name]


def image_of_hosts(folder: Path) -> str:
    """Build the machines' image, into the working folder's own store; its id in the engine."""
    systems = folder / "systems"
    if not systems.exists():
        shutil.copytree(ROOT / "systems" / "bases", systems / "bases", symlinks=True)
        shutil.copytree(ROOT / "systems" / "roles" / "process", systems / "roles" / "process")
        shutil.copytree(ROOT / "tests" / "lab" / "host", systems / "roles" / ROLE)
    argv = [str(ROOT / ".venv" / "bin" / "smie"), "build", ROLE, "--systems", str(systems)]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    store = open_store(str(ROOT / ".naust"))
    return str(load(store, resolve(store, f"container/{ROLE}")))


@contextmanager
def hosts(
    folder: Path,
    wanted: Mapping[str, Sequence[str]],
    *,
    instance: str = "",
    only_ssh: bool = False,
    binds: Sequence[str] = (),
) -> Iterator[Hosts]:
    """Machines, each on these networks, from when SSH answers until the end of the block, however that comes.

    With `only_ssh` nothing runs there but the SSH server, for when there are many. `binds` are as docker has them."""
    deployment = Deployment("lab-hosts", "container", instance or f"t{os.getpid()}")
    provisioner = ContainerProvisioner(deployment)
    key = folder / "key"
    if not key.exists():
        subprocess.run([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    made = Hosts(folder, key, deployment.prefix)
    try:
        image = image_of_hosts(folder)
        for network in dict.fromkeys(name for names in wanted.values() for name in names):
            made.networks[network] = _network(provisioner, network)
        with ThreadPoolExecutor(8) as threads:
            lab = _Lab(provisioner, deployment, made, image, ONLY_SSH if only_ssh else ("/sbin/init",), binds)
            for host in threads.map(lab.start, wanted.items(), range(11, 11 + len(wanted))):
                made.machines[host.name] = host
        yield made
    finally:
        provisioner.destroy()


def _network(provisioner: ContainerProvisioner, name: str) -> Subnets:
    for _ in range(20):
        subnets = provisioner.free_subnets(name, POOL, 24)
        if provisioner.ensure_network(name, subnets):
            return subnets
        time.sleep(0.3)  # a network that is just being made has its addresses, but is not listed yet
    raise AssertionError(f"no subnet is free in {POOL}")


@dataclass
class _Lab:
    """What starting a machine needs to know."""

    provisioner: ContainerProvisioner
    deployment: Deployment
    made: Hosts
    image: str
    entrypoint: Sequence[str]
    binds: Sequence[str]

    def start(self, wish: tuple[str, Sequence[str]], number: int) -> Host:
        name, networks = wish
        addresses = {}
        for network in networks:
            subnets = self.made.networks[network]
            addresses[network] = address(subnets.v4, number), address(subnets.v6, number)
        api: Any = docker.APIClient(version="auto", timeout=120)
        container = self._create(api, name, networks[0], addresses)
        for network in networks[1:]:
            v4, v6 = addresses[network]
            whole = self.provisioner.network_name(network)
            api.connect_container_to_network(container, whole, ipv4_address=v4, ipv6_address=v6)
        api.start(container)
        host = Host(name, container, addresses)
        _wait_until_up(host)
        for home, user in (("/root", "root"), (f"/home/{USER}", USER)):
            host.run("install", "-d", "-m", "0700", "-o", user, f"{home}/.ssh")
            public = self.made.key.with_suffix(".pub").read_text()
            host.run("sh", "-c", f"cat >{home}/.ssh/authorized_keys", given=public)
        return Host(name, container, addresses, host.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub"))

    def _create(self, api: Any, name: str, network: str, addresses: Mapping[str, tuple[str, str]]) -> str:
        v4, v6 = addresses[network]
        whole = self.provisioner.network_name(network)
        rules = api.create_host_config(
            cap_drop=["ALL"], cap_add=list(CAPABILITIES), cgroupns="private", network_mode=whole,
            security_opt=["seccomp=unconfined", "apparmor=unconfined"], binds=list(self.binds),
            tmpfs={"/run": "rw,nosuid,nodev,mode=755", "/run/lock": "rw", "/tmp": "rw,exec,mode=1777"},
            sysctls={"net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.default.disable_ipv6": "0"},
        )  # fmt: skip
        plug = {whole: api.create_endpoint_config(ipv4_address=v4, ipv6_address=v6)}
        made = api.create_container(
            self.image, entrypoint=list(self.entrypoint), hostname=name, name=self.provisioner.node_name(name),
            environment={"container": "docker"}, host_config=rules, stop_signal="SIGRTMIN+3",
            labels=labels.of_part(self.deployment, "node") | {labels.NODE: name},
            networking_config=api.create_networking_config(plug),
        )  # fmt: skip
        return str(made["Id"])


def _wait_until_up(host: Host) -> None:
    end = time.monotonic() + UP_WITHIN
    while not host.run("ss", "-Hltn", "sport = :22", check=False):
        assert time.monotonic() < end, f"{host.name} does not come up"
        time.sleep(0.3)
