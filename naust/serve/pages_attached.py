"""What is attached to an artefact: signatures, attestations, packages, revocations, moves of channels.

Read from its referrers (OCI distribution specification 1.1, "Listing Referrers"). **Nothing is verified here**: whoever
may write to the store may attach anything, and pages say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from common.errors import Corrupt, Denied, NotFound
from common.model import Artifact, Digest
from naust import manifest as oci
from naust.promote import HISTORY, Move, history
from naust.proof import bundle, sbom
from naust.proof.revocations import REVOCATION, Claim, Revocation, standing
from naust.proof.sbom import Package
from naust.revoke import attached_to, check, the_list
from naust.store.interface import Referrer, Store
from naust.transfer.verified import content
from naust.untrusted import document, record

CHUNKS = "application/vnd.naust.content.chunks.v1"
MOST_REFERRERS = 200
MOST_CHANNELS = 50
MOST_MOVES = 200
LARGEST_DOCUMENT = 32 << 20  # bytes of a bundle or a history that a page still reads
_PREDICATES = (
    (bundle.SIGNATURE, "signature"),
    ("https://slsa.dev/provenance/", "provenance"),
    (bundle.SBOM, "packages (CycloneDX)"),
    ("https://spdx.dev/Document", "packages (SPDX)"),
)
_TYPES = {
    REVOCATION: "revocation",
    HISTORY: "history of a channel",
    CHUNKS: "chunk index",
    sbom.PLAIN: "packages (CycloneDX), not signed",
}
_PACKAGE = "package "  # how naust.inputs names a package


@dataclass(frozen=True, slots=True)
class Attached:
    """One referrer. `signer` is the hint that its bundle gives on the key; `fault` is why it is of no use, or ''."""

    digest: Digest
    size: int
    artifact_type: str
    what: str
    signer: str = ""
    fault: str = ""
    packages: tuple[Package, ...] = ()
    said: tuple[tuple[str, str], ...] = ()  # its annotations


@dataclass(frozen=True, slots=True)
class Attachments:
    """All referrers of one artefact. `more` says that there are more than are read."""

    every: tuple[Attached, ...] = ()
    more: bool = False
    packages: tuple[Package, ...] = ()
    source: str = ""  # where the packages come from

    def packages_like(self, text: str) -> tuple[Package, ...]:
        """The packages whose name, version or source package holds the text, in any case."""
        sought = text.lower()
        return tuple(each for each in self.packages if sought in f"{each.name} {each.version} {each.source}".lower())


@dataclass(frozen=True, slots=True)
class Moved:
    """A move of a channel."""

    channel: str
    move: Move


def attachments(store: Store, name: str, artifact: Artifact) -> Attachments:
    """Everything that is attached to this artefact. What cannot be read is listed with its fault."""
    found = list(islice(store.referrers(name, artifact.digest), MOST_REFERRERS + 1))
    read = (_attached(store, name, each, artifact.digest) for each in found[:MOST_REFERRERS])
    every = tuple(sorted(read, key=lambda each: (each.what, each.digest)))
    listed = next((each.packages for each in every if each.packages and not each.fault), ())
    source = "the CycloneDX document attached to it" if listed else ""
    if not listed:
        listed = tuple(_from_inputs(artifact))
        source = "its list of inputs" if listed else ""
    packages = tuple(sorted(listed, key=lambda each: (each.name, each.version)))
    return Attachments(every, len(found) > MOST_REFERRERS, packages, source)


def revoked(store: Store, artifact: Artifact) -> Corrupt | None:
    """The error with which naust refuses the artefact, because it or what it was built from is revoked; else None."""
    try:
        check(store, artifact)
    except Corrupt as error:
        return error
    return None


def revoked_digests(store: Store, listed: Iterable[tuple[str, Digest]]) -> frozenset[Digest]:
    """Which of these names and digests are revoked themselves. What they were built from is not looked at: that is
    done on the page of each."""
    entries = _on_the_list(store)
    found = set()
    for name, digest in listed:
        claims = [Claim(each) for each in (*entries.get(str(digest), ()), *_said_of(store, name, digest))]
        if standing(claims):
            found.add(digest)
    return frozenset(found)


def _on_the_list(store: Store) -> dict[str, list[Revocation]]:
    found: dict[str, list[Revocation]] = {}
    with suppress(Corrupt):  # the page of each artefact says that the list is damaged
        for each in the_list(store).listing.entries:
            found.setdefault(each.digest, []).append(each)
    return found


def _said_of(store: Store, name: str, digest: Digest) -> tuple[Revocation, ...]:
    try:
        return tuple(attached_to(store, name, digest))
    except Corrupt:
        return ()


def channel_moves(store: Store, name: str, channels: Iterable[str]) -> tuple[Moved, ...]:
    """The moves of these channels, the last one first. A history that cannot be read is left out; fsck names it."""
    found: list[Moved] = []
    for channel in islice(channels, MOST_CHANNELS):
        with suppress(Corrupt, NotFound):
            found.extend(Moved(channel, move) for move in history(store, name, channel))
    return tuple(sorted(found, key=lambda each: (each.move.at, each.move.number), reverse=True)[:MOST_MOVES])


def _attached(store: Store, name: str, referrer: Referrer, subject: Digest) -> Attached:
    kind = referrer.artifact_type
    known = Attached(
        referrer.digest, referrer.size, kind, _TYPES.get(kind, "bundle" if bundle.is_bundle(kind) else "other")
    )
    try:
        if bundle.is_bundle(kind) or kind == sbom.PLAIN:
            return _document(store, name, known, subject)
        return replace(known, said=_manifest(store, name, known).annotations)
    except (Corrupt, NotFound, Denied) as error:
        return replace(known, fault=error.message)


@lru_cache(maxsize=32)  # content never changes under its digest, and an SBOM takes milliseconds to read
def _document(store: Store, name: str, known: Attached, subject: Digest) -> Attached:
    data, what = _content(store, name, known), str(known.digest)
    if known.artifact_type == sbom.PLAIN:
        return replace(known, packages=sbom.read(document(data, what), what))
    read = bundle.read_bundle(data, what)
    kind = read.statement.predicate_type
    found = replace(
        known, signer=read.hint, what=next((text for start, text in _PREDICATES if kind.startswith(start)), kind)
    )
    if read.statement.about(subject) is None:
        return replace(found, fault="it is about another artefact")
    listed = sbom.read(record(read.statement.predicate), what) if kind.startswith(bundle.SBOM) else ()
    return replace(found, packages=listed)


def _content(store: Store, name: str, known: Attached) -> bytes:
    """The only layer of a referrer, checked against its digest. Raises Corrupt, NotFound."""
    layers = _manifest(store, name, known).layers
    if len(layers) != 1 or layers[0].size > LARGEST_DOCUMENT:
        raise Corrupt("it has no single layer of a sensible size", resolution="Attach it again.")
    return content(store, name, layers[0], f"{name}@{known.digest}")


def _manifest(store: Store, name: str, known: Attached) -> oci.Manifest:
    if known.size > oci.LARGEST:
        raise Corrupt("its manifest is too large", resolution="Attach it again.")
    return oci.parse(store.manifest(name, str(known.digest)), f"{name}@{known.digest}")


def _from_inputs(artifact: Artifact) -> Iterator[Package]:
    for name, version, _ in oci.inputs(artifact):
        if is_package(name, version):
            yield Package("", name.removeprefix(_PACKAGE), version)


def is_package(name: str, version: str) -> bool:
    """Whether an input is a package: smie says so in its name, others list packages alone, by their bare names."""
    return name.startswith(_PACKAGE) or bool(version and " " not in name)
