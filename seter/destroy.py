"""`seter destroy`: remove what carries a deployment's mark. Definitions are not asked: they may have changed or gone.

Secrets and the record stay in the deployment's folder, so that a new deploy has the same CA and clients still trust it;
`--forget` removes them too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from common.catalog import Catalog
from common.system import Deployment
from seter.provisioner.baremetal import SSH
from seter.provisioner.interface import Provisioner
from seter.record import home, leased
from seter.survey import provisioner_of

NO_KEY = b"-"  # what lies on the nodes does not matter here


def names_of(deployment: Deployment, systems: Path | None) -> tuple[str, ...]:
    """Nodes and networks that are there. Raises BadInput when there are none and no definition knows the name."""
    observed = _provisioner(deployment).observe(NO_KEY)
    names = (*observed.nodes, *(f"network {name}" for name in observed.networks))
    if not names and not home(deployment).exists():
        Catalog.open(systems).definition(deployment.system, deployment.target)
    return names


def destroy(deployment: Deployment, *, forget: bool = False) -> tuple[str, ...]:
    """Remove it, also when half-made; the names of what went. Raises Conflict when another run has the lease."""
    folder = home(deployment)
    with leased(deployment, "destroy"):
        removed = _provisioner(deployment).destroy()
        shutil.rmtree(folder / "rendered", ignore_errors=True)
        # While the lease is held: afterwards the folder may be another run's.
        if forget or not any(folder.glob("secrets.age")):
            shutil.rmtree(folder, ignore_errors=not forget)
    return removed


def _provisioner(deployment: Deployment) -> Provisioner:
    """What an earlier run left in the deployment's folder says of which kind it is: definitions may be gone."""
    kind = "baremetal" if (home(deployment) / SSH).is_dir() else "container"
    return provisioner_of(kind, deployment)
