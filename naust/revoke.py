"""Revoking: the artefact, and with it everything built from it, is refused by verify, pull and deploy.

A revocation is attached to the artefact, so that it goes wherever that is copied, and it is entered into the store's
list, `file/revocations:current`, so that what was built from the artefact is refused at the price of one look.
The attached ones are the truth; `refresh` makes the list anew from them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from common.errors import BadInput, Conflict, Corrupt, Denied, NotFound
from common.model import Artifact, Digest, Kind
from naust import manifest as oci
from naust.listing import artifacts, name_of
from naust.manifest import Blob, Manifest
from naust.proof import bundle
from naust.proof.ancestry import origins
from naust.proof.attached import attach, attached
from naust.proof.keys import SigningKey
from naust.proof.revocations import (
    LIST,
    LISTS_NAME,
    LISTS_TAG,
    REVOCATION,
    Claim,
    Listing,
    Revocation,
    hit,
    list_statement,
    read,
    read_list,
    refused,
    standing,
    statement,
)
from naust.sign import published_as, sealed
from naust.store.interface import Store
from naust.transfer.verified import content

_TRIES = 20  # to change the list while others do
_MOST_CHILDREN = 100  # of an index
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Found:
    """The list as it is in a store: what its tag stands for, and the document. `digest` is None where there is none."""

    digest: Digest | None
    manifest: bytes
    media_type: str
    data: bytes
    listing: Listing


NO_LIST = Found(None, b"", "", b"", Listing(_NEVER, ()))


def check(store: Store, artifact: Artifact) -> None:
    """Refuse an artefact that is revoked, or is built from one that is. Raises Corrupt with why, when and by whom.

    Signatures are not looked at: whoever may write to the store can revoke; `naust verify` with a policy is stricter.
    """
    name = name_of(artifact.reference)
    listed = the_list(store).listing.entries
    claims = [Claim(each) for each in (*listed, *attached_to(store, name, artifact.digest))]
    holding = standing(claims)
    if not holding:
        return
    data = store.manifest(name, str(artifact.digest))
    whole = oci.artifact(name, artifact.reference.tag or "untagged", data)
    found = hit(holding, [*manifests(store, name, artifact.digest)], lambda: origins(store, whole))
    if found is not None:
        raise refused(str(artifact.reference), *found)


def manifests(store: Store, name: str, digest: Digest) -> Iterator[Manifest]:
    """The artefact's manifest and, if it is an index, those of its children that are there."""
    root = oci.parse(store.manifest(name, str(digest)), f"{name}@{digest}")
    yield root
    for child in root.children[:_MOST_CHILDREN]:
        with suppress(NotFound):  # a copy of one platform
            yield oci.parse(store.manifest(name, str(child.digest)), f"{name}@{child.digest}")


def revoke(
    store: Store,
    artifact: Artifact,
    reason: str,
    *,
    by: str,
    key: SigningKey | None = None,
    undo: bool = False,
    now: datetime | None = None,
) -> Revocation:
    """Revoke the artefact, or take that back; signed if there is a key. Returns what was said.

    Done in two steps, each of them whole: the attached document, then the list. Done again after a break it goes on.
    Raises BadInput without a reason; Conflict if the list is changed by others without a pause.
    """
    if not reason.strip() or not reason.isprintable():
        raise BadInput("there is no reason", resolution="Say why in a line: --reason TEXT.")
    name = name_of(artifact.reference)
    before = [*attached_to(store, name, artifact.digest), *_entries_of(store, str(artifact.digest))]
    said = _said(store, artifact, reason, by, key, undo, _after(before, now or datetime.now(UTC)))
    same = next((each for each in before if not undo and each.reason == reason and each.signed == said.signed), None)
    if same is not None and _holds(before):
        said = replace(said, at=same.at)
    payload = statement(said)
    attach(
        store,
        name,
        artifact.digest,
        sealed(key, payload) if key else payload,
        media_type=bundle.BUNDLE if key else bundle.IN_TOTO,
        artifact_type=REVOCATION,
    )
    _change(store, lambda entries: (*(each for each in entries if each.digest != said.digest), said), key, said.at)
    return said


def refresh(store: Store, *, key: SigningKey | None = None, now: datetime | None = None) -> Listing:
    """Make the list anew from all that is attached to the store's artefacts, and date it."""
    found: dict[str, Revocation] = {each.digest: each for each in the_list(store).listing.entries}
    for each in artifacts(store, damaged=lambda error: None):
        for said in attached_to(store, name_of(each.reference), each.digest):
            there = found.get(said.digest)
            if there is None or said.at > there.at:
                found[said.digest] = said
    return _change(store, lambda entries: tuple(found.values()), key, now or datetime.now(UTC))


def adopt(store: Store, name: str, digest: Digest) -> None:
    """Enter what is attached to an artefact, as after a copy, into the list. A list that somebody signed is left to who
    has the key (`refresh`): without it, nobody could enter anything that counts."""
    there = the_list(store)
    if there.media_type.startswith(bundle.BUNDLES):
        return
    latest = max(attached_to(store, name, digest), key=lambda each: each.at, default=None)
    known = {each.digest: each.at for each in there.listing.entries}
    if latest is None or known.get(latest.digest, _NEVER) >= latest.at:
        return
    _change(
        store, lambda entries: (*(each for each in entries if each.digest != latest.digest), latest), None, latest.at
    )


