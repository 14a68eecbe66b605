"""`seter adopt`: take over nodes that run already, and whose record was lost or is another deployment's.

Nothing on them is restarted or written but the mark of a host. What was secret is read back from where it lies; the key
of the CA lies nowhere, so a new CA is trusted beside the old one by the next deploy, and `seter rotate --authority`
goes on from there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common.console import Report
from common.errors import BadInput, Conflict, NotFound, Unavailable
from common.model import Event
from common.system import Deployment
from seter.blueprint import Blueprint, Seat, read_blueprint
from seter.keep import Keep, open_keep
from seter.provisioner.interface import Provisioner
from seter.record import leased
from seter.secrets import Vault, Wish, open_vault, restored
from seter.survey import Request, open_provisioner

AT_ONCE = 8
NO_KEY = b"-"  # what lies on nodes is not compared here
SECRETS = "/etc/seter/secrets"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that runs, and whose it is until now."""

    node: str
    owner: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was taken over. `secrets` are names of those that were read back, `moved` that another deployment's were
    taken with its CA."""

    nodes: tuple[Candidate, ...]
    secrets: tuple[str, ...] = ()
    moved: bool = False


def adopt(
    request: Request, origin: str, *, report: Report, confirm: Callable[[Sequence[Candidate]], object]
) -> Adopted:
    """Look, ask, and take over: nodes with our mark whose secrets are lost here, and hosts of the deployment `origin`
    (SYSTEM/TARGET/INSTANCE, '' for none).

    Raises Conflict for nodes of any other deployment, or that do not agree on a secret; Unavailable, before anything is
    changed, when one that has to be read does not answer; BadInput for what is no name.
    """
    keep, own = request.keep, str(request.deployment)
    source = _named(origin, request.state) if origin else None
    blueprint = read_blueprint(request.deployment, request.systems, request.state)
    provisioner = open_provisioner(blueprint, request.state)
    with leased(keep, "adopt", claim=request.claim, report=report):
        found = candidates(blueprint, provisioner, own, origin)
        vault = open_vault(keep.cells, own, keep.earlier)
        taken = tuple(each for each in found if each.owner != own or vault.is_new)
        if not taken:
            return Adopted(())
        confirm(taken)
        secrets: tuple[str, ...] = ()
        moved = False
        if vault.is_new:
            vault, secrets = _secrets(blueprint, provisioner, keep, source, [each.node for each in taken], report)
            moved = not secrets and not vault.is_new
            vault.save()
        for each in taken:
            if each.owner != own:
                report(Event("adopt", each.node, f"from {each.owner}"))
                provisioner.claim(each.node, each.owner)
    return Adopted(taken, secrets, moved)


def _named(origin: str, state: str | None) -> Keep:
    parts = origin.split("/")
    if len(parts) != 3:
        raise BadInput(
            f"{origin!r} is no deployment", resolution="Write SYSTEM/TARGET/INSTANCE, such as s3-lb/rack/main."
        )
    return open_keep(Deployment(*parts), state)


def candidates(blueprint: Blueprint, provisioner: Provisioner, own: str, origin: str) -> tuple[Candidate, ...]:
    """The target's nodes that run and belong to somebody. Raises Conflict for those of a third deployment."""
    seen = provisioner.observe(NO_KEY)
    owners = {**provisioner.owners(), **dict.fromkeys(seen.nodes, own)}
    names = [node.name for node in blueprint.nodes if owners.get(node.name)]
    if others := {name: owners[name] for name in names if owners[name] not in (own, origin)}:
        raise Conflict(
            f"{', '.join(others)} belong to {', '.join(sorted(set(others.values())))}",
            resolution="They were not touched. If they are to be taken over, name that deployment with --from.",
        )
    if seen.unreachable:
        raise Unavailable(
            f"{', '.join(seen.unreachable)} cannot be looked at",
            details="\n".join(seen.unreachable.values()),
            resolution="Nothing was changed. Adopt again when they answer, or take them out of the target.",
        )
    roles = {name: tuple(role for role, _ in state.roles) for name, state in seen.nodes.items()}
    return tuple(Candidate(name, owners[name], roles.get(name, ())) for name in names)


def _secrets(
    blueprint: Blueprint,
    provisioner: Provisioner,
    keep: Keep,
    source: Keep | None,
    nodes: Sequence[str],
    report: Report,
) -> tuple[Vault, tuple[str, ...]]:
    """Those of the deployment that the nodes were of, if they are here; else what lies on the nodes."""
    if source is not None:
        theirs = open_vault(source.cells, str(source.deployment), source.earlier)
        if not theirs.is_new:
            return theirs.moved(keep.cells), ()
    report(Event("adopt", "secrets", f"reading them back from {len(nodes)} nodes"))
    seats = [seat for node in nodes for seat in blueprint.seats_of(node)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        read = list(threads.map(lambda seat: lying(provisioner, seat), seats))
    values = agreed([(seat.node.name, values) for seat, values in zip(seats, read, strict=True)])
    names = tuple(sorted(key for key in values if not key.startswith("own/")))
    return restored(keep.cells, str(keep.deployment), values), names


def lying(provisioner: Provisioner, seat: Seat) -> dict[str, dict[str, str]]:
    """What lies there of a role's secrets, by where it is kept; the operator's own are not kept."""
    from seter.certificates import names_in

    found: dict[str, dict[str, str]] = {}
    for need in seat.role.secrets:
        if need.given and seat.parameters.get(need.given, ""):
            continue
        key, node = Wish(seat.role, need, seat.node.name).key, seat.node.name
        folder = f"{SECRETS}/{seat.role.name}"
        try:
            if need.make != "certificate":
                found[key] = {"value": _fetched(provisioner, node, f"{folder}/{need.name}")}
                continue
            certificate = _fetched(provisioner, node, f"{folder}/{need.name}.crt")
            private = _fetched(provisioner, node, f"{folder}/{need.name}.key")
            found[key] = {"certificate": certificate, "key": private, "names": " ".join(names_in(certificate))}
            found["own/authority"] = {"certificate": _fetched(provisioner, node, f"{folder}/ca.crt"), "key": ""}
        except NotFound:
            continue  # it was never there: the next deploy makes it
    return found


def _fetched(provisioner: Provisioner, node: str, path: str) -> str:
    sink = io.BytesIO()
    provisioner.fetch(node, path, sink)
    return sink.getvalue().decode()


def agreed(read: Sequence[tuple[str, Mapping[str, dict[str, str]]]]) -> dict[str, dict[str, str]]:
    """All of them, by where they are kept. Raises Conflict where nodes differ in one that they share."""
    values: dict[str, dict[str, str]] = {}
    first: dict[str, str] = {}
    for node, theirs in read:
        for key, value in theirs.items():
            if values.setdefault(key, value) != value:
                raise Conflict(
                    f"{first[key]} and {node} do not have the same {key}",
                    resolution="Nothing was changed. Some change was cut off there: finish it where the record is, or "
                    "adopt the nodes that agree and replace the others.",
                )
            first.setdefault(key, node)
    return values
