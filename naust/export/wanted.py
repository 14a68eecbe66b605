"""What belongs to a system: which artefacts, and which snapshots have what these were made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from common.catalog import Catalog
from common.errors import BadInput, NotFound
from common.model import Artifact, Digest, Kind
from common.system import System
from naust import revoke
from naust.listing import artifacts, name_of, resolve
from naust.materials import BASE, SNAPSHOT, Material, Origin, origins
from naust.source import snapshot as snapshots
from naust.source.holders import Holder, digests_in, holders
from naust.store.interface import Store
from naust.version import is_dated

NO_SOURCES = "none"  # what is said instead of a snapshot by whoever wants artefacts alone
_PREFIX = f"{Kind.SNAPSHOT}/"
_DEEPEST = 20  # artefacts that stand on each other


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be on the disk. `nowhere` are materials that none of the snapshots has, `unknown` what does not say
    what it was made of."""

    artifacts: tuple[Artifact, ...]
    snapshots: tuple[Artifact, ...]
    nowhere: tuple[Material, ...]
    unknown: tuple[str, ...]

    @property
    def references(self) -> tuple[str, ...]:
        """Every tag that the disk's store is to have."""
        return tuple(str(each.reference) for each in (*self.artifacts, *self.snapshots))


def wanted(
    store: Store, catalog: Catalog, systems: Sequence[str], *, channel: str = "", named: Sequence[str] = ()
) -> Wanted:
    """Look up what these systems need: of each artefact the newest, or what the channel stands for, and what it stands
    on; and the snapshots that are named, else those that have what all of it was made of.

    Raises BadInput for an unknown system, and if sources are nowhere and nobody says that this is meant; NotFound with
    all artefacts that are missing; Corrupt for one that is revoked or damaged.
    """
    references = dict.fromkeys(text for name in systems for text in needed(catalog, catalog.system(name)))
    chosen = _with_bases(store, _resolved(store, references, channel))
    for artifact in chosen:
        revoke.check(store, artifact)
    made = origins(store, chosen)
    unknown = tuple(dict.fromkeys(text for one in made for text in one.unknown))
    if NO_SOURCES in named:
        return Wanted(chosen, (), (), unknown)
    fetched = {each.digest: each for one in made for each in one.materials if each.fetched and each.digest}
    recorded = {each.name.removeprefix(_PREFIX) for one in made for each in one.materials if each.part == SNAPSHOT}
    taken, left = _snapshots(store, named, recorded, set(fetched))
    if left and not named:
        raise _nowhere(store, made, [fetched[digest] for digest in left])
    nowhere = tuple(sorted((fetched[digest] for digest in left), key=lambda each: (each.part, each.name)))
    return Wanted(chosen, taken, nowhere, unknown)


def needed(catalog: Catalog, system: System) -> Iterator[str]:
    """What the definitions name: an artefact for each role that has an image, and the image that nodes are made of."""
    for group in system.groups:
        for use in group.roles:
            if use.artifact:
                yield use.artifact
            elif any(image.kind == Kind.CONTAINER for image in use.role.images):
                yield f"{Kind.CONTAINER}/{use.role.name}"
    for name in catalog.targets(system.name):
        image = catalog.target(system, name).image
        if image:
            yield f"{Kind.CONTAINER}/{image}"


# Artefacts


def _resolved(store: Store, references: Iterable[str], channel: str) -> tuple[Artifact, ...]:
    found: list[Artifact] = []
    missing: list[str] = []
    for text in references:
        asked = text if ":" in text or "@" in text or not channel else f"{text}:{channel}"
        try:
            found.append(_dated(store, resolve(store, asked)))
        except NotFound:
            missing.append(asked)
    if missing:
        build = " ".join(text.partition(":")[0].partition("/")[2] for text in missing)
        raise NotFound(
            f"no artefact {', '.join(missing)} in {store.url}",
            resolution="Promote them with `naust promote`, or leave out --channel."
            if channel
            else f"Build what is missing: smie build {build}",
        )
    return tuple(found)


