"""Which roles can do what their definitions have a block for, and how their nodes are asked to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from common.console import Report
from common.errors import BadInput, Error
from common.model import Event
from seter.acts import RolloutStopped
from seter.blueprint import Blueprint, Seat, no_such
from seter.provisioner.interface import Answer, Provisioner


def able(blueprint: Blueprint, role: str, block: str) -> dict[str, list[Seat]]:
    """Role → its seats, for all roles that have such a block, or for this one. Raises BadInput."""
    able: dict[str, list[Seat]] = {}
    for seat in blueprint.seats:
        if getattr(seat.role, block):
            able.setdefault(seat.role.name, []).append(seat)
    if role and role not in able:
        raise no_such(f"role {role!r} with a {block} block", role, sorted(able))
    if not able:
        raise BadInput(f"no role of {blueprint.deployment} has a {block} block", resolution="See its role.hcl.")
    return {role: able[role]} if role else able


def first_that_does(
    provisioner: Provisioner, seats: Sequence[Seat], argv: Sequence[str], report: Report
) -> tuple[Seat, Mapping[str, object]]:
    """The first node that does it, and what it says. Raises RolloutStopped with the words of all that do not."""
    words = []
    for seat in seats:
        answer = asked(provisioner, seat, argv)
        if answer.code == 0:
            return seat, said_by(seat, answer)
        words.append(f"{seat.node.name}: {(answer.stderr or answer.stdout).strip()}")
        report(Event("failed", seat.role.name, words[-1]))
    raise RolloutStopped(
        f"{seats[0].role.name}: {argv[0]} failed on every node",
        details="\n".join(words),
        resolution="Mend the cause; seter status shows how the nodes fare.",
    )


def asked(provisioner: Provisioner, seat: Seat, argv: Sequence[str]) -> Answer:
    """A process that does not run is an answer too."""
    process = seat.role.process
    try:
        return provisioner.execute(*seat.key, argv, user=process.user if process is not None else "")
    except Error as error:
        return Answer(1, "", error.message)


def said_by(seat: Seat, answer: Answer) -> Mapping[str, object]:
    """What a command printed. Raises Error for what is no JSON object."""
    try:
        said = json.loads(answer.stdout)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Error(
            f"{seat.role.name} on {seat.node.name} says no JSON",
            details=answer.stdout[:1000],
            resolution="Mend the role's program.",
        )
    return said
