"""Every role's files for every node, rendered on the operator's machine into a folder named by what went in.

What went in (the role's folder, its parameters, the node and its peers) only decides whether Ansible runs at all: a
folder that is there is whole and is never rendered twice. What came out is compared with what lies on the node.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from common.files import tree_digest
from common.model import Event
from common.role import Role
from seter.ansible import Ansible, sweep
from seter.blueprint import Seat
from seter.plays import inventory, render_play
from seter.state import digest_of

FORMAT = 2
CONFIGURE = Path("tasks") / "configure.yml"
_INCLUDED = re.compile(r"(?:include|import)_role:\s+name: ([\w-]+)")  # ansible.builtin.include_role
# What of a role's folder configure.yml can reach; checks and role.hcl are not among it.
PARTS = ("tasks", "templates", "files", "defaults", "vars", "meta", "filter_plugins")
KEPT = 400  # folders of renderings, or twice as many as there are now; older ones go


@dataclass(frozen=True, slots=True)
class Work:
    """One role to be rendered for one node."""

    seat: Seat
    digest: str
    store: Path  # where renderings are kept

    @property
    def root(self) -> Path:
        """The folder that has the node's folder in it."""
        return self.store / self.digest[:16]

    @property
    def folder(self) -> Path:
        """The role's rendered files."""
        return self.root / self.seat.node.name / self.seat.role.name

    @property
    def is_due(self) -> bool:
        """It is not rendered yet."""
        return not self.folder.is_dir()


@cache
def role_digest(role: Path) -> str:
    """Digest over all that the role's configure.yml can reach, other roles that it includes among it."""
    parts = [(part, str(tree_digest(role / part))) for part in PARTS if (role / part).is_dir()]
    configure = role / CONFIGURE
    included = _INCLUDED.findall(configure.read_text()) if configure.is_file() else []
    return digest_of(parts, [(name, role_digest(role.parent / name)) for name in included])


@cache
def _configures(role: Path) -> bool:
    """The role has files of its own."""
    return (role / CONFIGURE).exists()


def make_work(seats: Iterable[Seat], variables: Mapping[str, Mapping[str, Any]], store: Path) -> tuple[Work, ...]:
    """What there is to render, each with the digest of what goes in. `variables` are those of each node."""
    works: list[Work] = []
    shared = _Digests()
    for seat in seats:
        if _configures(seat.role.folder):
            seen = {name: shared.of(value) for name, value in _visible(seat.role, variables[seat.node.name]).items()}
            works.append(Work(seat, digest_of("render", FORMAT, role_digest(seat.role.folder), seen), store))
    return tuple(works)


class _Digests:
    """Digests of values; what many nodes are told, such as all groups, is digested once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, str]] = {}

    def of(self, value: object) -> object:
        """A list or mapping as its digest, else the value. Each is held on to, so that no other gets its id."""
        if not isinstance(value, list | dict):
            return value
        if id(value) not in self._known:
            self._known[id(value)] = value, digest_of(value)
        return self._known[id(value)][1]


def _visible(role: Role, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The role's own parameters and the facts; what other roles are told does not matter to it."""
    own = {role.variable_prefix + name for name in ("services", *(each.name for each in role.parameters))}
    facts = {"node", "groups_of", "deployment", "metrics_targets", "openings"}
    return {name: value for name, value in variables.items() if name in own | facts}


def render(works: Sequence[Work], variables: Mapping[str, Mapping[str, Any]], ansible: Ansible) -> None:
    """Render what is not there yet, in one run. Cut at any point it leaves whole folders or none."""
    missing = [work for work in works if work.is_due]
    if not missing:
        return
    missing[0].store.mkdir(parents=True, exist_ok=True)
    sweep(missing[0].store, ".new-")
    with tempfile.TemporaryDirectory(prefix=f".new-{os.getpid()}-", dir=missing[0].store) as temporary:
        roots = _roots(missing, Path(temporary))
        nodes = {node: {**variables[node], "roots": roots[node]} for node in roots}
        ansible.run([render_play(list(nodes))], inventory(nodes))
        for work in missing:
            _keep(work, Path(temporary) / work.root.name)
    _prune(missing[0].store, max(KEPT, 2 * len(works)))


def _roots(works: Iterable[Work], temporary: Path) -> dict[str, dict[str, str]]:
    """Where Ansible writes each role of each node; the folders are made for it."""
    roots: dict[str, dict[str, str]] = {}
    for work in works:
        root = temporary / work.root.name / work.seat.node.name
        (root / work.seat.role.name).mkdir(parents=True, exist_ok=True)
        roots.setdefault(work.seat.node.name, {})[work.seat.role.name] = str(root)
    return roots


def _keep(work: Work, made: Path) -> None:
    """Give the finished folder its name. Another seter that rendered the same was first: theirs is as good."""
    with suppress(OSError):
        made.rename(work.root)
    os.utime(work.root)


def _prune(store: Path, kept: int) -> None:
    folders = [path for path in store.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[kept:]:
        shutil.rmtree(folder, ignore_errors=True)


def describe(works: Sequence[Work]) -> Event | None:
    """What a person is told before rendering starts."""
    missing = [work for work in works if work.is_due]
    if not missing:
        return None
    nodes = len({work.seat.node.name for work in missing})
    return Event("render", f"{len(missing)} sets of files for {nodes} nodes")
