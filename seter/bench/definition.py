"""What is compared, from `bench.hcl` beside the system; and the definitions as each strategy has them."""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from common.bench_shapes import BENCH, BenchList, Strategy
from common.catalog import Catalog
from common.errors import BadDefinition, BadInput, Problem
from common.hcl import read as read_hcl
from common.role import Value
from common.schema import read_only
from common.system import System
from seter.edit import with_values

FILE = "bench.hcl"


def bench_of(system: System) -> BenchList:
    """Raises BadInput when the system has none, BadDefinition with all that is wrong in it."""
    path = system.folder / FILE
    if not path.exists():
        raise BadInput(
            f"system {system.name} has no {FILE}", resolution=f"Write {path}; systems/REFERENCE.md shows how."
        )
    problems: list[Problem] = []
    block = read_hcl(path, str(path), problems)
    found = None if block is None else read_only(BENCH, block, problems)
    if problems or found is None:
        raise BadDefinition(problems)
    return found


def chosen(bench: BenchList, names: Sequence[str]) -> tuple[Strategy, ...]:
    """Those of these names, or all. Raises BadInput."""
    known = {each.name: each for each in bench.strategies}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
            raise BadInput(f"there is no strategy {name!r}", resolution=hint)
    return tuple(known[name] for name in names) if names else bench.strategies


def profile_of(system: System, bench: BenchList) -> str:
    """What the client is given: the file's JSON on one line. Raises BadInput."""
    if not bench.profile:
        return "{}"
    path = system.folder / bench.profile
    try:
        return json.dumps(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as fault:
        raise BadInput(f"{path} cannot be used: {fault}", resolution="Write a profile as JSON.") from fault


def variant(catalog: Catalog, system: System, target: str, strategy: Strategy, folder: Path) -> Path:
    """A copy of all definitions, below `folder`, in which the roles have the strategy's parameters. Raises BadInput for
    a role that the system has not, BadDefinition for parameters that are wrong."""
    copy = folder / strategy.name
    shutil.copytree(catalog.folder, copy, symlinks=True)
    file = copy / system.name / "system.hcl"
    text = file.read_text(encoding="utf-8")
    uses = {draft.name: draft for draft in strategy.roles}
    places = [
        (use.place.line, uses[use.role.name]) for group in system.groups for use in group.roles if use.role.name in uses
    ]
    if missing := sorted(uses.keys() - {draft.name for _, draft in places}):
        raise BadInput(
            f'strategy "{strategy.name}": system {system.name} has no role {missing[0]!r}',
            resolution=f"Mend {system.folder / FILE}.",
        )
    for line, draft in sorted(places, key=lambda place: place[0], reverse=True):
        text = with_values(text, line, {name: written(value) for name, value in draft.parameters})
    file.write_text(text, encoding="utf-8")
    Catalog.open(copy).definition(system.name, target)
    return copy


def written(value: Value) -> str:
    """As HCL has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(written(each) for each in value)}]"
    return json.dumps(value, ensure_ascii=False)
