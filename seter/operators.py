"""`seter operators`: who can read a deployment's secrets."""

from __future__ import annotations

from dataclasses import dataclass

from common.console import Report
from common.errors import NotFound
from seter.provisioner.machines import Machines
from seter.record import leased
from seter.secrets import open_vault, public_key
from seter.survey import Request


@dataclass(frozen=True, slots=True)
class Operators:
    """What `--json` prints: public keys of age; `own` is that of whoever asks."""

    own: str
    keys: tuple[str, ...]


def operators(
    request: Request, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = (), report: Report
) -> Operators:
    """Let operators in and out, at once; without either only look. Raises NotFound before the first deploy, BadInput
    for what is no key, Corrupt for who cannot read the secrets."""
    cells, name = request.keep.cells, str(request.deployment)
    if open_vault(cells, name).is_new:
        raise NotFound(f"{name} has no secrets yet", resolution="Deploy it first: that makes them.")
    if add or remove:
        with leased(request.keep, "operators", claim=request.claim, report=report) as lease:
            vault = open_vault(cells, name)
            vault.share(add, remove)
            lease.check()
            vault.save()
            Machines(request.keep).reseal()
    own, kept = public_key(), open_vault(cells, name).recipients
    return Operators(own, kept or (own,))
