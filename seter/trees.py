"""What lies on each node when all is as wanted: files of its roles; secrets, with the names that certificates have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from common.role import Process
from common.system import Node
from seter.blueprint import Blueprint, Seat
from seter.secrets import Vault, Wish
from seter.tree import File, NodeTree, files_digest, roles_digest, tree_digest
from seter.variables import Map, certificate_names


def make_tree(
    blueprint: Blueprint,
    map: Map,
    vault: Vault,
    rendered: Mapping[tuple[str, str], tuple[File, ...]],
    same: Mapping[tuple[str, str], str],
    node: Node,
) -> NodeTree:
    """What lies on the node. Files that are the `same` as what was recorded are there as digests alone."""
    seats = blueprint.seats_of(node.name)
    files = {seat.role.name: rendered.get(seat.key, ()) for seat in seats}
    secrets = {seat.role.name: _secrets(blueprint, map, vault, seat) for seat in seats}
    processes = {seat.role.name: seat.role.process for seat in seats if seat.role.process is not None}
    digests = {role: same.get((node.name, role)) or files_digest(content) for role, content in files.items()}
    return NodeTree(
        files,
        secrets,
        roles_digest(digests),
        tree_digest(secrets, vault.key),
        state=tuple((role, process.uid) for role, process in processes.items()),
        run=_run_folders(processes.values()),
        digests=digests,
    )


def _run_folders(processes: Iterable[Process]) -> tuple[tuple[str, int], ...]:
    """Folders directly below /run that processes write to, and their owners."""
    return tuple(
        sorted(
            (Path(path).name, process.uid)
            for process in processes
            for path in process.writes
            if Path(path).parent == Path("/run")
        )
    )


def _secrets(blueprint: Blueprint, map: Map, vault: Vault, seat: Seat) -> tuple[File, ...]:
    files: dict[str, File] = {}
    for need in seat.role.secrets:
        names: tuple[str, ...] = ()
        if need.make == "certificate" and need.scope == "deployment":
            names = map.once(("names", need.name), partial(_shared_names, blueprint, map, need.name))
        elif need.make == "certificate":
            names = _names(map, (seat,), need.name)
        given = str(seat.parameters.get(need.given, "")) if need.given else ""
        wish = Wish(seat.role, need, seat.node.name, names, given)
        files |= {file.path: file for file in vault.files(wish)}
    return tuple(sorted(files.values(), key=lambda file: file.path))


def _names(map: Map, seats: Iterable[Seat], need: str) -> tuple[str, ...]:
    """What the certificate of this name covers on these seats."""
    names: list[str] = []
    for seat in seats:
        own = next(theirs for theirs in seat.role.secrets if theirs.name == need)
        for service in ({}, *seat.services.values()):
            names += certificate_names(own.names, seat.node, map, {**seat.parameters, **service})
    return tuple(dict.fromkeys(names))


def _shared_names(blueprint: Blueprint, map: Map, name: str) -> tuple[str, ...]:
    """A secret of the deployment is shared by all roles that name it; its certificate covers the names of all."""
    sharers = [
        other
        for other in blueprint.seats
        if any(need.name == name and need.scope == "deployment" for need in other.role.secrets)
    ]
    return _names(map, sharers, name)
