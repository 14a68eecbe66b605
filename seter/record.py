"""The deployment's folder, and what is remembered there: who deployed what, when, and how it ended.

`.seter/SYSTEM/TARGET/INSTANCE/` below the working folder (or below $SETER_STATE) holds the lease, the secrets, the
renderings and `record.json`. The record is for people; one thing is read from it:
whether the last deploy got to its checks.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.errors import BadInput, Error
from common.files import write_atomically
from common.lock import lease
from common.system import Deployment

FORMAT = 1
FILE = "record.json"
# Docker allows more in a name; this keeps every name of ours readable and below its limit of 63 in host names.
_PART = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def home(deployment: Deployment) -> Path:
    """The deployment's folder. Raises BadInput for a name that cannot be one of containers."""
    for what, name in (("system", deployment.system), ("target", deployment.target), ("instance", deployment.instance)):
        if not _PART.fullmatch(name):
            raise BadInput(
                f"{name!r} cannot name a {what}",
                resolution="Use up to 40 small letters, digits and dashes, with a letter or digit at both ends.",
            )
    root = Path(os.environ.get("SETER_STATE") or ".seter")
    return root / deployment.system / deployment.target / deployment.instance


@contextmanager
def leased(deployment: Deployment, reason: str) -> Iterator[None]:
    """Hold the deployment's lease. Raises Conflict naming who has it."""
    with lease(home(deployment) / "lease", f"{reason} {deployment}"):
        yield


@dataclass(frozen=True, slots=True)
class Record:
    """One deploy."""

    deployment: str
    who: str
    started: datetime
    artifacts: Mapping[str, str]
    steps: tuple[str, ...]
    finished: datetime | None = None
    result: str = "running"


def begin(deployment: Deployment, artifacts: Mapping[str, str], steps: tuple[str, ...]) -> Record:
    """A record of a deploy that starts now, written down."""
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    record = Record(str(deployment), who, datetime.now(UTC), artifacts, steps)
    _write(deployment, record)
    return record


def conclude(deployment: Deployment, record: Record, result: str) -> None:
    """How it ended, written down."""
    done = Record(
        record.deployment, record.who, record.started, record.artifacts, record.steps, datetime.now(UTC), result
    )
    _write(deployment, done)


def last(deployment: Deployment) -> Mapping[str, object]:
    """The last record as it was written; empty when there is none."""
    file = home(deployment) / FILE
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise Error(f"{file} cannot be read: {error}", resolution="Remove it; it is only for people.") from error
    return content if isinstance(content, dict) else {}


def _write(deployment: Deployment, record: Record) -> None:
    content = {
        "format": FORMAT,
        "deployment": record.deployment,
        "who": record.who,
        "started": record.started.isoformat(timespec="seconds"),
        "finished": record.finished.isoformat(timespec="seconds") if record.finished else None,
        "result": record.result,
        "artifacts": dict(record.artifacts),
        "steps": list(record.steps),
    }
    write_atomically(home(deployment) / FILE, json.dumps(content, indent=2) + "\n")
