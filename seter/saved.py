"""A plan in a file: `deploy FILE` carries out that plan and nothing else, once, and only if the world is as it was.

The file holds the definitions and the digests of all artefacts, so it does not matter what has become of them. It is
readable by its owner alone, and nothing in it is secret: what covers secrets are keyed digests.
"""

from __future__ import annotations

import base64
import json
import secrets as random_source
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from common.errors import BadInput, Conflict, Corrupt
from common.files import write_atomically
from common.system import Deployment
from seter import artifacts
from seter.definition import lay_out, pack, read_definition, unpack
from seter.history import History, by_digest, refuse_used
from seter.plan import Plan
from seter.survey import Request, Survey

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Saved:
    """What the file says. `steps` are (act, node, role); `is_exact` is false where secrets were not made yet: they are
    others at each look, so then only what is done to what is compared. `state` is where the deployment's state was."""

    id: str
    made: str
    deployment: tuple[str, str, str]
    only: str
    limit: tuple[str, ...]
    role: str
    state: str
    fingerprint: str
    is_exact: bool
    steps: tuple[tuple[str, str, str], ...]
    pins: Mapping[str, str]
    definition: bytes

    def refuse_moved(self, plan: Plan) -> bool:
        """True. Raises Conflict if the plan as it would be now is another one."""
        same = self.fingerprint == plan.fingerprint if self.is_exact else self.steps == _steps(plan)
        if not same:
            raise Conflict(
                f"the world has moved since this plan was made, {self.made}",
                details="\n".join(f"now: {step}" for step in plan.steps) or "now: nothing is to be done",
                resolution="Nothing was changed. Make a new plan with seter plan --out.",
            )
        return True


def save(seen: Survey, file: Path) -> str:
    """Write the plan of a survey; its id."""
    request, systems = seen.request, seen.blueprint.roles_folder.parent
    deployment = request.deployment
    saved = {
        "format": FORMAT,
        "id": random_source.token_hex(8),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "deployment": [deployment.system, deployment.target, deployment.instance],
        "only": request.only,
        "limit": list(request.limit),
        "role": request.role,
        "state": str(seen.keep),
        "fingerprint": seen.plan.fingerprint,
        "is_exact": not seen.vault.has_unsaved,
        "steps": _steps(seen.plan),
        "pins": by_digest(artifacts.names(seen.images)),
        "definition": base64.b64encode(pack(read_definition(systems, deployment.system))).decode(),
    }
    write_atomically(file, json.dumps(saved, indent=1) + "\n", mode=0o600)
    return str(saved["id"])


def read_saved(file: Path) -> Saved:
    """What a file says. Raises BadInput for what is no plan, Corrupt for what a newer seter wrote."""
    try:
        said = json.loads(file.read_text())
        if said.pop("format") > FORMAT:
            raise Corrupt(f"{file} was written by a newer seter", resolution="Use that version, or a newer one.")
        system, target, instance = said.pop("deployment")
        steps = tuple((str(act), str(node), str(role)) for act, node, role in said.pop("steps"))
        definition = base64.b64decode(said.pop("definition"), validate=True)
        limit = tuple(said.pop("limit"))
        return Saved(deployment=(system, target, instance), steps=steps, definition=definition, limit=limit, **said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{file} is no plan: {error}", resolution="Write one with seter plan SYSTEM --target TARGET --out FILE."
        ) from error


@contextmanager
def asked_by(saved: Saved, given: Request) -> Iterator[Request]:
    """What the file asks for, while its definitions are laid out; `given` says where stores are and how the lease is
    wanted. Raises Conflict if it was carried out already, or is for another state."""
    request = replace(
        given, deployment=Deployment(*saved.deployment), only=saved.only, limit=saved.limit, role=saved.role
    )
    if str(request.keep) != saved.state:
        raise Conflict(
            f"the plan was made for the state in {saved.state}, not {request.keep}",
            resolution="Give --state, or run it in the folder where it was made: only there one sees if it was used.",
        )
    refuse_used(History(request.keep), saved.id)
    with tempfile.TemporaryDirectory(prefix="seter-plan-") as folder:
        lay_out(unpack(saved.definition, "the plan"), Path(folder))
        yield replace(request, systems=Path(folder), pins=saved.pins, saved=saved.id)


def _steps(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    return tuple((step.act.value, step.node, step.role) for step in plan.steps)
