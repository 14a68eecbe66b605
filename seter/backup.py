"""`seter backup`: a copy of what a role holds into the store, encrypted.

What a copy is and how it is made is the role's matter (block `backup` of its role.hcl). Here it is a file, and it is
encrypted for the operator's identity. In clear it lies on the node and in a file without a name.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.console import Report
from common.errors import Error
from common.model import Artifact, Event, Kind, Reference
from seter.able import able, asked, first_that_does
from seter.blueprint import Blueprint, Seat, read_blueprint
from seter.provisioner.interface import Provisioner
from seter.secrets import encrypt_stream
from seter.survey import Request, open_provisioner
from seter.tree import STATE

if TYPE_CHECKING:
    from naust.store.interface import Store

ROLE, DEPLOYMENT = "seter.backup.role", "seter.backup.deployment"  # annotations
DETAIL = "seter.backup."


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What `--json` prints: the artefact, the node that it came from, older ones that went."""

    artifact: str
    node: str
    removed: tuple[str, ...]


def backup(request: Request, *, role: str = "", keep: int = 0, report: Report) -> tuple[BackedUp, ...]:
    """A copy of the state of each role that can give one, or of this role, in the store. With `keep`, only so many of
    the newest stay, and `naust gc` frees the rest.

    Raises BadInput if no role can, RolloutStopped if none of its nodes does.
    """
    from naust.store import open_store

    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    store = open_store(request.store)
    provisioner = open_provisioner(blueprint, request.state)
    done = []
    for name, seats in able(blueprint, role, "backup").items():
        seat, said = first_that_does(provisioner, seats, seats[0].role.backup, report)
        stored = _store(provisioner, store, seat, said, str(request.deployment), backup_of(blueprint, name), report)
        removed = _prune(store, stored, keep) if keep else ()
        done.append(BackedUp(str(stored.reference), seat.node.name, removed))
    return tuple(done)


def backup_of(blueprint: Blueprint, role: str) -> Reference:
    """What the copies of a role are called, without a version."""
    deployment = blueprint.deployment
    return Reference(Kind.FILE, f"{deployment.system}-{deployment.target}-{deployment.instance}-{role}")


def _store(
    provisioner: Provisioner,
    store: Store,
    seat: Seat,
    said: Mapping[str, object],
    deployment: str,
    reference: Reference,
    report: Report,
) -> Artifact:
    """Encrypted while it comes, then stored; on the node it goes, whatever happens."""
    from naust.push import push_file

    copy, version = said.get("file"), said.get("version")
    if not isinstance(copy, str) or not isinstance(version, str) or not _is_own(copy, seat):
        raise Error(
            f"{seat.role.name} on {seat.node.name} names no file of its own and its version",
            details=json.dumps(said),
            resolution="Mend the role's program.",
        )
    notes = {f"{DETAIL}{key}": str(value) for key, value in said.items() if key not in ("file", "version")}
    try:
        with tempfile.TemporaryDirectory(prefix="seter-backup-") as folder:
            file = Path(folder) / f"{reference.name}.age"
            with file.open("wb") as sink:
                _fetch_encrypted(provisioner, seat, copy, sink)
            report(Event("fetched", f"{seat.role.name} on {seat.node.name}", f"{file.stat().st_size} bytes, encrypted"))
            notes |= {ROLE: seat.role.name, DEPLOYMENT: deployment}
            return push_file(store, file, reference, version=version, annotations=notes, chunks=False)
    finally:
        asked(provisioner, seat, ["rm", "-rf", copy.rpartition("/")[0]])


def _is_own(copy: str, seat: Seat) -> bool:
    """Whether the file lies in a folder of its own below the role's state: that folder is removed afterwards."""
    folder, state = Path(copy).parent, Path(STATE, seat.role.name)
    return ".." not in folder.parts and state in folder.parents


def _fetch_encrypted(provisioner: Provisioner, seat: Seat, copy: str, sink: BinaryIO) -> None:
    """In clear it is only in a file that has no name and goes with us."""
    with tempfile.TemporaryFile() as plain:
        provisioner.fetch(seat.node.name, copy, plain)
        plain.seek(0)
        encrypt_stream(plain, sink)


def _prune(store: Store, newest: Artifact, keep: int) -> tuple[str, ...]:
    """All but the newest of its name lose theirs; not what a channel stands for."""
    from naust.listing import artifacts
    from naust.rm import plan, remove

    found = artifacts(store, newest.reference.kind, newest.reference.name)
    old = [str(each.reference) for each in found[keep:] if each.reference != newest.reference]
    if old:
        remove(store, plan(store, old))
    return tuple(old)
