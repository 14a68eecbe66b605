"""What hosts are installed from: asked of smie, and installed by it, with the tasks that also make images.

The artefact of a role on a host is the fingerprint of the recipe that smie installs it by: its packages as the snapshot
has them, its programs, its tasks. All roles of a group have to go together, so recipes of whole groups are asked for
too: what cannot be installed side by side is told before anything is touched.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.console import Report
from common.errors import BadInput, Conflict, Error, Unavailable
from common.model import Artifact, Digest, Event, Kind, Reference
from common.run import CommandFailed, environment, find, run
from seter.ansible import LEASH
from seter.artifacts import Image
from seter.blueprint import Blueprint, Seat

PASSED_ON = ("SMIE_CACHE", "SMIE_SNAPSHOT", "NAUST_STORE", "SETER_SYSTEMS", "SSL_CERT_FILE")
ASKING = timedelta(minutes=5)
INSTALLING = timedelta(minutes=20)
MEDIA_TYPE = "application/vnd.seter.installed"
_TAG = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Software:
    """How smie is called: with which definitions, store and snapshot."""

    systems: Path
    store: str | None
    snapshot: str = ""

    def fingerprints(self, names: Sequence[str]) -> dict[str, tuple[str, Digest]]:
        """Version and fingerprint of the recipes of these roles and groups (`SYSTEM.GROUP`).

        Raises BadInput for what cannot be installed on hosts, or not together, Unavailable for a mirror that does not
        answer."""
        said = self._smie("plan", *names, "--kind", str(Kind.ROOTFS), "--json", within=ASKING)
        rows = {row["artifact"].partition("/")[2]: row for row in json.loads(said)}
        return {name: (rows[name]["version"], Digest.parse(rows[name]["made_from"])) for name in names}

    def install(
        self, name: str, host: str, user: str, config: Path, report: Report, halt: threading.Event | None = None
    ) -> None:
        """Install a role or a group on a host that `config` of ssh knows. Twice is once. Raises Error, Unavailable;
        KeyboardInterrupt when `halt` is set."""
        report(Event("install", host, name))
        where = ("--host", f"{user}@{host}", "--ssh-config", str(config))
        self._smie("apply", name, *where, within=INSTALLING, halt=halt)

    def _smie(self, *words: str, within: timedelta, halt: threading.Event | None = None) -> str:
        argv = [*words, "--systems", str(self.systems)]
        argv += ["--store", self.store] if self.store else []
        argv += ["--snapshot", self.snapshot] if self.snapshot else []
        env = environment({name: os.environ[name] for name in PASSED_ON if name in os.environ})
        try:
            # Whatever ends us ends it too.
            leash = [sys.executable, "-c", LEASH, str(os.getpid()), find("smie")]
            return run([*leash, *argv], env=env, timeout=within, halt=halt).stdout
        except CommandFailed as error:
            raise _translated(argv, error) from error


def _translated(words: Sequence[str], error: CommandFailed) -> Error:
    """Smie's own words; its exit codes are ours."""
    lines = error.result.stderr.strip().splitlines()
    wrong = next((line.partition("error: ")[2] for line in lines if line.startswith("error: ")), error.message)
    kinds: dict[int, type[Error]] = {2: BadInput, 9: Unavailable}
    made = kinds.get(error.result.code, Error)
    again = f"It was run as: smie {shlex.join(words)}"
    return made(f"smie {words[0]}: {wrong}", details="\n".join(lines[-20:]), resolution=again)


def resolve_all(blueprint: Blueprint, software: Software, pins: Mapping[str, str] | None = None) -> dict[str, Image]:
    """For the artefact of each seat on a host what its role is installed from. `pins` has what some of them were in an
    earlier run.

    Raises BadInput for one that the system pins, since a host is pinned by its snapshot; Conflict for one that is not
    what it was in that run; and as `Software.fingerprints` does."""
    on_hosts = (seat for seat in blueprint.seats if blueprint.target.kind_of(seat.node) == "baremetal")
    seats = [seat for seat in on_hosts if seat.role.process is not None and not seat.node.written]
    refuse_pinned(seats)
    roles = tuple(dict.fromkeys(seat.role.name for seat in seats))
    groups = tuple(dict.fromkeys(f"{blueprint.system.name}.{seat.node.group}" for seat in seats))
    found = software.fingerprints((*roles, *groups)) if seats else {}
    images = {f"{Kind.ROOTFS}/{role}": _image(role, *found[role]) for role in roles}
    _refuse_moved(images, pins or {})
    return images


def refuse_pinned(seats: Iterable[Seat]) -> None:
    """Raise BadInput for a role of which the system names an artefact: hosts do not run roles one by one."""
    for seat in seats:
        if not seat.artifact.startswith(f"{Kind.ROOTFS}/"):
            raise BadInput(
                f"{seat.artifact} cannot be installed on the host {seat.node.name}",
                resolution=f"Take `artifact` out of role {seat.role.name}; `snapshot` of the target pins what is "
                "installed.",
            )


def _refuse_moved(images: Mapping[str, Image], pins: Mapping[str, str]) -> None:
    """An earlier run's software is that of its definitions, as long as their packages are the same."""
    moved = [
        f"{name}: {pins[name].partition('@')[2]} then, {image.artifact.digest} now"
        for name, image in images.items()
        if name in pins and not pins[name].endswith(f"@{image.artifact.digest}")
    ]
    if moved:
        raise Conflict(
            f"what that run installed on hosts cannot be had again: {len(moved)} roles have other packages by now",
            details="\n".join(moved),
            resolution="Nothing was changed. Put that run's definitions back by hand and deploy: they are installed "
            "from the packages of today, or of the `snapshot` that the target names.",
        )


def _image(role: str, version: str, fingerprint: Digest) -> Image:
    reference = Reference(Kind.ROOTFS, role, _TAG.sub("_", version))
    artifact = Artifact(reference, version, fingerprint, 0, MEDIA_TYPE, datetime.fromtimestamp(0, UTC), fingerprint)
    return Image(artifact, None, "")


def programs_of(commands: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """For each role the programs that its commands begin with or hand on, by path."""
    return {
        role: tuple(sorted({word for command in all for word in command if word.startswith(("/usr/", "/opt/"))}))
        for role, all in commands.items()
    }
