"""The experiments of a system: files in its folder `chaos`, in the format of the Chaos Toolkit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import BadInput
from common.system import System, Target
from seter.blueprint import Blueprint
from seter.chaos import toolkit
from seter.chaos.allowance import NEEDS, Terms, is_name, read_terms

FOLDER = "chaos"
OF_THE_ENGINE = frozenset({"container"})  # kinds whose nodes have their machine's clock and disk
_PLACE = re.compile(r"\$\{([a-z][a-z0-9_]*)_([0-9]+)\}")


@dataclass(frozen=True, slots=True)
class Experiment:
    """One of them. `touches` are the nodes that it does something to."""

    name: str
    title: str
    description: str
    terms: Terms
    touches: tuple[str, ...]
    document: Mapping[str, Any]


def all_of(system: System, target: Target) -> tuple[Experiment, ...]:
    """Every experiment of the system, by name, for the nodes of this target. Raises BadInput with the first that is
    wrong."""
    folder = system.folder / FOLDER
    nodes = places(target)
    homes = {
        use.role.name: tuple(node.name for node in target.nodes if node.group == group.name and not node.existing)
        for group in system.groups
        for use in group.roles
    }
    return tuple(_read(file, nodes, homes) for file in sorted(folder.glob("*.yaml")))


def chosen(system: System, target: Target, names: Sequence[str], *, every: bool) -> tuple[Experiment, ...]:
    """Those of these names; without any the default ones, or all. Raises BadInput."""
    found = {experiment.name: experiment for experiment in all_of(system, target)}
    if not found:
        raise BadInput(
            f"system {system.name} has no experiments", resolution=f"Write one into {system.folder / FOLDER}."
        )
    for name in names:
        if name not in found:
            close = difflib.get_close_matches(name, found, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(found)}."
            raise BadInput(f"there is no experiment {name!r}", resolution=hint)
    if names:
        return tuple(found[name] for name in names)
    return tuple(each for each in found.values() if every or each.terms.default)


def places(target: Target) -> dict[str, str]:
    """What an experiment may call nodes: `gateways_1` is the first node of the group `gateways`."""
    counted: dict[str, int] = {}
    named = {}
    for node in target.nodes:
        if not node.existing:
            counted[node.group] = counted.get(node.group, 0) + 1
            named[f"{node.group.replace('-', '_')}_{counted[node.group]}"] = node.name
    return named


def missing(blueprint: Blueprint, experiment: Experiment) -> str:
    """What a deployment lacks of what an experiment needs, as people read it; empty if nothing."""
    needs, target = experiment.terms.needs, blueprint.target
    kinds = {target.kind_of(node) for node in target.nodes if node.name in experiment.touches}
    given = {
        f"{seat.role.name}.{name}"
        for node in blueprint.nodes
        for seat in blueprint.seats_of(node.name)
        for name, value in seat.parameters.items()
        if value
    }
    own = [need for need in needs if need in NEEDS and OF_THE_ENGINE.intersection(kinds)]
    unset = [need for need in needs if need not in NEEDS and need not in given]
    return "; ".join(
        [
            *([f"nodes of kind container have no {' and no '.join(own)} of their own"] if own else []),
            *([f"{' and '.join(unset)} not set here"] if unset else []),
        ]
    )


def _read(file: Path, nodes: Mapping[str, str], homes: Mapping[str, tuple[str, ...]]) -> Experiment:
    """`homes` has the nodes of each role: what is done to a role and to no node is done to all of them."""
    if not is_name(file.stem):
        raise BadInput(f"{file}: {file.stem!r} is no name", resolution="Use small letters, digits and hyphens.")
    document = toolkit.load(file)
    used = sorted({f"{group}_{number}" for text in _texts(document) for group, number in _PLACE.findall(text)})
    if missing := [place for place in used if place not in nodes]:
        raise BadInput(
            f"{file}: this target has no node {missing[0]}", resolution=f"It has: {', '.join(sorted(nodes))}."
        )
    touched = {
        f"{group}_{number}" for text in _texts(document.get("method", [])) for group, number in _PLACE.findall(text)
    }
    terms = read_terms(document.get("extensions"), str(file))
    document["configuration"] = {**document.get("configuration", {}), **{place: nodes[place] for place in used}}
    given = [step.get("provider", {}).get("arguments", {}) for step in document.get("method", [])]
    whole = [node for each in given if "node" not in each for node in homes.get(str(each.get("role", "")), ())]
    touches = tuple(dict.fromkeys([*(nodes[place] for place in sorted(touched)), *whole]))
    description = " ".join(str(document.get("description", "")).split())
    return Experiment(file.stem, str(document["title"]), description, terms, touches, document)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