def the_list(store: Store) -> Found:
    """The store's list; an empty one if there is none, or we may not read it (a registry says that of names that it
    does not have). A policy can demand that there is one."""
    try:
        data = store.manifest(LISTS_NAME, LISTS_TAG)
    except (NotFound, Denied):
        return NO_LIST
    what = f"the list of revocations in {store.url}"
    read_manifest = oci.parse(data, what)
    if read_manifest.artifact_type != LIST or len(read_manifest.layers) != 1:
        raise Corrupt(f"{what} is none", resolution=f"Take {LISTS_NAME}:{LISTS_TAG} away; naust revoke --refresh.")
    blob = read_manifest.layers[0]
    document = content(store, LISTS_NAME, blob, what)
    said, _ = bundle.either(document, blob.media_type, what)
    return Found(read_manifest.digest, data, blob.media_type, document, read_list(said, what))


def attached_to(store: Store, name: str, digest: Digest) -> Iterator[Revocation]:
    """What is attached to the artefact, whoever signed it. One that cannot be read counts for nothing."""
    for each in attached(store, name, digest, REVOCATION.__eq__):
        try:
            said, sealed_ = bundle.either(each.data, each.media_type, str(each.digest))
            found = read(said, str(each.digest))
        except Corrupt:
            continue
        if found.digest == str(digest):
            yield replace(found, signed=found.signed if sealed_ else "")


def _entries_of(store: Store, digest: str) -> list[Revocation]:
    return [each for each in the_list(store).listing.entries if each.digest == digest]


def _holds(claims: list[Revocation]) -> bool:
    return bool(standing(Claim(each) for each in claims))


def _after(before: list[Revocation], now: datetime) -> datetime:
    """Now, but later than all that was said before, so that the order is sure."""
    latest = max((each.at for each in before), default=_NEVER)
    return max(now.replace(microsecond=0), latest + timedelta(seconds=1))


def _said(
    store: Store, artifact: Artifact, reason: str, by: str, key: SigningKey | None, undo: bool, at: datetime
) -> Revocation:
    every = [*manifests(store, name_of(artifact.reference), artifact.digest)]
    return Revocation(
        name=published_as(store, artifact),
        digest=str(artifact.digest),
        reason=reason,
        at=at,
        by=by,
        revoked=not undo,
        made_from=str(artifact.made_from or ""),
        parts=tuple(str(each.digest) for each in every[0].children),
        chains=tuple(tuple(str(layer.digest) for layer in each.layers) for each in every if each.layers),
        signed=str(key.public.fingerprint) if key else "",
    )


# The list

Edit = Callable[[tuple[Revocation, ...]], tuple[Revocation, ...]]


def _change(store: Store, edit: Edit, key: SigningKey | None, at: datetime) -> Listing:
    """Change the list, whoever else does so at the same time."""
    for _ in range(_TRIES):
        there = the_list(store)
        entries = tuple(sorted(_vouched(edit(there.listing.entries), there, key), key=lambda each: each.digest))
        listing = Listing(max(at, there.listing.at), entries)
        if entries == there.listing.entries and at <= there.listing.at:
            return listing
        try:
            _put(store, list_statement(listing), listing.at, key, there.digest)
            return listing
        except Conflict:
            continue
    raise Conflict("the list of revocations is changed by others without a pause", resolution="Run the command again.")


def _vouched(entries: tuple[Revocation, ...], there: Found, key: SigningKey | None) -> Iterator[Revocation]:
    """Who signs the list vouches for its own entries, and for others' only if it had signed the list before: else
    anybody could slip one in and have it signed."""
    ours = key is not None and there.digest is not None and _is_signed_by(there, key)
    for each in entries:
        own = key is not None and each.signed == str(key.public.fingerprint) and each not in there.listing.entries
        yield each if ours or own or not key else replace(each, signed="")


def _is_signed_by(there: Found, key: SigningKey) -> bool:
    _, found = bundle.either(there.data, there.media_type, "the list")
    return found is not None and key.public.verifies(found.signature, found.signed)


def _put(store: Store, payload: bytes, at: datetime, key: SigningKey | None, replacing: Digest | None) -> None:
    document = sealed(key, payload) if key else payload
    for data in (document, oci.EMPTY_CONFIG):
        store.write(LISTS_NAME, Digest.of(data), len(data), io.BytesIO(data))
    config = Blob(Digest.of(oci.EMPTY_CONFIG), len(oci.EMPTY_CONFIG), oci.EMPTY).described()
    layer = Blob(Digest.of(document), len(document), bundle.BUNDLE if key else bundle.IN_TOTO)
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "artifactType": LIST,
        "config": config,
        "layers": [layer.described("revocations.json")],
        "annotations": oci.annotated(Kind.FILE, LISTS_TAG, created=at.isoformat()),
    }
    store.put_manifest(LISTS_NAME, LISTS_TAG, oci.encode(manifest), replacing=replacing)
