"""Nodes that are hosts: machines that somebody else installed Debian on, reached by SSH.

Nothing is made but what lies below /etc/seter, /var/lib/seter and /run, units called `seter-ROLE`, and a file of kernel
settings. A host is marked when it becomes a node of a deployment, and one with the mark of another is not touched.
Each call is one command over the connection that the host's calls share.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any, BinaryIO, TypeVar

from common.console import Report
from common.errors import BadInput, Conflict, Error, NotFound, Partial, Unavailable
from common.role import Process, Role
from common.run import CommandFailed, Result, run
from common.system import Deployment, Power, Target
from seter.provisioner import hosts
from seter.provisioner.breaking_hosts import BreakableHosts
from seter.provisioner.interface import Answer, Joined, NodeShape
from seter.provisioner.sent import program
from seter.provisioner.ssh import Ssh
from seter.software import Software
from seter.state import Observed, RoleState, Subnets
from seter.tree import KEPT, ROOT, STATE, SWITCH, NodeTree, add_stream, mark_archive

SSH = "ssh"  # of the deployment's folder: how hosts are reached
THREADS = 16  # calls to hosts at once
NOT_RUNNING, NO_FILE = 69, 66  # as `onhost` has them
BOOT_WITHIN = timedelta(minutes=5)
PAUSE = 2.0  # seconds between two tries to reach a host that starts
COMMAND_WITHIN = timedelta(minutes=10)
POWER_WITHIN = timedelta(minutes=2)
T = TypeVar("T")
R = TypeVar("R")


class BaremetalProvisioner(BreakableHosts):
    """The hosts of one deployment."""

    def __init__(
        self, deployment: Deployment, ssh: Ssh, target: Target | None = None, software: Software | None = None
    ) -> None:
        """Without a target the hosts that an earlier run knew, to take them down."""
        self.deployment, self._ssh, self._target, self._software = deployment, ssh, target, software
        self._nodes = {node.name: node for node in target.nodes} if target is not None else {}
        self._memory = hosts.Memory(ssh.folder / "hosts.json")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ssh")
        self._seen: dict[str, dict[str, Any] | Error] = {}  # at the last observation

    @classmethod
    def of(
        cls, deployment: Deployment, folder: Path, target: Target | None, software: Software | None
    ) -> BaremetalProvisioner:
        """See the interface."""
        if target is None:
            return cls(deployment, Ssh.remembered(folder / SSH))
        managed = [node for node in target.nodes if not node.existing]
        return cls(deployment, Ssh.made(target, managed, folder / SSH), target, software)

    # looking

    def observe(self, key: bytes) -> Observed:
        """See the interface. One round trip for each host; what one does not answer is said of it alone."""
        names = list(self._ssh.users)
        seen = dict(zip(names, self._all(self._look, names), strict=True))
        self._seen = seen
        dead = {name: found for name, found in seen.items() if isinstance(found, Error)}
        alive = {name: found for name, found in seen.items() if not isinstance(found, Error)}
        ours = {name: found for name, found in alive.items() if self._is_ours(found)}
        states = {name: hosts.node_state(found, key) for name, found in ours.items()}
        known = {name: mark for name, mark in self._memory.marks().items() if name in dead}
        marks = known | {name: found["mark"] for name, found in ours.items()}
        off = {name for name, error in dead.items() if self._power is not None and isinstance(error, Unavailable)}
        states |= {name: hosts.stopped(known[name]) for name in off if name in known}
        places = {name: hosts.place(mark) for name, mark in marks.items()}
        lost = {name: dead[name].message for name in dead if name not in off}
        return Observed({}, states, places, lost, {name: found["ahead"] for name, found in alive.items()})

    def _look(self, node: str) -> dict[str, Any] | Error:
        asked = time()
        try:
            said = dict(json.loads(self._call(node, "look").stdout))
            return said | {"ahead": hosts.ahead(said, asked, time())}
        except Error as error:
            return error

    def _said(self, node: str) -> dict[str, Any]:
        """What the host says. Raises what is wrong with it."""
        found = self._look(node)
        if isinstance(found, Error):
            raise found
        return found

    @property
    def _power(self) -> Power | None:
        return self._target.power if self._target is not None else None

    def _is_ours(self, found: Mapping[str, Any]) -> bool:
        return bool(found["mark"].get("deployment") == str(self.deployment))

    def refuse_foreign(self, nodes: Sequence[str], networks: Sequence[str], roles: Mapping[str, Sequence[str]]) -> None:
        """See the interface."""
        unseen = [name for name in nodes if name not in self._seen]
        seen = self._seen | dict(zip(unseen, self._all(self._look, unseen), strict=True))
        for name in nodes:
            found = seen[name]
            other = found["mark"].get("deployment") if isinstance(found, dict) else None
            if other not in (None, str(self.deployment)):
                raise Conflict(
                    f"the host {name} belongs to the deployment {other}",
                    resolution="It was not touched. Take it out of one of the two targets, or destroy that deployment.",
                )

    def free_subnets(self, network: str, pool: str, length: int) -> Subnets:
        """See the interface: the network is there, and the target says what it is."""
        found = {each.name: each for each in self._target.networks} if self._target is not None else {}
        return Subnets(found[network].prefix, found[network].prefix6)

    def ensure_network(self, network: str, subnets: Subnets) -> bool:
        """See the interface. Networks of hosts are there."""
        return True

    def remove_network(self, network: str) -> None:
        """See the interface. Networks of hosts stay."""

    # nodes

    def ensure(self, shape: NodeShape, tree: NodeTree) -> None:
        """See the interface. The host runs, is Debian of the right release and has what is needed; then it is marked
        as this node, and its files are laid. Raises BadInput for a host that cannot be one."""
        found = self._started(shape.name)
        hosts.refuse_unfit(shape.name, found)
        mark = hosts.mark(self.deployment, shape)
        self._memory.keep(shape.name, mark)
        document = json.dumps({"mark": mark, "sysctls": shape.sysctls}).encode()
        self._done(shape.name, "ensure", data=document)
        self.lay(shape.name, tree)
        self.switch(shape.name, tree)
        self._done(shape.name, "forget")  # none of that could run on a new node

    def _started(self, node: str) -> dict[str, Any]:
        """What the host says, once it answers; one without power is given it."""
        found = self._look(node)
        if isinstance(found, Unavailable) and self._power is not None:
            self._switch_power(node, self._power.on)
            deadline = monotonic() + BOOT_WITHIN.total_seconds()
            while isinstance(found, Unavailable) and monotonic() < deadline:
                sleep(PAUSE)
                found = self._look(node)
        if isinstance(found, Error):
            raise found
        return found

    def install(self, node: str, wanted: Sequence[tuple[Role, str]], report: Report) -> None:
        """See the interface: by smie, what is not there yet; most of a group at once, or role by role."""
        assert self._software is not None
        found = self._said(node)
        there = {role: mark["artifact"] for role, mark in found.get("installed", {}).items() if not mark["differs"]}
        missing = [(role, artifact) for role, artifact in wanted if there.get(role.name) != artifact]
        names = [role.name for role, _ in missing]
        if len(missing) > 1 and 2 * len(missing) >= len(wanted):
            names = [f"{self.deployment.system}.{self._nodes[node].group}"]
        if missing:
            self._done(node, "before")
        for name in names:
            self._software.install(name, node, self._ssh.users[node], self._ssh.config, report, self._ssh.halt)
        if missing:
            self._done(node, "installed", data=hosts.as_data(hosts.installed(missing)))

    def lay(self, node: str, tree: NodeTree) -> str:
        """See the interface."""
        self.folders(node, tree)
        self._done(node, "unpack", ROOT, data=tree.archive(suffix=".next"))
        return f"{ROOT}/{tree.trees_name()}"

    def switch(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        self._done(node, "switch", tree.trees_name(), tree.vault_name(), str(KEPT), data=SWITCH.encode())

    def folders(self, node: str, tree: NodeTree) -> None:
        """See the interface."""
        self._done(node, "unpack", STATE, data=tree.state_archive())
        self._done(node, "unpack", "/run", data=tree.run_archive())

    def remove(self, node: str) -> None:
        """See the interface. Packages stay: others may have come to need them."""
        self._done(node, "remove", within=COMMAND_WITHIN)
        self._memory.forget(node)

    # processes

    def join(self, node: str, role: str) -> Joined:
        """See the interface."""
        return Joined("", "", str(self._said(node)["identity"]))

    def means(self, node: str) -> Mapping[str, object]:
        """See the interface. What is shared with smie and us is ssh's configuration."""
        return {
            "access": "systemd",
            "ansible_connection": "ssh",
            "ansible_host": node,
            "ansible_user": self._ssh.users[node],
            "ansible_become": self._ssh.users[node] != "root",
            "ansible_ssh_args": f"-F {self._ssh.config}",
            "ansible_remote_tmp": "/tmp/.seter-ansible",
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def inside(self, node: str, role: str) -> Mapping[str, object]:
        """See the interface."""
        return self.means(node)

    def started(self, node: str, role: str, process: Process, state: RoleState, image: str) -> Mapping[str, object]:
        """See the interface."""
        return {"digest": hosts.read_mark(state.process, state.start, state.artifact)}

    def remove_role(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        self._done(node, "stop", role, within=timedelta(seconds=within) + COMMAND_WITHIN)

    def execute(self, node: str, role: str, argv: Sequence[str], *, user: str = "") -> Answer:
        """See the interface."""
        result = self._call(node, "execute", role, user, *argv, within=COMMAND_WITHIN)
        if result.code == NOT_RUNNING and "does not run" in result.stderr:
            raise self._not_running(node, role)
        return Answer(result.code, result.stdout, result.stderr)

    def try_out(self, node: str, image: str, argv: Sequence[str], *, user: str) -> Answer:
        """See the interface."""
        result = self._call(node, "try", user, *argv, within=COMMAND_WITHIN)
        return Answer(result.code, result.stdout, result.stderr)

    def restart(self, node: str, role: str, within: int) -> None:
        """See the interface."""
        result = self._call(node, "restart", role, within=timedelta(seconds=within) + COMMAND_WITHIN)
        if result.code == NOT_RUNNING:
            raise self._not_running(node, role)
        self._judge(node, "restart", result)

    def fetch(self, node: str, path: str, sink: BinaryIO) -> int:
        """See the interface."""
        result = self._call(node, "read", path, within=COMMAND_WITHIN)
        if result.code == NO_FILE:
            raise NotFound(f"there is no {path} on {node}", resolution="See what lies there.")
        self._judge(node, "read", result)
        return sum(sink.write(base64.b64decode(line)) for line in result.stdout.splitlines())

    def put(self, node: str, path: str, source: BinaryIO, size: int, uid: int) -> None:
        """See the interface."""
        folder, _, name = path.rpartition("/")
        archive = io.BytesIO()
        add_stream(archive, name, source, size, uid=uid)
        self._done(node, "unpack", folder, data=archive.getvalue(), within=COMMAND_WITHIN)

    def loaded(self, node: str, role: str, process: str) -> None:
        """See the interface."""
        _, start, artifact = hosts.parse_read(str(self._said(node)["units"].get(role, {}).get("read", "")))
        self._done(node, "loaded", role, hosts.read_mark(process, start, artifact))

    def cluster_done(self, node: str, role: str, mark: str) -> None:
        """See the interface."""
        self._done(node, "unpack", ROOT, data=mark_archive("cluster", role, mark))

    def reboot(self, node: str, tree: NodeTree) -> None:
        """See the interface. By the power, where the target says how that is switched. Raises Unavailable for a host
        that is not back in time."""
        before = self.join(node, "").identity
        if self._power is not None:
            self._done(node, "sync")
            self._switch_power(node, self._power.off)
            self._switch_power(node, self._power.on)
        else:
            with suppress(Unavailable):  # it may be gone before it has answered
                self._done(node, "reboot")
        self._await(node, before)
        self.folders(node, tree)

    def _await(self, node: str, before: str, within: timedelta = BOOT_WITHIN) -> None:
        """Until it answers in another life. Raises Unavailable."""
        self._ssh.forget(node)
        deadline = monotonic() + within.total_seconds()
        while not self._is_back(node, before):
            if monotonic() > deadline:
                raise Unavailable(
                    f"{node} has not come back within {within.total_seconds():.0f} s after its reboot",
                    resolution="See to it by its console, then run seter deploy.",
                )
            sleep(PAUSE)

    def _is_back(self, node: str, before: str) -> bool:
        """Whether it answers in another life."""
        found = self._look(node)
        if isinstance(found, Error) and not isinstance(found, Unavailable):
            raise found
        return isinstance(found, dict) and found["identity"] != before

    def logs(self, node: str, role: str, *, since: timedelta | None, follow: bool) -> Iterator[bytes]:
        """See the interface. From the journal, which also has what earlier starts have printed."""
        seconds = f"{since.total_seconds():.0f}" if since is not None else ""
        try:
            yield from self._ssh.stream(node, program(), ("logs", role, seconds, "follow" if follow else ""))
        except CommandFailed as failed:
            if failed.result.code == NOT_RUNNING:
                raise self._not_running(node, role) from None
            raise

    @staticmethod
    def _not_running(node: str, role: str) -> NotFound:
        return NotFound(f"{role} on {node} does not run", resolution="See seter status; seter deploy starts it.")

    # going back

    def keep(self, node: str) -> bool:
        """See the interface. Units, files and marks are copied there; a process is known by its start."""
        return bool(json.loads(self._done(node, "keep")))

    def go_back(self, node: str, order: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """See the interface. Raises Error where packages are others by now, when all else is back."""
        within = COMMAND_WITHIN + timedelta(seconds=sum(seconds for _, seconds in order))
        said = self._done(node, "back", *(role for role, _ in order), within=within)
        return hosts.came_back(node, json.loads(said)) if said else ()

    def forget(self, node: str, *, gone_back: bool = False) -> bool:
        """See the interface."""
        return bool(self._done(node, "forget", *(["marks"] if gone_back else [])))

    # the end

    def halt(self) -> None:
        """See the interface."""
        self._ssh.halt.set()

    def kill(self, node: str) -> None:
        """See the interface. Raises BadInput where the target does not say how a host's power is cut."""
        if self._power is None:
            raise BadInput(
                f"nobody says how the power of {node} is cut",
                resolution='Add power { off = ["…", "{node}"] on = ["…", "{node}"] } to the target.',
            )
        self._switch_power(node, self._power.off)

    def _switch_power(self, node: str, argv: Sequence[str]) -> None:
        run([word.replace("{node}", node) for word in argv], timeout=POWER_WITHIN)
        self._ssh.forget(node)

    def destroy(self) -> tuple[str, ...]:
        """See the interface. Raises Partial naming hosts that could not be reached, after all others."""
        removed, lost = [], []
        names = list(self._ssh.users)
        for name, found in zip(names, self._all(self._look, names), strict=True):
            if isinstance(found, Error):
                lost += [f"{name}: {found.message}"] if name in self._memory.marks() else []
            elif self._is_ours(found):
                self.remove(name)
                removed.append(name)
        if lost:
            raise Partial(
                f"{len(removed)} hosts were taken down, {len(lost)} could not be reached",
                details="\n".join(lost),
                resolution="Destroy again when they answer; what runs there still runs.",
            )
        return tuple(removed)

    # calls

    def _all(self, act: Callable[[T], R], things: Sequence[T]) -> list[R]:
        """Side by side. Ctrl-C ends the waiting of all."""
        try:
            return list(self._threads.map(act, things))
        except BaseException:
            self.halt()
            raise

    def _call(self, node: str, verb: str, *words: str, data: bytes = b"", within: timedelta | None = None) -> Result:
        more = {} if within is None else {"within": within}
        return self._ssh.call(node, program(), (verb, *words), data, **more)

    def _done(self, node: str, verb: str, *words: str, data: bytes = b"", within: timedelta | None = None) -> str:
        result = self._call(node, verb, *words, data=data, within=within)
        self._judge(node, verb, result)
        return result.stdout

    @staticmethod
    def _judge(node: str, verb: str, result: Result) -> None:
        if result.code:
            said = result.stderr.strip().splitlines()
            raise Error(
                f"{node}: {said[-1] if said else f'{verb} ended with status {result.code}'}",
                details="\n".join(said[-20:]),
                resolution="Mend what is said above and run the command again; it takes up where this one stopped.",
            )
