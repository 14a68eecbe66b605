"""Revocations as data: what one says, the list of all of a store, and whom they hit. Nothing here touches a store.

Both are in-toto statements, signed (a Sigstore bundle) or bare. The artifact types are naust's own and not those of
bundles, because cosign takes every bundle that a key signed for a signature of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from common.errors import Corrupt
from common.model import Digest
from naust.manifest import Manifest, encode
from naust.proof import bundle
from naust.proof.ancestry import Origin
from naust.proof.bundle import Statement, Subject
from naust.untrusted import one_line, records, text, unreadable

REVOCATION = "application/vnd.naust.revocation.v1"
LIST = "application/vnd.naust.proof.revocations.v1"
SAID = "urn:naust:revocation:v1"  # predicate type of one
LISTED = "urn:naust:revocations:v1"  # predicate type of the list
LISTS_NAME, LISTS_TAG = "file/revocations", "current"  # where a store has the list
MOST = 100_000  # of one list
_LAST_YEAR = 9000  # later ones could not be followed by another


@dataclass(frozen=True, slots=True)
class Revocation:
    """One artefact is revoked, or (`revoked` False) no longer is. `digest` is its manifest's; `parts` those of the
    manifests in its index, `chains` those of the layers of each image or file; `made_from` its recipe's. `signed` says,
    in a list, whose key had signed this one, as a fingerprint; it is worth what the signature of the list is worth."""

    name: str
    digest: str
    reason: str
    at: datetime
    by: str
    revoked: bool = True
    made_from: str = ""
    parts: tuple[str, ...] = ()
    chains: tuple[tuple[str, ...], ...] = ()
    signed: str = ""

    def told(self) -> str:
        """Why, when and by whom, in a line."""
        who = f" by {self.by}" if self.by else ""
        what = "was revoked" if self.revoked else "is no longer revoked, as decided"
        return f"{self.name} {what} on {self.at.isoformat(timespec='seconds')}{who}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Listing:
    """The list of a store. `at` is when it was last written."""

    at: datetime
    entries: tuple[Revocation, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """A revocation that somebody made, and whether a key that counts signed it."""

    revocation: Revocation
    signed: bool = False


def statement(revocation: Revocation) -> bytes:
    """One revocation as a statement."""
    return bundle.statement(Subject((revocation.digest,), revocation.name), SAID, _plain(revocation))


def list_statement(listing: Listing) -> bytes:
    """The list as a statement; its subject is the list itself."""
    entries = [_plain(each) for each in listing.entries]
    about = Subject((str(Digest.of(encode({"entries": entries}))),), "revocations")
    return bundle.statement(about, LISTED, {"at": listing.at.isoformat(), "entries": entries})


def read(said: Statement, what: str) -> Revocation:
    """One revocation. Raises Corrupt if the statement is none, or speaks of another digest than its subject."""
    found = _revocation(said.predicate, what)
    if said.predicate_type != SAID or not any(found.digest in subject.digests for subject in said.subjects):
        raise unreadable(what, "It is no revocation of its subject.")
    return found


def read_list(said: Statement, what: str) -> Listing:
    """The list. Raises Corrupt if the statement is none."""
    entries = records(said.predicate.get("entries"))
    if said.predicate_type != LISTED or len(entries) > MOST:
        raise unreadable(what, f"It is no list of at most {MOST} revocations.")
    return Listing(_moment(said.predicate, what), tuple(_revocation(each, what) for each in entries))


def standing(claims: Iterable[Claim]) -> tuple[Revocation, ...]:
    """The revocations that hold: none that was taken back later. What a key that counts has signed is taken back only
    by one that counts as well. In doubt, as at the same second, it holds."""
    every = list(claims)
    undone: dict[str, list[Claim]] = {}
    for claim in every:
        if not claim.revocation.revoked:
            undone.setdefault(claim.revocation.digest, []).append(claim)

    def holds(claim: Claim) -> bool:
        return not any(
            undo.revocation.at > claim.revocation.at and (undo.signed or not claim.signed)
            for undo in undone.get(claim.revocation.digest, ())
        )

    return tuple(claim.revocation for claim in every if claim.revocation.revoked and holds(claim))


def hit(
    revocations: Sequence[Revocation],
    manifests: Sequence[Manifest],
    origins: Callable[[], Iterable[Origin]],
) -> tuple[Revocation, str] | None:
    """The first revocation that hits an artefact, and how: '' for itself. `manifests` are its own and, of an index,
    those of its children. `origins` is asked only if need be."""
    if not revocations:
        return None
    own = {str(each.digest) for each in manifests} | {
        str(child.digest) for each in manifests for child in each.children
    }
    contents = [tuple(str(layer.digest) for layer in each.layers) for each in manifests]
    for each in revocations:
        if each.digest in own or own.intersection(each.parts):
            return each, ""
        for chain in each.chains:
            for content in contents:
                if content[: len(chain)] == chain:
                    return each, "has the same content as it" if content == chain else "is built on it"
    known = _known(revocations, is_container=any(each.is_container for each in manifests))
    for origin in origins():
        found = known.get(origin.digest)
        if found is not None:
            return found, f"is built from it{f' by way of {origin.via}' if origin.via else ''}"
    return None


def _known(revocations: Iterable[Revocation], *, is_container: bool) -> Mapping[str, Revocation]:
    """Digest → revocation. Not by recipe where layers were compared: another build of the same recipe may be good."""
    known: dict[str, Revocation] = {}
    for each in revocations:
        of_container = each.name.startswith("container/")
        exact = is_container and of_container and each.chains
        single = () if of_container else (chain[0] for chain in each.chains if len(chain) == 1)
        for digest in (each.digest, *each.parts, *single, *(() if exact else (each.made_from,))):
            if digest:
                known.setdefault(digest, each)
    return known


def _plain(revocation: Revocation) -> Mapping[str, object]:
    every = {
        "name": revocation.name,
        "digest": revocation.digest,
        "reason": revocation.reason,
        "at": revocation.at.isoformat(),
        "by": revocation.by,
        "revoked": revocation.revoked,
        "made_from": revocation.made_from,
        "parts": list(revocation.parts),
        "chains": [list(chain) for chain in revocation.chains],
        "signed": revocation.signed,
    }
    return {key: value for key, value in every.items() if value not in ("", [])}


def _revocation(found: Mapping[str, object], what: str) -> Revocation:
    revoked, digest = found.get("revoked"), text(found.get("digest"))
    if not isinstance(revoked, bool) or not digest:
        raise unreadable(what, "A revocation in it does not say what it revokes.")
    return Revocation(
        name=one_line(found.get("name")),
        digest=digest,
        reason=one_line(found.get("reason")),
        at=_moment(found, what),
        by=one_line(found.get("by")),
        revoked=revoked,
        made_from=text(found.get("made_from")),
        parts=_texts(found.get("parts")),
        chains=_chains(found.get("chains")),
        signed=text(found.get("signed")),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(text, value)) if isinstance(value, list) else ()


def _chains(value: object) -> tuple[tuple[str, ...], ...]:
    """Lists of digests; an empty one would be the beginning of everything."""
    return tuple(filter(None, map(_texts, value))) if isinstance(value, list) else ()


def _moment(found: Mapping[str, object], what: str) -> datetime:
    try:
        read = datetime.fromisoformat(text(found.get("at")))
    except ValueError:
        raise unreadable(what, "It has no date.") from None
    if read.year > _LAST_YEAR:
        raise unreadable(what, "Its date is out of this world.")
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def refused(name: str, found: Revocation, how: str) -> Corrupt:
    """The error of an artefact that a revocation hits."""
    return Corrupt(
        f"{name} is revoked"
        if not how
        else f"{name} is refused: {found.name or found.digest} is revoked, and it {how}",
        details=found.told(),
        resolution="Use another version (`naust list`), or build it anew. If the revocation itself is wrong: "
        f"naust revoke {found.name or name} --undo --reason …",
    )


def document(data: bytes, media_type: str, what: str) -> Statement:
    """The statement of an attached document, whether signed or not. Raises Corrupt."""
    return bundle.either(data, media_type, what)[0]
