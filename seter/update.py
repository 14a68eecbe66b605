"""`seter update`: another version of an artefact, written into the system's file and rolled out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.console import Report
from common.errors import BadInput
from common.role import Place
from common.system import RoleUse
from seter.blueprint import no_such, read_blueprint
from seter.deploy import Outcome
from seter.edit import edited, pinned
from seter.survey import Request

NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Updated:
    """What `--json` prints. `artifact` is empty where the newest is meant from now on."""

    role: str
    artifact: str
    file: str
    steps: int
    seconds: float


def update(request: Request, wanted: str, carry_out: Callable[[], Outcome], report: Report) -> Updated:
    """`ROLE=VERSION` or `ROLE=newest`: wherever the system has the role it names this artefact, then `carry_out`.

    Raises BadInput and NotFound for names that nothing has, and whatever `carry_out` raises; see `edit.edited` for what
    becomes of the file then.
    """
    from naust.listing import resolve
    from naust.store import open_store

    name, separator, version = wanted.partition("=")
    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    uses = [use for group in blueprint.system.groups for use in group.roles if use.role.name == name]
    if not separator or not version:
        raise BadInput(f"{wanted!r} names no version", resolution="Write ROLE=VERSION, or ROLE=newest.")
    if not uses:
        names = list(dict.fromkeys(use.role.name for group in blueprint.system.groups for use in group.roles))
        raise no_such(f"role {name!r} in system {blueprint.system.name}", name, names)
    artifact = ""
    if version != NEWEST:
        found = resolve(open_store(request.store), f"{_kept_name(uses[0])}:{version}")
        artifact = str(found.reference)
    places = sorted((use.place for use in uses), key=lambda place: place.line, reverse=True)
    outcome = edited(places[0], lambda text: _pin_all(text, places, artifact), carry_out)
    return Updated(name, artifact, str(places[0].file), len(outcome.plan.steps), outcome.seconds)


def _kept_name(use: RoleUse) -> str:
    """Kind and name of what the role is started from now."""
    return use.artifact.partition(":")[0] or f"container/{use.role.name}"


def _pin_all(text: str, places: list[Place], artifact: str) -> str:
    """From the last line to the first, so that the earlier ones keep their numbers."""
    for place in places:
        text = pinned(text, place.line, artifact)
    return text