def _dated(store: Store, artifact: Artifact) -> Artifact:
    """The same under its name that never changes, which a channel's is not."""
    if is_dated(artifact.reference.tag):
        return artifact
    for each in artifacts(store, artifact.reference.kind, artifact.reference.name):
        if each.digest == artifact.digest and is_dated(each.reference.tag):
            return replace(artifact, reference=each.reference)
    return artifact


def _with_bases(store: Store, found: Sequence[Artifact]) -> tuple[Artifact, ...]:
    """With what they were built on, as far as the store has it: their layers are shared, so it costs next to nothing,
    and nothing has to be built again where only a role changes."""
    every = {(name_of(each.reference), each.digest): each for each in found}
    waiting = list(found)
    for _ in range(_DEEPEST):
        below = [each for one in waiting for each in _bases(store, one)]
        waiting = [each for each in below if (name_of(each.reference), each.digest) not in every]
        every |= {(name_of(each.reference), each.digest): each for each in waiting}
        if not waiting:
            break
    return tuple(every.values())


def _bases(store: Store, above: Artifact) -> Iterator[Artifact]:
    from naust.manifest import inputs

    for title, _, digest in inputs(above):
        part, _, name = title.partition(" ")
        same = artifacts(store, above.reference.kind, name, damaged=lambda error: None) if part == BASE else ()
        for each in same:
            if str(each.made_from) == digest and is_dated(each.reference.tag):
                yield resolve(store, each.reference)
                break


# Snapshots


def _snapshots(
    store: Store, named: Sequence[str], recorded: set[str], digests: set[Digest]
) -> tuple[tuple[Artifact, ...], set[Digest]]:
    """The snapshots to take, those first that the artefacts' provenances name, and what none of them has."""
    every = holders(store)
    if named:
        taken = tuple(_dated(store, snapshots.named(store, text).artifact) for text in named)
        return taken, digests - _held(store, every, {_called(each) for each in taken}, digests)
    inside = {each: digests_in(store, each, digests) for each in every if each.snapshots}
    has: dict[str, set[Digest]] = {}
    for holder, held in inside.items():
        for each in holder.snapshots:
            has.setdefault(each.reference, set()).update(held)
    left, chosen = set(digests), list[str]()
    while left:
        best = max(has, key=lambda name: (name in recorded, len(left & has[name]), _age(name)), default="")
        if not best:
            break
        chosen += [best] if left & has[best] else []
        left -= has.pop(best)
    return tuple(snapshots.named(store, name).artifact for name in chosen), left


def _called(artifact: Artifact) -> str:
    return f"{artifact.reference.name}:{artifact.reference.tag}"


def _held(store: Store, every: Iterable[Holder], names: set[str], digests: set[Digest]) -> set[Digest]:
    mine = [each for each in every if names & {each.state.reference, *(one.reference for one in each.snapshots)}]
    return set[Digest]().union(*(digests_in(store, each, digests) for each in mine))


def _age(name: str) -> str:
    """The newest of several that have the same; tags begin with the day and end with the moment."""
    return name.partition(":")[2]


def _nowhere(store: Store, made: Sequence[Origin], left: Sequence[Material]) -> BadInput:
    lines = sorted(f"{each.part} {each.name} {each.version}, {each.digest}, of {each.of}" for each in left)
    shown = lines[:20] + ([f"and {len(lines) - 20} more"] if len(lines) > 20 else [])
    count = sum(each.fetched for one in made for each in one.materials)
    return BadInput(
        f"no snapshot in {store.url} has {len(left)} of the {count} sources that these artefacts were made of",
        details="\n".join(shown),
        resolution="Mirror them (naust mirror, naust snapshot SET) and build from that snapshot; or name a snapshot "
        f"that is good enough, --snapshot SET:WHEN; or export without sources, --snapshot {NO_SOURCES}.",
    )
