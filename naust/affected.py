"""Which mirrored states and which artefacts contain a package in a version: `openssl<3.5.5`.

From the SBOM that is attached to an artefact, in the order of versions that the package's kind has: Debian's
(naust.proof.debian), PyPI's (PEP 440). Without an SBOM its list of inputs says it, and that
of what it stands on; with neither nobody knows. States of sources say it themselves, by the package's own name alone.
The other direction, from an artefact to what it was made of, is naust.materials.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from common.errors import BadInput, Corrupt, NotFound
from common.model import Artifact, Kind
from naust import manifest as oci
from naust.brief import CHANNEL, Brief
from naust.listing import artifacts, name_of, resolve, rows
from naust.proof import debian, sbom
from naust.proof.revocations import LISTS_NAME, LISTS_TAG
from naust.proof.sbom import Package
from naust.source.holders import Dated, Holder, holders, packages_in
from naust.store.interface import Store
from naust.untrusted import one_line

_TERM = re.compile(r"(?:([a-z][a-z0-9+.-]*):)?([A-Za-z0-9][\w.+/@-]*)?\s*(?:(<=|>=|==|=|<|>)\s*(\S+))?")
_ORDERS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "==": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}
_BASE = "base "  # how the input of smie begins that is what it was built on
_PACKAGE = "package "  # how inputs of smie begin that are Debian packages
_OWN = (Kind.DEPLOYMENT,)  # naust's own records, which nobody expects an SBOM of
SBOM, INPUTS = "sbom", "inputs"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One package and its versions: all of the bounds hold. `type` is that of a purl, '' for any."""

    type: str
    name: str
    bounds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A package that is in an artefact. `certain` is False where the versions cannot be compared."""

    package: str
    version: str
    type: str
    certain: bool


@dataclass(frozen=True, slots=True)
class Affected:
    """An artefact that contains it, and the channels that stand for it; `by` says how that is known."""

    name: str
    tag: str
    version: str
    digest: str
    channels: tuple[str, ...]
    by: str
    hits: tuple[Hit, ...]

    @property
    def certain(self) -> bool:
        """Whether at least one version was compared."""
        return any(hit.certain for hit in self.hits)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A state of a source that has it, and the snapshots that have that state; each with its views."""

    state: Dated
    snapshots: tuple[Dated, ...]
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Who contains it; `looked_at` artefacts in all. `unknown` are those with neither SBOM nor inputs, `unreadable`
    those whose manifest or SBOM is damaged, each with why. `mirrored` are states of sources, newest first."""

    affected: tuple[Affected, ...]
    looked_at: int
    unknown: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    mirrored: tuple[Mirrored, ...] = ()


def query(text: str) -> tuple[Wanted, ...]:
    """Read `openssl<3.5.5`, `openssl>=3.0,<3.5.5`, `openssl<3.5.5,libssl3`, `pypi:requests<2.32`; a part without a name
    bounds the name before it. Raises BadInput."""
    found: list[Wanted] = []
    for part in text.split(","):
        read = _TERM.fullmatch(part.strip())
        if read is None or not part.strip() or (read[2] is None and (not found or read[1] or not read[3])):
            raise BadInput(
                f"{part!r} in {text!r} names no package",
                resolution="Write a name and versions, such as 'openssl<3.5.5' or 'openssl>=3.0,<3.5.5'.",
            )
        bounds = ((read[3], read[4]),) if read[3] else ()
        if read[2] is None:
            found[-1] = replace(found[-1], bounds=(*found[-1].bounds, *bounds))
        else:
            found.append(Wanted(read[1] or "", read[2], bounds))
    for wanted in found:
        _check(wanted)
    return tuple(found)


def affected(store: Store, wanted: Iterable[Wanted], *, channel: str = "", prefix: str = "") -> Answer:
    """Look at every artefact whose name begins with `prefix`, or only at what this channel stands for."""
    asked = tuple(wanted)
    unknown: list[str] = []
    unreadable: list[tuple[str, str]] = []
    chosen = [*_chosen(store, channel, prefix, unreadable)]
    found: list[Affected] = []
    for row, answer in _looked_at(store, chosen, asked):
        called = f"{row.kind}/{row.name}:{row.tag}"
        if isinstance(answer, Corrupt):
            unreadable.append((called, one_line(answer.message)))
        elif answer is None:
            unknown += [] if row.kind in _OWN else [called]
        elif answer[1]:
            channels = tuple(filter(None, row.channels.split(",")))
            version = one_line(row.artifact().version)
            name = f"{row.kind}/{row.name}"
            found.append(Affected(name, row.tag, version, row.digest, channels, *answer))
    mirrored = tuple(_mirrored(store, asked, channel, prefix, unreadable))
    return Answer(tuple(found), len(chosen), tuple(unknown), tuple(unreadable), mirrored)


def _mirrored(
    store: Store, wanted: tuple[Wanted, ...], channel: str, prefix: str, unreadable: list[tuple[str, str]]
) -> Iterator[Mirrored]:
    """States that have it, whose name begins with `prefix`, or for which, or whose snapshot, the channel stands."""

    def damaged(called: str, error: Corrupt) -> None:
        unreadable.append((called, one_line(error.message)))

    for holder in holders(store, damaged=damaged):
        if not f"{Kind.SNAPSHOT}/{holder.state.reference}".startswith(prefix):
            continue
        dated = (holder.state, *holder.snapshots)
        if channel and not any(channel in each.channels for each in dated):
            continue
        try:
            if hits := _hits(store, holder, wanted):
                yield Mirrored(holder.state, holder.snapshots, hits)
        except NotFound:
            continue  # gone since
        except Corrupt as error:
            damaged(holder.state.reference, error)


def _hits(store: Store, holder: Holder, wanted: tuple[Wanted, ...]) -> tuple[Hit, ...]:
    there = packages_in(store, holder, (each.name for each in wanted))
    known = (Package(each.kind, each.name, each.version) for each in there)
    found = (match(package, each) for package in known for each in wanted)
    return tuple(dict.fromkeys(hit for hit in found if hit is not None))


def _chosen(store: Store, channel: str, prefix: str, unreadable: list[tuple[str, str]]) -> Iterator[Brief]:
    """Each artefact once, newest first: its channels are with its version."""
    listed: list[Brief] = []
    for row in rows(store, prefix):
        if isinstance(row, Brief):
            listed.append(row)
        else:
            unreadable.append((row[0], one_line(row[1].message)))
    for row in sorted(listed, reverse=True):
        is_list = (f"{row.kind}/{row.name}", row.tag) == (LISTS_NAME, LISTS_TAG)
        if (
            row.role == CHANNEL
            or is_list
            or row.kind == Kind.SNAPSHOT
            or (channel and channel not in (row.tag, *row.channels.split(",")))
        ):
            continue
        yield row


Bases = dict[tuple[str, str], tuple[Package, ...]]  # what many artefacts stand on: kind/name, recipe → its packages
Found = tuple[str, tuple[Hit, ...]] | Corrupt | None


def _looked_at(store: Store, chosen: list[Brief], wanted: tuple[Wanted, ...]) -> Iterator[tuple[Brief, Found]]:
    """Several at once where the store answers several."""
    bases: Bases = {}

    def look(row: Brief) -> Found:
        try:
            return _look(store, row.artifact(), wanted, bases)
        except Corrupt as error:
            return error
        except NotFound:
            return SBOM, ()  # gone since

    streams = store.traits().streams
    if streams < 2:
        yield from ((row, look(row)) for row in chosen)
        return
    with ThreadPoolExecutor(streams) as pool:
        yield from zip(chosen, pool.map(look, chosen), strict=True)


def _look(
    store: Store, artifact: Artifact, wanted: tuple[Wanted, ...], bases: Bases
) -> tuple[str, tuple[Hit, ...]] | None:
    by, packages = SBOM, _packages(store, artifact)
    if packages is None:
        name = name_of(artifact.reference)
        whole = oci.artifact(name, artifact.reference.tag, store.manifest(name, str(artifact.digest)))
        by, packages = INPUTS, (*_from_inputs(whole), *_from_base(store, whole, bases))
        if not packages:
            return None
    hits = dict.fromkeys(hit for package in packages for each in wanted if (hit := match(package, each)) is not None)
    return by, tuple(hits)


def _packages(store: Store, artifact: Artifact) -> tuple[Package, ...] | None:
    """Of the artefact, and of each platform of an index."""
    found = [sbom.found_packages(store, artifact)]
    if artifact.media_type in oci.INDEXES:
        name = name_of(artifact.reference)
        root = oci.parse(store.manifest(name, str(artifact.digest)), str(artifact.reference))
        found += [sbom.found_packages(store, replace(artifact, digest=child.digest)) for child in root.children]
    known = [each for each in found if each is not None]
    return tuple(package for each in known for package in each) if known else None


def _from_inputs(artifact: Artifact) -> Iterator[Package]:
    """Packages that it was made from: smie writes `package NAME`, others the bare name."""
    for title, version, _ in oci.inputs(artifact):
        name = title.removeprefix(_PACKAGE)
        if version and " " not in name:
            yield Package("deb" if name != title else "", name, version)
        elif title.startswith("software ") and version:
            yield Package("", title.removeprefix("software "), version)


def _from_base(store: Store, artifact: Artifact, known: Bases, deepest: int = 20) -> tuple[Package, ...]:
    """What is in the artefact that it was built on, and in that one's."""
    base = next((each for each in oci.inputs(artifact) if each[0].startswith(_BASE)), None)
    if base is None or not deepest:
        return ()
    title, _, made_from = base
    kind, name = artifact.reference.kind, title.removeprefix(_BASE)
    if (found := known.get((f"{kind}/{name}", made_from))) is None:
        same = (each for each in artifacts(store, kind, name, damaged=lambda error: None))
        below = next((each for each in same if str(each.made_from) == made_from), None)
        found = ()
        if below is not None:
            whole = resolve(store, below.reference)
            found = (*_from_inputs(whole), *_from_base(store, whole, known, deepest - 1))
        known[f"{kind}/{name}", made_from] = found
    return found


