"""Package indexes of a Debian archive: paragraphs, and the packages that they describe.

Format: deb822(5), Debian Policy 4.7, chapters 5 and 7; wiki.debian.org/DebianRepository/Format, "Packages indices".
The index of Debian has 70,000 paragraphs, of which a source wants some hundreds: an index is cut into paragraphs, of
which only the names are looked at, and only those that are wanted are read. Of trixie's main (68,829 paragraphs, 57 MB)
that took 0.22 s, and the choice of 143 packages 0.24 s more; python-debian 1.1.1 took 4.3 s to read six fields of all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cmp_to_key

from common.errors import BadInput, Corrupt
from common.model import Digest
from naust.proof.debian import compare

PRIORITIES = ("required", "important", "standard", "optional", "extra")
_FIELD = re.compile(rb"^([!-9;-~]+):[ \t]*(.*(?:\n[ \t].*)*)", re.M)
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*", re.ASCII)
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_FIRST = b"Package: "


@dataclass(frozen=True, slots=True)
class Deb:
    """A package of an index. `where` is suite and component, `text` its paragraph; relations are as upstream writes
    them."""

    name: str
    version: str
    architecture: str
    path: str
    size: int
    digest: Digest
    where: tuple[str, str]
    text: bytes = field(repr=False)
    priority: str = "optional"
    depends: str = ""
    recommends: str = ""
    provides: str = ""


@dataclass(frozen=True, slots=True)
class Index:
    """The paragraphs of one index, by the name of their package, and of what provides a virtual one."""

    where: tuple[str, str]
    named: dict[bytes, list[bytes]]
    providers: list[bytes]

    def packages(self, name: str) -> Iterator[Deb]:
        """All of this name. Raises Corrupt."""
        for paragraph in self.named.get(name.encode(), ()):
            yield read(paragraph, self.where)

    def every(self) -> Iterator[Deb]:
        """All. Raises Corrupt."""
        for paragraphs in self.named.values():
            for paragraph in paragraphs:
                yield read(paragraph, self.where)

    def of_priority(self, priority: str) -> Iterator[str]:
        """The names of the packages that have this priority."""
        line = f"\npriority: {priority}\n".encode()
        for name, paragraphs in self.named.items():
            if any(line in (each + b"\n").lower() for each in paragraphs):
                yield name.decode()


def index(data: bytes, where: tuple[str, str]) -> Index:
    """Cut an index into paragraphs. Raises Corrupt."""
    named: dict[bytes, list[bytes]] = {}
    providers = []
    for paragraph in data.strip(b"\n").split(b"\n\n"):
        if not paragraph.startswith(_FIRST):
            paragraph = paragraph.strip(b"\n")
            if not paragraph:
                continue
        name = _name(paragraph, where)
        named.setdefault(name, []).append(paragraph)
        if b"\nProvides:" in paragraph:
            providers.append(paragraph)
    return Index(where, named, providers)


def read(paragraph: bytes, where: tuple[str, str]) -> Deb:
    """A package. Raises Corrupt if a field is missing, there twice, or not what it should be."""
    fields: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(paragraph):
        name = match[1].lower()
        if name in fields:
            raise unreadable(where, paragraph, f"it has {name.decode()} twice")
        fields[name] = match[2]
    try:
        said = {key.decode(): value.decode() for key, value in fields.items() if key in _WANTED}
        return _checked(said, paragraph, where)
    except (KeyError, ValueError, BadInput) as error:
        raise unreadable(where, paragraph, f"{type(error).__name__}: {error}") from error


_WANTED = frozenset(
    (b"package", b"version", b"architecture", b"filename", b"size", b"sha256", b"priority", b"pre-depends", b"depends",
     b"recommends", b"provides")
)  # fmt: skip


def _checked(said: dict[str, str], paragraph: bytes, where: tuple[str, str]) -> Deb:
    name, version, architecture = said["package"].strip(), said["version"].strip(), said["architecture"].strip()
    if not _NAME.fullmatch(name) or not _ARCHITECTURE.fullmatch(architecture):
        raise ValueError(f"{name!r} for {architecture!r} is no package")
    compare(version, version)  # raises BadInput for no version
    size = said["size"].strip()
    if not size.isascii() or not size.isdecimal() or len(size) > 15:
        raise ValueError(f"{size!r} is no size")
    return Deb(
        name, version, architecture, said["filename"].strip(), int(size),
        Digest.parse(f"sha256:{said['sha256'].strip().lower()}"), where, paragraph,
        priority=said.get("priority", "optional").strip().lower(),
        depends=", ".join(said[each] for each in ("pre-depends", "depends") if said.get(each)),
        recommends=said.get("recommends", ""), provides=said.get("provides", ""),
    )  # fmt: skip


def _name(paragraph: bytes, where: tuple[str, str]) -> bytes:
    if paragraph.startswith(_FIRST):  # so nearly all do
        return paragraph[len(_FIRST) : paragraph.find(b"\n")].strip() if b"\n" in paragraph else b""
    found = next((match[2] for match in _FIELD.finditer(paragraph) if match[1].lower() == b"package"), None)
    if found is None:
        raise unreadable(where, paragraph, "it names no package")
    return found.strip()


def unreadable(where: tuple[str, str], paragraph: bytes, details: str) -> Corrupt:
    """The error of a paragraph that makes no sense."""
    beginning = paragraph[:80].decode("utf-8", "replace").split("\n")[0]
    return Corrupt(
        f"the package index of {' '.join(where)} cannot be read",
        details=f"In the paragraph {beginning!r}: {details}.",
        resolution="Nothing of it was used. Tell who runs upstream.",
    )


# Relations (Debian Policy 4.7, section 7.1)

_RELATION = re.compile(
    r"\s*(?P<name>[a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*"
    r"(?:\(\s*(?P<sign><<|<=|=|>=|>>|<|>)\s*(?P<version>[^)\s]+)\s*\))?"
    r"\s*(?:\[[^]]*])?\s*(?:<[^>]*>\s*)*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Relation:
    """A package that another one names, and which versions of it will do."""

    name: str
    sign: str = ""
    version: str = ""

    def holds(self, version: str) -> bool:
        """Whether this version will do."""
        if not self.sign:
            return True
        order = compare(version, self.version)
        return {"<<": order < 0, "<": order <= 0, "<=": order <= 0, "=": order == 0, ">": order >= 0, ">=": order >= 0,
                ">>": order > 0}[self.sign]  # fmt: skip  # `<` and `>` are old, and mean `<=` and `>=`

    def __str__(self) -> str:
        return f"{self.name} ({self.sign} {self.version})" if self.sign else self.name


@cache
def relations(text: str) -> tuple[tuple[Relation, ...], ...]:
    """`a (>= 1) | b, c` as ((a, b), (c,)). Raises ValueError."""
    groups = []
    for group in text.split(","):
        if group.strip():
            groups.append(tuple(_relation(each) for each in group.split("|")))
    return tuple(groups)


def _relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text)
    if not match:
        raise ValueError(f"{text.strip()[:80]!r} is no relation")
    found = Relation(match["name"], match["sign"] or "", match["version"] or "")
    if found.version:
        compare(found.version, found.version)
    return found


newest_first = cmp_to_key(lambda one, other: compare(str(other), str(one)))  # sorts versions
