"""What hosts say of themselves, read as states of nodes, and what is remembered of them. Pure, but for `Memory`."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import BadInput, Error
from common.files import write_atomically
from common.role import Role
from common.system import Deployment
from seter.provisioner.interface import NodeShape
from seter.software import programs_of
from seter.state import CHANGED, NodeState, Place, RoleState
from seter.tree import Lying, files_digest, read_archive, tree_digest

RELEASE = ("debian", "trixie")  # ID and VERSION_CODENAME of os-release(5): what roles' packages are of
NOTHING = Lying({}, {}, {}, {})
Said = Mapping[str, Any]  # what `onhost look` printed
Mark = Mapping[str, Any]


def mark(deployment: Deployment, shape: NodeShape) -> dict[str, object]:
    """What a host that is ours carries."""
    return {
        "deployment": str(deployment),
        "node": shape.name,
        "group": shape.group,
        "index": shape.index,
        "number": shape.number,
        "shape": shape.digest,
    }


def place(mark: Mark) -> Place:
    """The node's place, as its host remembers it."""
    return Place(str(mark["group"]), int(mark["index"]), int(mark["number"]))


def stopped(mark: Mark) -> NodeState:
    """A host that does not answer, and whose power we can switch."""
    return NodeState(str(mark["shape"]), "", "", (), running=False)


def refuse_unfit(node: str, said: Said) -> None:
    """Raise BadInput for a host that roles cannot be installed on."""
    found = said["release"].get("ID", "?"), said["release"].get("VERSION_CODENAME", "?")
    if found != RELEASE:
        raise BadInput(
            f"the host {node} runs {' '.join(found)}, and roles are for {' '.join(RELEASE)}",
            resolution="Install that release there, or take the node out of the target.",
        )
    if said["lacks"]:
        raise BadInput(
            f"the host {node} lacks {', '.join(said['lacks'])}",
            resolution="Install there: apt-get install systemd-sysv procps util-linux tar dpkg.",
        )


def installed(roles: Iterable[tuple[Role, str]]) -> dict[str, dict[str, object]]:
    """What a host is to remember of roles that were installed there, each from this artefact."""
    there = list(roles)
    programs = programs_of({role.name: commands(role) for role, _ in there})
    return {
        role.name: {
            "artifact": artifact,
            "packages": [package.partition(":")[2] or package for package in role.packages],
            "programs": programs[role.name],
        }
        for role, artifact in there
    }


def ahead(said: Said, asked: float, answered: float) -> float:
    """Whole seconds that the host's clock is ahead of ours at least, by times of ours before and after it was asked;
    negative where it is behind."""
    clock = float(said.get("clock", asked))
    return float(round(min(clock - asked, 0.0) or max(clock - answered, 0.0)))


def as_data(document: object) -> bytes:
    """For the input of a program on a host."""
    return json.dumps(document).encode()


def came_back(node: str, said: Said) -> tuple[str, ...]:
    """Roles that have to read their files again, of what `onhost back` printed. Raises Error for a host that runs what
    it ran before only in part: packages do not go back."""
    if said["lost"]:
        raise Error(
            f"{node}: files, secrets and units are back, but not the software of {', '.join(said['lost'])}",
            details="\n".join(
                [f"{role}: not as before: {', '.join(differs)}" for role, differs in said["lost"].items()]
                + [f"{role}: does not start with it" for role in said["failed"]]
            ),
            resolution="Newer packages stay there. Put the definitions back, with the `snapshot` that they were "
            "installed from, and run seter deploy: it installs what they say and lets the host in again.",
        )
    if said["failed"]:
        raise Error(
            f"{node}: {', '.join(said['failed'])} did not start again with the files of before",
            resolution="See what it says with seter logs; mend that and deploy.",
        )
    return tuple(said["again"])


def node_state(said: Said, key: bytes) -> NodeState:
    """One node, from what its host said."""
    lying = read_archive(base64.b64decode(said["lying"])) if said.get("lying") else NOTHING
    names = sorted(set(said["units"]) | set(lying.files) | set(lying.secrets))
    slots = said.get("slots", {})
    return NodeState(
        shape=str(said["mark"].get("shape", "")),
        files=tree_digest(lying.files),
        secrets=tree_digest(lying.secrets, key),
        roles=tuple((name, _role_state(name, said, lying)) for name in names),
        running=True,
        identity=str(said["identity"]),
        cluster=tuple(sorted(lying.cluster.items())),
        kept=lying.kept or bool(slots.get("before")),
        system=_system(said, slots),
        slot=slots.get("booted", ""),
        on_trial=bool(slots) and slots["default"] != slots["booted"],
    )


def _system(said: Said, slots: Mapping[str, str]) -> str:
    """Of what the slot was written, unless it is not as it was left then."""
    differs = [name for found in said["installed"].values() for name in found["differs"]]
    written = slots.get("artifact", "")
    return f"{CHANGED}{', '.join(dict.fromkeys(differs))}" if written and differs else written


def _role_state(name: str, said: Said, lying: Lying) -> RoleState:
    files = files_digest(lying.files.get(name, ()))
    unit = said["units"].get(name)
    if unit is None:
        return RoleState("", files, "", "", running=False)
    process, start, artifact = parse_read(unit["read"])
    installed = said["installed"].get(name, {"artifact": "", "differs": []})
    if installed["differs"]:
        artifact, start = f"{CHANGED}{', '.join(installed['differs'])}", "changed"
    elif installed["artifact"] != artifact:
        start = "another artefact"
    return RoleState(artifact, files, process or "unknown", start, runs(unit))


def runs(unit: Mapping[str, str]) -> bool:
    """The unit is active; one of type oneshot is too when it ended well (RemainAfterExit of systemd.service(5))."""
    return unit.get("ActiveState") in ("active", "reloading")


def read_mark(process: str, start: str, artifact: str) -> str:
    """What a process has read, as the role `process` leaves it on the host when it starts."""
    return f"{process} {start} {artifact}"


def parse_read(text: str) -> tuple[str, str, str]:
    """Process, start and artefact out of that mark; empty where it does not say."""
    words = [*text.split(), "", "", ""]
    return words[0], words[1], words[2]


def commands(role: Role) -> tuple[tuple[str, ...], ...]:
    """Every command of the role: what they name are its programs."""
    process = role.process
    own = (process.command, process.validate, process.reload) if process is not None else ()
    return (*own, role.status, *(check.command for check in role.checks))


@dataclass
class Memory:
    """The marks of hosts that became nodes, kept here for when one does not answer."""

    file: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def marks(self) -> dict[str, Mark]:
        """By name of the node."""
        return dict(json.loads(self.file.read_text())) if self.file.is_file() else {}

    def keep(self, node: str, mark: Mark) -> None:
        """Remember it."""
        with self._lock:
            self._write(self.marks() | {node: mark})

    def forget(self, node: str) -> None:
        """Twice is once."""
        with self._lock:
            self._write({name: mark for name, mark in self.marks().items() if name != node})

    def _write(self, marks: Mapping[str, Mark]) -> None:
        write_atomically(self.file, json.dumps(dict(marks), indent=2) + "\n")
