"""Which packages of an archive are wanted: named ones, and all that they depend on.

What counts is the newest version in each suite, because clients choose between suites by themselves. A dependency with
alternatives is met by the first that exists (Debian Policy 4.7, section 7.1), a virtual one by a package that is wanted
anyway, else by the most important of those that provide it, by priority and then by name. The answer does not depend on
the order in which upstream lists its packages.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from common.errors import BadInput
from naust.proof.debian import compare
from naust.source.apt_packages import PRIORITIES, Deb, Index, Relation, relations, unreadable

Group = tuple[Relation, ...]
_PROVIDES = re.compile(rb"^Provides:(.*(?:\n[ \t].*)*)", re.M | re.I)
_PRIORITY = "priority:"


@dataclass(frozen=True, slots=True)
class Lost:
    """A dependency that nothing in these suites meets."""

    package: str
    needs: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is wanted, by name; what is asked for by name and not there; and what cannot be installed."""

    debs: tuple[Deb, ...]
    unknown: tuple[str, ...] = ()
    lost: tuple[Lost, ...] = ()


class Universe:
    """All indexes of one architecture."""

    def __init__(self, indexes: Sequence[Index]) -> None:
        self._indexes = tuple(indexes)
        self._newest: dict[str, tuple[Deb, ...]] = {}
        self._provided: dict[str, list[str]] | None = None

    def newest(self, name: str) -> tuple[Deb, ...]:
        """The newest version in each suite that has this package. Raises Corrupt."""
        if name not in self._newest:
            best: dict[str, Deb] = {}
            for deb in (deb for each in self._indexes for deb in each.packages(name)):
                other = best.get(deb.where[0])
                if other is None or compare(deb.version, other.version) > 0:
                    best[deb.where[0]] = deb
            self._newest[name] = tuple(best.values())
        return self._newest[name]

    def every(self) -> Iterator[Deb]:
        """All packages in all versions. Raises Corrupt."""
        for each in self._indexes:
            yield from each.every()

    def of_priority(self, priority: str) -> set[str]:
        """The names of the packages that have it in any suite."""
        return {name for each in self._indexes for name in each.of_priority(priority)}

    def is_real(self, relation: Relation) -> bool:
        """Whether there is a package of this name in a version that will do."""
        return any(relation.holds(deb.version) for deb in self.newest(relation.name))

    def providers(self, relation: Relation) -> tuple[Deb, ...]:
        """Packages that provide this virtual one, the most important first."""
        names = dict.fromkeys(self._all_provided().get(relation.name, ()))
        found = [deb for name in names for deb in self.newest(name) if _provides(deb, relation)]
        return tuple(sorted(found, key=lambda deb: (_importance(deb), deb.name)))

    def _all_provided(self) -> Mapping[str, Sequence[str]]:
        """Virtual packages, and the names of those that may provide them; made when it is first needed."""
        if self._provided is None:
            self._provided = {}
            for each in self._indexes:
                for paragraph in each.providers:
                    for virtual in _said_to_provide(paragraph):
                        self._provided.setdefault(virtual, []).append(_named(paragraph))
        return self._provided


@dataclass(slots=True)
class _Search:
    """What is chosen so far, whose dependencies are still to be looked at, and what only virtual packages can meet."""

    universe: Universe
    recommends: bool
    chosen: dict[str, tuple[Deb, ...]] = field(default_factory=dict)
    waiting: deque[str] = field(default_factory=deque)
    virtual: dict[Group, str] = field(default_factory=dict)
    lost: dict[Lost, None] = field(default_factory=dict)

    def want(self, group: Group, package: str, *, needed: bool = True) -> bool:
        """See that the group is met, now or after all real packages. False if nothing can meet it."""
        for relation in group:
            if self.universe.is_real(relation):
                self.waiting.append(relation.name)
                return True
            if self.universe.providers(relation):
                self.virtual.setdefault(group, package)
                return True
        if needed:
            self.lost[Lost(package, " | ".join(map(str, group)))] = None
        return False

    def run(self) -> None:
        """Until nothing more is wanted."""
        while self.waiting or self.virtual:
            while self.waiting:
                self._take(self.waiting.popleft())
            self._next_virtual()

    def _take(self, name: str) -> None:
        if name in self.chosen:
            return
        self.chosen[name] = self.universe.newest(name)
        for deb in self.chosen[name]:
            for group in _groups(deb, deb.depends):
                self.want(group, name)
            for group in _groups(deb, deb.recommends) if self.recommends else ():
                self.want(group, name, needed=False)

    def _next_virtual(self) -> None:
        """Take a provider for one of those that nothing chosen provides; the others may then be met by what follows."""
        for group in sorted(self.virtual, key=lambda group: [str(each) for each in group]):
            del self.virtual[group]
            providers = [deb for relation in group for deb in self.universe.providers(relation)]
            if not any(deb.name in self.chosen for deb in providers):
                self.waiting.append(providers[0].name)
                return


def choose(universe: Universe, words: Sequence[str], *, recommends: bool = False) -> Chosen:
    """What these words stand for, and all that it depends on; everything if there are none.

    A word is the name of a package, or `priority:required` and the like. Raises BadInput for another word, Corrupt for
    paragraphs that make no sense.
    """
    if not words:
        return Chosen(tuple(universe.every()))
    search = _Search(universe, recommends)
    unknown = []
    for word in sorted(set(words)):
        if word.startswith(_PRIORITY):
            search.waiting.extend(sorted(universe.of_priority(_priority(word))))
        elif not search.want(_asked(word), word, needed=False):
            unknown.append(word)
    search.run()
    debs = (deb for name in sorted(search.chosen) for deb in search.chosen[name])
    return Chosen(tuple(debs), tuple(unknown), tuple(search.lost))


def _asked(word: str) -> Group:
    try:
        (group,) = relations(word)
    except ValueError as error:
        raise _no_word(word) from error
    if len(group) != 1 or group[0].sign:
        raise _no_word(word)
    return group


def _priority(word: str) -> str:
    priority = word.removeprefix(_PRIORITY)
    if priority not in PRIORITIES:
        raise _no_word(word)
    return priority


def _no_word(word: str) -> BadInput:
    return BadInput(
        f"{word!r} stands for no packages",
        resolution=f"Write names of packages, or one of {', '.join(_PRIORITY + each for each in PRIORITIES)}.",
    )


def _groups(deb: Deb, text: str) -> Iterable[Group]:
    try:
        return relations(text)
    except (ValueError, BadInput) as error:
        raise unreadable(deb.where, deb.text, str(error).split("\n")[0]) from error


def _provides(deb: Deb, relation: Relation) -> bool:
    """Whether the package provides it; a version asked for needs a version provided (Policy, section 7.5)."""
    for group in _groups(deb, deb.provides):
        for each in group:
            if each.name == relation.name and (not relation.sign or (each.version and relation.holds(each.version))):
                return True
    return False


def _importance(deb: Deb) -> int:
    return PRIORITIES.index(deb.priority) if deb.priority in PRIORITIES else len(PRIORITIES)


def _said_to_provide(paragraph: bytes) -> Iterator[str]:
    match = _PROVIDES.search(paragraph)
    for each in match[1].decode("utf-8", "replace").split(",") if match else ():
        yield re.split(r"[\s(:]", each.strip(), maxsplit=1)[0]


def _named(paragraph: bytes) -> str:
    return paragraph.split(b"\n", 1)[0].partition(b":")[2].strip().decode("utf-8", "replace")
