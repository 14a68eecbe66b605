"""`seter diff`: two runs of a deployment, side by side: definitions, artefacts, every node's configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.errors import Corrupt
from seter import history
from seter.definition import Text, unpack, unpacked
from seter.history import History

CONTEXT = 2  # lines around a change


@dataclass(frozen=True, slots=True)
class Changed:
    """One file. `change` is added, removed or changed; `lines` a unified diff (POSIX diff -u)."""

    path: str
    change: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """An artefact: what its name stood for before and after; '' for nothing."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What `--json` prints. Paths of configurations are NODE/ROLE/PATH."""

    before: int
    after: int
    definitions: tuple[Changed, ...]
    artifacts: tuple[Moved, ...]
    configuration: tuple[Changed, ...]

    @property
    def is_empty(self) -> bool:
        """The two runs had the same of everything."""
        return not (self.definitions or self.artifacts or self.configuration)


def diff(runs: History, before: int, after: int) -> Difference:
    """What is different between two runs. Raises NotFound, Corrupt."""
    first, second = runs.find(before), runs.find(after)
    return Difference(
        before,
        after,
        tuple(changes(definition_of(runs, before), definition_of(runs, after))),
        tuple(_moved(first.artifacts, second.artifacts)),
        tuple(changes(configuration_of(runs, before), configuration_of(runs, after))),
    )


def definition_of(runs: History, number: int) -> dict[str, Text]:
    """The definitions of a run. Raises NotFound, Corrupt."""
    return unpack(runs.part(number, history.DEFINITION), f"the definition of run {number}")


def configuration_of(runs: History, number: int) -> dict[str, Text]:
    """Every node's files of a run, by NODE/ROLE/PATH. Raises NotFound, Corrupt."""
    what = f"the configuration of run {number}"
    content: Mapping[str, Any] = unpacked(runs.part(number, history.CONFIGURATION), what)
    try:
        return {
            f"{node}/{role}/{path}": Text(mode, text.encode())
            for node, roles in content["nodes"].items()
            for role, files in roles.items()
            for path, (mode, _, text) in files.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Corrupt(f"{what} cannot be read", details=str(error), resolution="Compare other runs.") from error


def changes(before: Mapping[str, Text], after: Mapping[str, Text]) -> Iterator[Changed]:
    """Every file that differs, by path."""
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            change = "added" if old is None else "removed" if new is None else "changed"
            yield Changed(path, change, tuple(_unified(path, old, new)))


def _unified(path: str, old: Text | None, new: Text | None) -> Iterator[str]:
    if old is not None and new is not None and old.mode != new.mode:
        yield f"mode {old.mode:04o} → {new.mode:04o}"
    before, after = (text.lines if text is not None else [] for text in (old, new))
    names = ("/dev/null" if old is None else path, "/dev/null" if new is None else path)
    yield from difflib.unified_diff(before, after, *names, n=CONTEXT, lineterm="")


def _moved(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Moved]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Moved(name, before.get(name, ""), after.get(name, ""))
