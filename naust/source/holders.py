"""Which states of sources have what: a digest, or a package. And which snapshots have those states.

Digests are looked for in the bytes of a part's manifest, packages in those of its configuration: to read either as JSON
takes ten times as long, and there may be dozens of states of 60 000 files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from common.errors import Corrupt, NotFound
from common.model import Digest, Kind
from naust import manifest as oci
from naust.brief import CHANNEL, Brief
from naust.listing import rows
from naust.source import state as form
from naust.source.interface import Package
from naust.store.interface import Store
from naust.transfer.verified import content

_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")
Damaged = Callable[[str, Corrupt], None]


@dataclass(frozen=True, slots=True)
class Dated:
    """A snapshot or state, `name:tag`, and the channels that stand for it."""

    reference: str
    channels: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.reference} ({', '.join(self.channels)})" if self.channels else self.reference


@dataclass(frozen=True, slots=True)
class Holder:
    """A state of a source, and the snapshots that have it, newest first."""

    state: Dated
    digest: Digest
    name: str  # kind/name under which the store has its manifests
    snapshots: tuple[Dated, ...] = ()


def _raise(name: str, error: Corrupt) -> None:
    raise error


def holders(store: Store, *, damaged: Damaged = _raise) -> tuple[Holder, ...]:
    """Every state of every source, newest first, then those that only a snapshot has: they are called by it,
    `set:tag/source`. `damaged` is told of each state or snapshot that cannot be read;
    without it, the first raises Corrupt."""
    states: list[Brief] = []
    inside: dict[Digest, list[Dated]] = {}
    first: dict[Digest, tuple[str, str]] = {}  # where a snapshot has it: kind/name, and what it calls it
    for row in _listed(store, damaged):
        dated = _dated(row)
        try:
            if row.media_type == form.SNAPSHOT:
                data = store.manifest(f"{row.kind}/{row.name}", row.tag)
                for child, said in form.children_of(data, dated.reference):
                    inside.setdefault(child.digest, []).append(dated)
                    called = f"{dated.reference}/{said.get(form.SOURCE, '')}"
                    first.setdefault(child.digest, (f"{row.kind}/{row.name}", called))
            elif row.media_type == form.STATE:
                states.append(row)
        except NotFound:
            continue  # gone since
        except Corrupt as error:
            damaged(dated.reference, error)
    known = {Digest.parse(row.digest): Holder(_dated(row), Digest.parse(row.digest), f"{row.kind}/{row.name}")
             for row in reversed(states)}  # fmt: skip
    others = {each: Holder(Dated(called), each, name) for each, (name, called) in first.items() if each not in known}
    every = (*reversed(known.values()), *others.values())
    return tuple(replace(each, snapshots=tuple(inside.get(each.digest, ()))) for each in every)


def digests_in(store: Store, holder: Holder, wanted: Collection[Digest]) -> frozenset[Digest]:
    """Those of these digests (SHA-256) that the state has. Raises Corrupt."""
    hexes = {digest.hex.encode(): digest for digest in wanted}
    found: set[Digest] = set()
    for data, _ in _parts(store, holder):
        found.update(hexes[each] for each in hexes.keys() & set(_DIGEST.findall(data)))
    return frozenset(found)


def packages_in(store: Store, holder: Holder, names: Iterable[str]) -> Iterator[Package]:
    """The packages of the state that may have one of these names, written in whatever way. Raises Corrupt."""
    marks = tuple(_mark(name) for name in names)
    for _, packages in _parts(store, holder):
        for line in packages.splitlines() if any(mark.search(packages) for mark in marks) else ():
            if any(mark.search(line) for mark in marks):
                yield from _read(line, holder.state.reference)


def _mark(name: str) -> re.Pattern[bytes]:
    """PyPI's names are the same in several ways of writing (PEP 503), and a provider's has its host before it."""
    loose = b"[-_.]+".join(re.escape(part.encode()) for part in re.split(r"[-_.]+", name))
    return re.compile(rb'[":/]' + loose + rb'"', re.IGNORECASE)


def _read(line: bytes, what: str) -> Iterator[Package]:
    try:
        said = json.loads(line)
        if "name" in said:
            yield Package(*(str(said.get(key, "")) for key in ("kind", "name", "version", "architecture", "origin")))
    except (ValueError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"the list of packages of {what} cannot be read", details=str(error), resolution="Mirror the source again."
        ) from error


def _parts(store: Store, holder: Holder) -> Iterator[tuple[bytes, bytes]]:
    """Manifest and list of packages of each part."""
    what, name = holder.state.reference, holder.name
    top = store.manifest(name, str(holder.digest))
    children = [child.digest for child, _ in form.children_of(top, what)]
    for data in (store.manifest(name, str(each)) for each in children) if children else (top,):
        config = oci.parse(data, what).config
        yield data, content(store, name, config, what) if config else b""


def _listed(store: Store, damaged: Damaged) -> list[Brief]:
    found = []
    for row in rows(store, f"{Kind.SNAPSHOT}/"):
        if isinstance(row, Brief):
            found += [row] if row.role != CHANNEL else []
        else:
            damaged(*row)
    return sorted(found, reverse=True)


def _dated(row: Brief) -> Dated:
    return Dated(f"{row.name}:{row.tag}", tuple(filter(None, row.channels.split(","))))
