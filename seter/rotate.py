"""`seter rotate`: certificates, or the CA that signs them, drawn anew while everything runs.

What was drawn goes out by the ordinary roll-out, node by node. Cut at any point, the next deploy finishes what was
begun; a change of the CA is gone on with by the next `rotate --authority`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from common.console import Report
from common.errors import BadInput, NotFound
from common.model import Event
from seter.blueprint import Blueprint, Seat, no_such, read_blueprint
from seter.deploy import Confirm, deploy
from seter.secrets import Stage, Vault, Wish, open_vault
from seter.survey import Request
from seter.traffic import CUT_AFTER

LATER = {
    "password": "both sides of it would have to change in one moment",
    "cephx": "the Ceph cluster keeps a copy of it that would have to change with it",
}


@dataclass(frozen=True, slots=True)
class Rotated:
    """What `--json` prints: names of the secrets that were drawn anew, or `ca` for the CA; how many steps it took."""

    drawn: tuple[str, ...]
    steps: int


def rotate(
    request: Request,
    *,
    role: str = "",
    secrets: tuple[str, ...] = (),
    report: Report,
    confirm: Confirm,
    cut_after: timedelta = CUT_AFTER,
) -> Rotated:
    """Draw certificates anew: of these names, or of this role, or both; with neither, all. The CA stays.

    Raises BadInput for a name that is not there or is no certificate, NotFound before the first deploy, and what
    `deploy` raises.
    """
    blueprint = _deployed(request)
    chosen = choose(blueprint, role, secrets)
    for kept in sorted({need for seat in _of(blueprint, role) for need in _others(seat)} if not secrets else ()):
        report(Event("kept", *kept))
    asked = replace(request, verb="rotate", redraw=lambda vault: vault.renew(chosen))
    outcome = deploy(asked, report=report, confirm=confirm, cut_after=cut_after)
    return Rotated(tuple(sorted(chosen)), len(outcome.plan.steps))


def rotate_authority(
    request: Request, *, report: Report, confirm: Confirm, cut_after: timedelta = CUT_AFTER
) -> Rotated:
    """Change the CA: let all trust the next one too, sign all certificates anew, trust the old one no more. Each step
    is on all nodes before the next begins. Takes up a change that was cut off. Raises as `rotate`.
    """
    _deployed(request)
    cells, name = request.keep.cells, str(request.deployment)
    steps = len(deploy(request, report=report, confirm=confirm, cut_after=cut_after).plan.steps)
    for stage, said, act in STEPS[_ORDER.index(open_vault(cells, name).stage) :]:
        report(Event("authority", said))
        asked = replace(request, verb="rotate", redraw=_at(stage, act))
        done = deploy(asked, report=report, confirm=confirm, cut_after=cut_after)
        steps += len(done.plan.steps)
    return Rotated(("ca",), steps)


STEPS: tuple[tuple[Stage, str, Callable[[Vault], None]], ...] = (
    (Stage.SETTLED, "a new CA is trusted beside the old one", Vault.trust_next),
    (Stage.TRUSTED, "the new CA signs every certificate anew", Vault.adopt_next),
    (Stage.ADOPTED, "the old CA is trusted no more", Vault.drop_before),
)
_ORDER = [stage for stage, _, _ in STEPS]


def _at(stage: Stage, act: Callable[[Vault], None]) -> Callable[[Vault], None]:
    """The step, once: a deploy looks several times, and after it has saved the secrets there is nothing to do."""

    def step(vault: Vault) -> None:
        if vault.stage is stage:
            act(vault)

    return step


def choose(blueprint: Blueprint, role: str, secrets: tuple[str, ...]) -> frozenset[str]:
    """Where the chosen certificates are kept in the vault. Raises BadInput."""
    seats = _of(blueprint, role)
    needs = {need.name: need for seat in seats for need in seat.role.secrets}
    for name in secrets:
        if name not in needs:
            raise no_such(f"secret {name!r}{f' of role {role}' if role else ''}", name, sorted(needs))
        if needs[name].make != "certificate":
            raise BadInput(
                f"secret {name} is a {needs[name].make}, and only certificates can be drawn anew yet",
                resolution=f"Nothing was changed: {LATER[needs[name].make]}.",
            )
    keys = frozenset(
        Wish(seat.role, need, seat.node.name).key
        for seat in seats
        for need in seat.role.secrets
        if need.make == "certificate" and (not secrets or need.name in secrets)
    )
    if not keys:
        raise BadInput(
            f"role {role} has no certificate" if role else f"{blueprint.deployment} has no certificates",
            resolution="Roles with certificates are: "
            + (", ".join(sorted({seat.role.name for seat in blueprint.seats if _certificates(seat)})) or "none")
            + ".",
        )
    return keys


def _of(blueprint: Blueprint, role: str) -> list[Seat]:
    seats = [seat for seat in blueprint.seats if not role or seat.role.name == role]
    if not seats:
        raise no_such(f"role {role!r}", role, sorted({seat.role.name for seat in blueprint.seats}))
    return seats


def _certificates(seat: Seat) -> bool:
    return any(need.make == "certificate" for need in seat.role.secrets)


def _others(seat: Seat) -> list[tuple[str, str]]:
    return [(need.name, f"a {need.make}: {LATER[need.make]}") for need in seat.role.secrets if need.make in LATER]


def _deployed(request: Request) -> Blueprint:
    """The definitions of what is deployed. Raises NotFound if nothing ever was."""
    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    if open_vault(request.keep.cells, str(request.deployment)).is_new:
        raise NotFound(f"{request.deployment} has no secrets yet", resolution="Deploy it first: that makes them.")
    return blueprint
