"""`seter destroy`: remove what carries a deployment's mark. Definitions are not asked: they may have changed or gone.

Secrets and history stay, so that a new deploy has the same CA and clients still trust it; `--forget` removes them too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from common.catalog import Catalog
from common.console import Report
from common.errors import BadInput
from common.model import Kind
from common.system import Deployment
from seter.history import History, Run
from seter.keep import Keep, open_keep
from seter.keep.interface import LEASE, MACHINES, SECRETS
from seter.lease import Claim
from seter.provisioner.baremetal import SSH
from seter.provisioner.interface import Provisioner
from seter.provisioner.remembered import Remembered
from seter.record import leased, noted
from seter.survey import parts, provisioner_of

NO_KEY = b"-"  # what lies on the nodes does not matter here


def names_of(deployment: Deployment, systems: Path | None, state: str | None = None) -> tuple[str, ...]:
    """Nodes and networks that are there. Raises BadInput when there are none and no definition knows the name."""
    keep = open_keep(deployment, state)
    observed = _provisioner(keep).observe(NO_KEY)
    names = (*observed.nodes, *(f"network {name}" for name in observed.networks))
    if not names and not keep.folder.exists() and not keep.cells.read(SECRETS).data:
        Catalog.open(systems).definition(deployment.system, deployment.target)
    return names


def destroy(
    deployment: Deployment,
    *,
    forget: bool = False,
    state: str | None = None,
    claim: Claim | None = None,
    report: Report,
) -> tuple[str, ...]:
    """Remove it, also when half-made; the names of what went. Raises Conflict when another run has the lease."""
    keep = open_keep(deployment, state)
    with leased(keep, "destroy", claim=claim, report=report) as lease:
        if forget or not keep.cells.read(SECRETS).data:
            removed = _provisioner(keep).destroy()
            _forget(keep)
        else:
            run = Run(str(deployment), "destroy", {}, reason=claim.reason if claim else "", words=lease.words)
            with noted(keep, run, {}, report):
                removed = _provisioner(keep).destroy()
        shutil.rmtree(keep.folder / "rendered", ignore_errors=True)
    return removed


def _forget(keep: Keep) -> None:
    """While the lease is held: afterwards all this may be another run's. The lease goes last."""
    History(keep).forget()
    for name in (SECRETS, MACHINES, LEASE):
        keep.cells.remove(name)
    shutil.rmtree(keep.folder, ignore_errors=True)


def _provisioner(keep: Keep) -> Provisioner:
    """What an earlier run left in the deployment's folder says of which kind it is: definitions may be gone. Raises
    BadInput where a run on another machine has made it of hosts, which this one does not know yet."""
    if Remembered(keep.folder).is_there:
        return parts(keep)
    if keep.cells.read(MACHINES).data:
        return provisioner_of("virtual", keep)
    if (keep.folder / SSH).is_dir():
        return provisioner_of("baremetal", keep)
    runs = History(keep)
    run = runs.last() if keep.is_shared else None
    if run is not None and any(name.startswith(f"{Kind.ROOTFS}/") for name in runs.find(run.number).artifacts):
        raise BadInput(
            f"the hosts of {keep.deployment} are not known on this machine",
            resolution="Nothing was changed. Run seter status here first, and seter trust if it asks for that; or "
            "destroy where it was deployed.",
        )
    return provisioner_of("container", keep)
