"""What checks are told of the artefact that they look at: written by smie, read by the process that runs pytest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OPTION = "--smie-facts"  # of pytest: the file that `ImageFacts.write` wrote


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """A role of the artefact, as role.hcl has it. `version` is that of its software, else of its first package, else
    ''. `programs` are what its definition runs. `folders` are its own and those of the roles that its tasks include."""

    name: str
    folders: tuple[str, ...] = ()
    version: str = ""
    user: str = ""
    uid: int = 0
    groups: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An artefact. `size` is in bytes, `size_at_most` None without a budget; what has `booted` has made what each
    machine makes for itself, its host keys for one; `packages` are name and version of all
    that are installed, `asked` the names that its base and roles have in `packages`."""

    title: str
    kind: str
    size: int
    size_at_most: int | None = None
    booted: bool = False
    setuid: tuple[str, ...] = ()
    packages: tuple[tuple[str, str], ...] = ()
    asked: tuple[str, ...] = ()
    roles: tuple[RoleFacts, ...] = ()

    def write(self, path: Path) -> None:
        """For `read`."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> ImageFacts:
        """What `write` wrote."""
        said = json.loads(path.read_text())
        roles = tuple(RoleFacts(**_frozen(role)) for role in said.pop("roles"))
        return cls(**_frozen(said), roles=roles)


def _frozen(value: Any) -> Any:  # noqa: ANN401 (JSON has no types)
    """The same with tuples for lists."""
    if isinstance(value, dict):
        return {name: _frozen(each) for name, each in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
