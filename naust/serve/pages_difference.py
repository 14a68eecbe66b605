"""What is different between two artefacts of one name: packages, layers, sizes, annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from naust.manifest import INPUTS
from naust.proof.sbom import Package
from naust.serve.pages_artifact import Facts, Part


@dataclass(frozen=True, slots=True)
class Change:
    """What had a value and has another one; '' stands for none."""

    name: str
    before: str
    after: str

    @property
    def word(self) -> str:
        """What happened, so that colour is not needed to see it."""
        return "changed" if self.before and self.after else ("added" if self.after else "removed")


@dataclass(frozen=True, slots=True)
class Difference:
    """Two artefacts, `before` and `after`."""

    before: Facts
    after: Facts
    packages: tuple[Change, ...]
    same_packages: int
    shared: tuple[Part, ...]
    gone: tuple[Part, ...]
    new: tuple[Part, ...]
    annotations: tuple[Change, ...]

    def count(self, word: str) -> int:
        """How many packages were `added`, `removed` or `changed`."""
        return sum(each.word == word for each in self.packages)

    @property
    def growth(self) -> int:
        """Bytes by which the artefact is larger; negative if it is smaller."""
        return self.after.artifact.size - self.before.artifact.size

    @property
    def to_fetch(self) -> int:
        """Bytes of parts that who has `before` lacks."""
        return sum(part.size for part in self.new)


def difference(before: Facts, after: Facts) -> Difference:
    """Compare. Parts count as shared by their digest, packages by their name."""
    old, new = _versions(before.attached.packages), _versions(after.attached.packages)
    had = {part.digest for part in before.parts}
    has = {part.digest for part in after.parts}
    changes = tuple(_changes(old, new))
    return Difference(
        before=before,
        after=after,
        packages=changes,
        same_packages=sum(old.get(name) == versions for name, versions in new.items()),
        shared=tuple(part for part in after.parts if part.digest in had),
        gone=tuple(part for part in before.parts if part.digest not in has),
        new=tuple(part for part in after.parts if part.digest not in had),
        annotations=tuple(_changes(_said(before), _said(after))),
    )


def _versions(packages: Iterable[Package]) -> dict[str, str]:
    """By name; several versions of one, such as kernels, in one text."""
    found: dict[str, list[str]] = {}
    for each in packages:
        found.setdefault(each.name, []).append(each.version or "(no version)")
    return {name: ", ".join(sorted(set(versions))) for name, versions in found.items()}


def _said(known: Facts) -> dict[str, str]:
    # Inputs are a list of their own, far too long for a cell.
    return {key: text or '""' for key, text in known.artifact.annotations if key != INPUTS}


def _changes(old: dict[str, str], new: dict[str, str]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Change(name, old.get(name, ""), new.get(name, ""))
