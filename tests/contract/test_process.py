"""One process block becomes a container on one kind of node and a unit on the other: what it may do is the same."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import cast

import pytest

from common.role import Process
from seter.ansible import Ansible
from seter.blueprint import process_block
from seter.plays import inventory, is_here, service_play
from seter.provisioner.interface import Provisioner
from seter.provisioner.labels import DEPLOYMENT
from seter.state import RoleState
from seter.tree import NodeTree, tree_digest
from tests.conftest import ROOT, Tools
from tests.lab.fields import NODE, Containers, Field, Machines
from tests.lab.hosts import hosts
from tests.lab.waiting import soon

INSTANCE = f"p{os.getpid()}"
ROLE = "web"
WRITES = ("/run/web", "/var/lib/seter/web")
COMMAND = ("/usr/bin/python3", "-c", "import time; time.sleep(1000)")
PROCESS = Process(COMMAND, user="www-data", uid=33, capabilities=("NET_BIND_SERVICE",), writes=WRITES)
AS_ROOT = replace(PROCESS, user="root", uid=0, capabilities=("NET_ADMIN",))
WEIGHED = replace(AS_ROOT, capabilities=("SYS_NICE",), cpu_weight=10000)
FIRST = "import os, time; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
INSPECT = ("docker", "inspect", "--format")
STATE = RoleState("a" * 64, "f", "p" * 64, "s" * 64)
ROOT_S = ("CapInh", "CapAmb")  # they mean nothing for root, who has what the bounding set leaves (capabilities(7))
# Not /var/tmp: a unit has one of its own, which goes with it.
PLACES = ("/", "/etc", "/etc/seter", "/home", "/opt", "/run", "/run/web", "/srv", "/tmp", "/usr", "/usr/local/bin",
          "/var", "/var/lib", "/var/lib/seter", "/var/lib/seter/web")  # fmt: skip
TRY = 'for place; do touch "$place/.try" 2>/dev/null && rm "$place/.try" && echo "$place"; done; true'


@pytest.fixture(scope="module")
def fields(built: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Field, Field]]:
    from naust.content.engine import load
    from naust.listing import resolve
    from naust.store import open_store

    store = open_store(str(built.cwd / ".naust"))
    image = str(load(store, resolve(store, "container/debian-13")))
    folder = tmp_path_factory.mktemp("process")
    with pytest.MonkeyPatch.context() as patch, hosts(folder, {NODE: ("one", "two")}, instance=INSTANCE) as lab:
        patch.setenv("SETER_STATE", str(folder / "state"))
        yield Containers(image), Machines(lab)


def started(field: Field, process: Process) -> Provisioner:
    """A node on which the process runs, started as a roll-out starts it."""
    provisioner = field.provisioner(INSTANCE)
    tree = NodeTree({}, {}, tree_digest({}), tree_digest({}, b"k"), ((ROLE, process.uid),), ((ROLE, process.uid),))
    provisioner.ensure(field.shape(field.nets(provisioner)), tree)
    block = process_block(process) | {"role": ROLE, "act": "start", "reload": []}
    block |= provisioner.started(NODE, ROLE, process, STATE, field.image)
    own = {"deployment": "contract", "processes": {"process": block}}
    ansible = Ansible(ROOT / "systems" / "roles", lambda event: None)
    means = provisioner.means(NODE)
    play = service_play("process", [NODE], here=is_here([means]))
    ansible.run([play], inventory({NODE: {**own, **means}}))
    return provisioner


def status(field: Field) -> dict[str, str]:
    """proc_pid_status(5) of the process."""
    if isinstance(field, Machines):
        pid = field.inside(INSTANCE, "systemctl", "show", "--value", "--property=MainPID", f"seter-{ROLE}")
        text = field.inside(INSTANCE, "cat", f"/proc/{pid}/status")
    else:
        name = f"{field.deployment(INSTANCE).prefix}.{NODE}.{ROLE}"
        argv = ["docker", "exec", name, "cat", "/proc/1/status"]
        text = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@pytest.mark.parametrize("process", [PROCESS, AS_ROOT], ids=["user", "root"])
def test_a_process_has_the_same_rights_in_a_container_and_as_a_unit(
    fields: tuple[Field, Field], process: Process
) -> None:
    rights, writable, said = [], [], []
    for field in fields:
        provisioner = started(field, process)
        try:
            found = status(field)
            groups = {int(word) for word in found["Groups"].split()} | {process.uid}
            names = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
            rights.append(({name: found[name] for name in names if process.uid or name not in ROOT_S}, groups))
            writable.append(provisioner.execute(NODE, ROLE, ["sh", "-c", TRY, "try", *PLACES]).stdout.split())
            said.append(provisioner.execute(NODE, ROLE, ["sh", "-c", "id -u; grep CapEff /proc/self/status"]).stdout)
            state = provisioner.observe(b"k").nodes[NODE].role(ROLE)
            assert state is not None and state.running and state.process == STATE.process
        finally:
            provisioner.destroy()
    assert rights[0] == rights[1]
    assert rights[0][0]["CapBnd"] == rights[0][0]["CapEff"] == f"{1 << (10 if process.uid else 12):016x}"
    assert said[0] == said[1]
    if process.uid:
        assert writable[0] == writable[1] == ["/run/web", "/tmp", "/var/lib/seter/web"]


def test_what_measures_goes_before_all_else_and_leaves_nothing_behind(fields: tuple[Field, Field]) -> None:
    """A kernel with groups of real-time priorities has some for one at a time; the next is run all the same."""
    field, machines = fields
    provisioner = started(field, WEIGHED)
    say = ["python3", "-uc", f"{FIRST}; print(os.sched_getscheduler(0)); time.sleep(60)"]
    try:
        one = cast("Generator[bytes]", provisioner.first(NODE, ROLE, say))
        assert next(one) == f"{os.SCHED_RR}\n".encode()
        assert b"".join(provisioner.first(NODE, ROLE, ["echo", "another"])) == b"another\n"
        one.close()
        soon(lambda: len(of_deployment(field)) == 2, 30, "only the node and its role are there")
        (role,) = (each for each in of_deployment(field) if each.endswith(f".{ROLE}"))
        seen = subprocess.run([*INSPECT, "{{.HostConfig.CpuShares}}", role], capture_output=True, text=True, check=True)
        assert seen.stdout.strip() == "102400"
    finally:
        provisioner.destroy()
    provisioner = started(machines, WEIGHED)
    try:
        assert isinstance(machines, Machines)
        shown = machines.inside(INSTANCE, "systemctl", "show", "--value", "--property=CPUWeight", f"seter-{ROLE}")
        assert shown.strip() == "10000"
        assert b"".join(provisioner.first(NODE, ROLE, ["echo", "one"])) == b"one\n"
    finally:
        provisioner.destroy()


def of_deployment(field: Field) -> list[str]:
    argv = ["docker", "ps", "--format", "{{.Names}}", "--filter", f"label={DEPLOYMENT}={field.deployment(INSTANCE)}"]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.split()