# Versions


def match(package: Package, wanted: Wanted) -> Hit | None:
    """Whether this package is meant, by its own name or its source's, and in these versions."""
    if wanted.type not in ("", package.type):
        return None
    if _name(package.type, package.name) == _name(package.type, wanted.name):
        found = _within(package.type, package.version, wanted)
    elif package.source and package.source == wanted.name:
        found = _within(package.type, package.source_version or package.version, wanted)
    else:
        return None
    if found is False:
        return None
    return Hit(one_line(package.name), one_line(package.version), one_line(package.type), found is True)


def _within(kind: str, version: str, wanted: Wanted) -> bool | None:
    """Whether the version keeps all bounds; None where nobody can say."""
    unsure = False
    for sign, bound in wanted.bounds:
        order = _order(kind, version, bound)
        if order is None:
            unsure = True
        elif not _ORDERS[sign](order, 0):
            return False
    return None if unsure else True


def _order(kind: str, one: str, other: str) -> int | None:
    if one == other:
        return 0
    try:
        if kind in ("deb", ""):  # what has no type comes from lists of inputs, which smie makes of Debian packages
            return debian.compare(one, other)
        return _pypi(one, other) if kind == "pypi" else None
    except BadInput:
        return None


def _pypi(one: str, other: str) -> int | None:
    try:
        from packaging.version import InvalidVersion, Version
    except ImportError:
        return None
    try:
        mine, bound = Version(one), Version(other)
    except InvalidVersion:
        return None
    return (mine > bound) - (mine < bound)


def _name(kind: str, name: str) -> str:
    """PyPI's names are the same in several ways of writing (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower() if kind == "pypi" else name


def _check(wanted: Wanted) -> None:
    """A version that nothing compares with would find nothing, and be taken for an answer."""
    for _, bound in wanted.bounds:
        if wanted.type in ("", "deb") and _order("deb", bound, "0") is None and _order("pypi", bound, "0") is None:
            raise BadInput(f"{bound!r} is no version", resolution="Write one as dpkg shows it, such as 3.5.5-1.")
