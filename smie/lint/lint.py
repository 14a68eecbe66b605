"""The verb `lint`: all rules over what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from common.catalog import Catalog
from common.errors import BadDefinition, BadInput
from common.values import did_you_mean
from smie.lint import everywhere, files, phases
from smie.lint.finding import Finding
from smie.lint.folder import Folder, House


def lint(catalog: Catalog, names: Sequence[str] = ()) -> tuple[Finding, ...]:
    """All faults of these roles, bases and systems; of everything without names. A system's roles are looked at with
    it. Raises BadInput for a name that is not there."""
    house = House.open(catalog)
    known = {*house.folders, *catalog.base_names(), *catalog.systems()}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, "roles, bases and systems")
            raise BadInput(f"there is no role, base or system {name!r}", resolution=f"{hint[0].upper()}{hint[1:]}")
    wanted = set(names) or known
    found = {*_definitions(catalog, wanted)}
    folders = [house.folders[name] for name in sorted(_roles(house, wanted)) if name in house.folders]
    for folder in folders:
        found |= {*everywhere.rules(house, folder), *phases.rules(house, folder), *files.rules(house, folder)}
    clashes = files.ids(house, house.folders.values())
    found |= {finding for finding in clashes if any(_inside(house, finding, folder) for folder in folders)}
    for name in wanted & set(catalog.base_names()):
        path = catalog.folder / "bases" / f"{name}.hcl"
        found |= set(files.text_rules(house, path, path.read_bytes()))
    return tuple(sorted(found))


def _inside(house: House, finding: Finding, folder: Folder) -> bool:
    return finding.file.startswith(house.catalog.shown(folder.path) + "/")


def _roles(house: House, wanted: Iterable[str]) -> Iterator[str]:
    """The roles that were named, and those of the systems that were named."""
    for name in wanted:
        if name in house.catalog.systems():
            try:
                yield from {use.role.name for group in house.catalog.system(name).groups for use in group.roles}
            except BadDefinition:
                continue  # told by _definitions
        else:
            yield name


def _definitions(catalog: Catalog, wanted: Iterable[str]) -> Iterator[Finding]:
    """What the readers of the definitions say, each problem once."""
    for name in wanted:
        for read in _readers(catalog, name):
            try:
                read()
            except BadDefinition as error:
                for problem in error.problems:
                    yield Finding(problem.file, problem.line, "definition", problem.message, problem.fix)


def _readers(catalog: Catalog, name: str) -> Iterator[Callable[[], object]]:
    if name in catalog.role_names():
        yield partial(catalog.role, name)
    if name in catalog.base_names():
        yield partial(catalog.base, name)
    if name in catalog.systems():
        yield partial(catalog.system, name)
        for target in catalog.targets(name):
            yield partial(catalog.definition, name, target)
