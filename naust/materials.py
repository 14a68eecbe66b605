"""What an artefact was made of, down to the last package, and which mirrored state has each of these files.

From its list of inputs (`naust.inputs`), then that of the artefact that it stands on, and so on; and from the
provenance that is attached (SLSA v1, `resolvedDependencies`). What was fetched must be in a state of a source to be
had again: what is in none is said to be nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from common.errors import BadInput, Corrupt
from common.model import Artifact, Digest
from naust import manifest as oci
from naust.listing import artifacts, name_of, resolve
from naust.proof import bundle
from naust.source.holders import Damaged, Dated, Holder, digests_in, holders
from naust.store.interface import Store
from naust.transfer.verified import content
from naust.untrusted import one_line, record, records, text

BASE, PACKAGE, SOFTWARE, SNAPSHOT, SOURCE = "base", "package", "software", "snapshot", "source"
# What smie names that is ours, and not fetched; `source` is a state of a snapshot.
_OWN = (BASE, "file", "process", "image", "setting", SNAPSHOT, SOURCE)
_DEEPEST = 20  # artefacts that stand on each other


@dataclass(frozen=True, slots=True)
class Material:
    """One thing that an artefact was made of. `part` is package, software, file, base, …; `of` is the artefact that
    says so: itself, or one that it stands on. `fetched` is false for what the definitions bring. `states` have it."""

    part: str
    name: str
    version: str
    digest: Digest | None
    of: str
    fetched: bool
    states: tuple[Dated, ...] = ()

    @property
    def is_nowhere(self) -> bool:
        """Whether nobody mirrored it, so that it cannot be had again."""
        return self.fetched and not self.states


@dataclass(frozen=True, slots=True)
class Origin:
    """The materials of one artefact; `unknown` are artefacts below it that are not in the store or do not say what
    they were made of."""

    artifact: str
    digest: Digest
    materials: tuple[Material, ...]
    unknown: tuple[str, ...]

    @property
    def nowhere(self) -> tuple[Material, ...]:
        """What cannot be had again."""
        return tuple(each for each in self.materials if each.is_nowhere)


def origin(store: Store, artifact: Artifact, *, damaged: Damaged | None = None) -> Origin:
    """The materials of one artefact. `damaged` is told of states that cannot be read; else the first raises Corrupt."""
    (found,) = origins(store, (artifact,), damaged=damaged)
    return found


def origins(store: Store, wanted: Iterable[Artifact], *, damaged: Damaged | None = None) -> tuple[Origin, ...]:
    """As `origin`, for several: each state is read once."""
    made = [made_of(store, artifact) for artifact in wanted]
    digests = {each.digest for one in made for each in one.materials if each.fetched and each.digest}
    where: dict[Digest, list[Dated]] = {}
    for holder in holders(store, damaged=damaged) if damaged else holders(store):
        for digest in _held(store, holder, digests, damaged):
            where.setdefault(digest, []).append(holder.state)
    return tuple(replace(one, materials=tuple(_placed(one.materials, where))) for one in made)


def _held(store: Store, holder: Holder, digests: set[Digest], damaged: Damaged | None) -> Iterable[Digest]:
    try:
        return digests_in(store, holder, digests)
    except Corrupt as error:
        if damaged is None:
            raise
        damaged(holder.state.reference, error)
        return ()


def _placed(found: Iterable[Material], where: Mapping[Digest, list[Dated]]) -> Iterator[Material]:
    for each in found:
        states = where.get(each.digest, ()) if each.digest and each.fetched else ()
        yield replace(each, states=tuple(states))


def made_of(store: Store, artifact: Artifact) -> Origin:
    """As `origin`, without looking where the materials are."""
    found: dict[tuple[str, str, Digest | None], Material] = {}
    unknown: list[str] = []
    below: Artifact | None = artifact
    for _ in range(_DEEPEST):
        if below is None:
            break
        materials = tuple(_said(store, below))
        unknown += [] if materials else [str(below.reference)]
        for each in materials:
            found.setdefault((each.part, each.name, each.digest), each)
        base = next((each for each in materials if each.part == BASE), None)
        below = _base(store, below, base) if base else None
        if base and below is None:
            unknown.append(f"{BASE} {base.name} {base.version}".rstrip())
    return Origin(str(artifact.reference), artifact.digest, tuple(found.values()), tuple(unknown))


def _said(store: Store, artifact: Artifact) -> Iterator[Material]:
    """What its inputs say, and then its provenance, each digest once."""
    seen: set[Digest | None] = {None}
    whole = artifact
    if not artifact.annotation(oci.INPUTS):  # a listing leaves it out
        name, tag = name_of(artifact.reference), artifact.reference.tag
        whole = oci.artifact(name, tag or "untagged", store.manifest(name, str(artifact.digest)))
    for title, version, digest in oci.inputs(whole):
        material = _material(title, version, _digest(digest), artifact)
        seen.add(material.digest)
        yield material
    for each in _from_provenance(store, artifact):
        # A base stands there by its own digest, and in the inputs by its recipe's.
        if each.digest not in seen and not (each.part == BASE and len(seen) > 1):
            yield each


def _material(title: str, version: str, digest: Digest | None, artifact: Artifact, uri: str = "") -> Material:
    part, _, name = title.partition(" ")
    known = part in (*_OWN, PACKAGE, SOFTWARE)
    called = one_line((name or uri) if known else title or uri)
    return Material(part if known else "", called, one_line(version), digest, str(artifact.reference), part not in _OWN)


def _from_provenance(store: Store, artifact: Artifact) -> Iterator[Material]:
    for said in _provenances(store, artifact):
        for each in records(record(said.get("buildDefinition")).get("resolvedDependencies")):
            digest = _digest(f"sha256:{text(record(each.get('digest')).get('sha256'))}")
            if digest is not None:  # a commit, say, is nothing that a mirror has
                yield _material(text(each.get("name")), "", digest, artifact, text(each.get("uri")))


def _provenances(store: Store, artifact: Artifact) -> Iterator[Mapping[str, object]]:
    """Signed or not: who may be believed is `naust verify`'s to say."""
    name = name_of(artifact.reference)
    for each in store.referrers(name, artifact.digest):
        if not bundle.is_bundle(each.artifact_type) and each.artifact_type != bundle.IN_TOTO:
            continue
        read = oci.parse(store.manifest(name, str(each.digest)), f"{name}@{each.digest}")
        for layer in read.layers[:1]:
            data = content(store, name, layer, str(artifact.reference))
            said, _ = bundle.either(data, layer.media_type, f"what is attached to {artifact.reference}")
            if said.predicate_type == bundle.PROVENANCE and said.about(artifact.digest) is not None:
                yield said.predicate


def _base(store: Store, above: Artifact, base: Material) -> Artifact | None:
    """The artefact with this fingerprint; several were made from one recipe, and any of them says the same."""
    for each in artifacts(store, above.reference.kind, base.name, damaged=lambda error: None):
        if each.made_from == base.digest:
            return resolve(store, each.reference)
    return None


def _digest(written: str) -> Digest | None:
    try:
        return Digest.parse(written) if written else None
    except BadInput:
        return None
