"""What a deployment keeps between runs, and where: the lease, the secrets and the history.

A folder is the default; a URL names a naust store that several operators share. What can be made again (renderings)
stays on this machine in either case.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import BadInput, Conflict
from common.system import Deployment
from seter.keep.interface import Cells

if TYPE_CHECKING:
    from naust.store.interface import Store

DEFAULT = ".seter"
# Docker allows more in a name; this keeps every name of ours readable and below its limit of 63 in host names.
_PART = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Keep:
    """Where one deployment's things are. `state` is a folder or a URL; nothing is opened before it is used."""

    deployment: Deployment
    state: str = DEFAULT
    _leases: list[Callable[[], None]] = field(default_factory=list, compare=False, repr=False)

    @contextmanager
    def fenced(self, check: Callable[[], None]) -> Iterator[None]:
        """A run of this process has the lease while the block runs; `check` raises Conflict once it has it no more."""
        self._leases.append(check)
        try:
            yield
        finally:
            self._leases.remove(check)

    def refuse_unleased(self) -> None:
        """Raise Conflict, or what the lease's own check raises, unless this process still has a lease."""
        if not self._leases:
            raise Conflict(
                f"this run has no lease on {self.deployment}, so it changes nothing of it",
                resolution="Run seter deploy, which takes the lease.",
            )
        for check in tuple(self._leases):
            check()

    @property
    def is_shared(self) -> bool:
        """It is a store, not a folder."""
        return "://" in self.state

    @property
    def folder(self) -> Path:
        """The deployment's folder on this machine."""
        root = Path(DEFAULT if self.is_shared else self.state)
        return root / self.deployment.system / self.deployment.target / self.deployment.instance

    @cached_property
    def cells(self) -> Cells:
        """Lease and secrets. Raises BadInput for a store that cannot compare and swap."""
        if self.is_shared:
            from seter.keep.store import StoreCells

            return StoreCells(self.store, f"{self.name}.state")
        from seter.keep.folder import FolderCells

        return FolderCells(self.folder)

    @property
    def earlier(self) -> Cells | None:
        """Where a deployment that has moved into a store was before: its folder on this machine."""
        from seter.keep.folder import FolderCells

        return FolderCells(self.folder) if self.is_shared else None

    @cached_property
    def store(self) -> Store:
        """Where the history is. Raises BadInput for a store that cannot compare and swap."""
        from naust.store import open_store
        from seter.keep.store import refuse_weak

        return refuse_weak(open_store(self.state if self.is_shared else str(Path(self.state) / ".naust")))

    @property
    def name(self) -> str:
        """The deployment's name in a store."""
        return f"deployment/{self.deployment.prefix}"

    def __str__(self) -> str:
        return self.state.rstrip("/") if self.is_shared else str(self.folder)


def open_keep(deployment: Deployment, state: str | None = None) -> Keep:
    """Where the deployment's things are: `state`, else $SETER_STATE, else `.seter` in the working folder.

    Raises BadInput for a name that cannot be one of containers.
    """
    for what, name in (("system", deployment.system), ("target", deployment.target), ("instance", deployment.instance)):
        if not _PART.fullmatch(name):
            raise BadInput(
                f"{name!r} cannot name a {what}",
                resolution="Use up to 40 small letters, digits and dashes, with a letter or digit at both ends.",
            )
    chosen = state or os.environ.get("SETER_STATE") or DEFAULT
    return _keep(deployment, chosen if "://" in chosen else str(Path(chosen).absolute()))


@cache
def _keep(deployment: Deployment, state: str) -> Keep:
    """One for all who ask, so that a distant store is connected to once."""
    return Keep(deployment, state)
