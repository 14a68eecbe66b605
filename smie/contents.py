"""What an artefact consists of, when all of its layers lie on each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from naust.content.dpkg import Installed
from naust.store.interface import Store
from smie.layer import Distribution, Layer, Scan, brought
from smie.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Contents:
    """All of it. `licences` are by the package's name; `release` is what os-release(5) says, by field."""

    layers: tuple[tuple[Layer, Scan], ...]
    packages: tuple[Installed, ...]
    distributions: tuple[Distribution, ...]
    licences: Mapping[str, tuple[str, ...]]
    release: Mapping[str, str]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of files by package, in all layers together."""
        found: dict[str, int] = {}
        for _, scan in self.layers:
            for name, size in scan.sizes.items():
                found[name] = found.get(name, 0) + size
        return found


def contents(store: Store, workspace: Workspace, layers: Sequence[Layer]) -> Contents:
    """What these layers, the lowest first, make together. Raises Corrupt if one is damaged; NotFound."""
    return merged([(layer, brought(store, workspace, layer)) for layer in layers])


def merged(layers: Sequence[tuple[Layer, Scan]]) -> Contents:
    """What is there when all lie on each other."""
    packages: tuple[Installed, ...] = ()
    distributions: dict[str, Distribution] = {}
    licences: dict[str, tuple[str, ...]] = {}
    documented: dict[str, str] = {}
    release = ""
    for _, scan in layers:
        distributions = {path: each for path, each in distributions.items() if not _is_hidden(path, scan)}
        distributions |= {each.path: each for each in scan.distributions}
        packages = packages if scan.packages is None else scan.packages
        licences |= scan.licences
        documented |= scan.documented
        release = scan.release or release
    licences |= {one: licences[other] for one, other in documented.items() if other in licences}
    there = {each.name for each in packages}
    return Contents(
        layers=tuple(layers),
        packages=packages,
        distributions=tuple(sorted(distributions.values())),
        licences={name: each for name, each in licences.items() if name in there},
        release=os_release(release),
    )


def os_release(text: str) -> dict[str, str]:
    """The fields of such a file, os-release(5), without their quotes."""
    lines = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in lines}


def _is_hidden(path: str, scan: Scan) -> bool:
    """Whether a layer takes away, or puts something else in the place of, what lower ones have there."""
    gone, emptied = set(scan.gone), set(scan.emptied)
    if path in gone:
        return True
    while path:
        path = path.rpartition("/")[0]
        if path in gone or path in emptied:
            return True
    return False
