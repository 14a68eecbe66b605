"""One artefact, with all that it says about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from common.errors import Corrupt, NotFound
from common.model import Artifact, Digest
from naust import manifest as oci
from naust.address import uri
from naust.brief import Brief, escaped, plain
from naust.listing import artifacts, name_of, resolve
from naust.store.interface import Store
from naust.version import is_dated, split

# What has a field of its own, so that it is not shown twice.
_FIELDS = (oci.VERSION, oci.REVISION, oci.KIND, oci.MADE_FROM, oci.INPUTS, oci.CREATED)


@dataclass(frozen=True, slots=True)
class Part:
    """A blob of an artefact, and whether the store has it."""

    digest: Digest
    size: int
    media_type: str
    stored: bool


@dataclass(frozen=True, slots=True)
class Input:
    """Something that the artefact was made from."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something that goes with an artefact: a signature, an SBOM, a chunk index."""

    type: str
    digest: Digest  # of its manifest, whose size this is
    size: int


@dataclass(frozen=True, slots=True)
class Description:
    """What `naust show` shows. `published` is the date of the name, for a channel that of the `release` it stands for,
    None if it has none; `created` is what the artefact says of itself; `channels` are other tags of it, and `revoked`
    says why nobody may use it ('' if one may)."""

    uri: str
    reference: str
    kind: str
    name: str
    version: str
    published: datetime | None
    created: str
    digest: Digest
    size: int
    media_type: str
    revision: str
    made_from: Digest | None
    inputs: tuple[Input, ...]
    parts: tuple[Part, ...]
    annotations: Mapping[str, str]
    channels: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    revoked: str = ""
    release: str = ""  # the newest dated tag of it, where it was asked for by another


def show(store: Store, wanted: str) -> Description:
    """Describe an artefact. Reads its manifest and asks for the sizes of its blobs, but does not read them.

    Raises NotFound, BadInput; Corrupt if the manifest is damaged.
    """
    found = resolve(store, wanted)
    name = name_of(found.reference)
    read = oci.parse(store.manifest(name, str(found.digest)), str(found.reference))
    release = found.reference.tag if is_dated(found.reference.tag) else _release(store, found)
    dated = split(release)
    return Description(
        uri=uri(store.url, found),
        reference=str(found.reference),
        kind=str(found.reference.kind),
        name=found.reference.name,
        version=found.version,
        published=dated[1] if dated else None,
        created=found.annotation(oci.CREATED),
        digest=found.digest,
        size=found.size,
        media_type=found.media_type,
        revision=found.annotation(oci.REVISION),
        made_from=found.made_from,
        inputs=tuple(Input(*each) for each in oci.inputs(found)),
        parts=tuple(_part(store, name, blob) for blob in read.blobs),
        annotations={key: text for key, text in found.annotations if key not in _FIELDS},
        channels=tuple(_channels(store, found)),
        attachments=tuple(
            Attachment(escaped(each.artifact_type or each.media_type), each.digest, each.size)
            for each in sorted(store.referrers(name, found.digest), key=lambda each: (each.artifact_type, each.digest))
        ),
        revoked=_revoked(store, found),
        release=release if release != found.reference.tag else "",
    )


def _release(store: Store, artifact: Artifact) -> str:
    """The newest dated tag of what was asked for by a channel or a digest; '' if there is none."""
    reference = artifact.reference
    every = artifacts(store, reference.kind, reference.name, damaged=lambda error: None)
    same = (each.reference.tag for each in every if each.digest == artifact.digest)
    return next(filter(is_dated, same), "")


def _channels(store: Store, artifact: Artifact) -> Iterator[str]:
    name = name_of(artifact.reference)
    for tag in store.tags(name):
        if tag != artifact.reference.tag and not is_dated(tag):
            with suppress(NotFound, Corrupt):  # gone since, or not this one in any case
                if Digest.of(store.manifest(name, tag)) == artifact.digest:
                    yield tag


def _revoked(store: Store, artifact: Artifact) -> str:
    from naust.revoke import check

    try:
        check(store, artifact)
    except Corrupt as error:
        return " ".join(part for part in (error.message, error.details) if part)
    return ""


def rows(described: Description) -> Sequence[tuple[str, str]]:
    """The description as lines of name and value, for people."""
    lines = [
        ("URI", described.uri),
        ("kind", described.kind),
        ("name", described.name),
        ("version", described.version),
        ("release", described.release),
        ("published", described.published.isoformat() if described.published else ""),
        ("created", described.created),
        ("channels", ", ".join(described.channels)),
        ("REVOKED", described.revoked),
        ("digest", str(described.digest)),
        ("size", f"{described.size} bytes"),
        ("type", described.media_type),
        ("source revision", described.revision),
        ("made from", str(described.made_from or "")),
        *described.annotations.items(),
        *(("blob", _line(part)) for part in described.parts),
        *(("attached", f"{each.digest} {each.size} bytes {each.type}") for each in described.attachments),
        *(("input", " ".join((each.name, each.version, each.digest))) for each in described.inputs),
    ]
    return [(name, text) for name, text in lines if text]


def _line(part: Part) -> str:
    missing = "" if part.stored else "  MISSING"
    return f"{part.digest} {part.size} bytes {part.media_type}{missing}"


def _part(store: Store, name: str, blob: oci.Blob) -> Part:
    stored = store.stat(name, blob.digest) == blob.size
    return Part(blob.digest, blob.size, blob.media_type, stored)


def describe(store: Store, artifact: Artifact) -> Mapping[str, object]:
    """An artefact of a listing as a program gets it: fields in the order of their use."""
    return {
        "uri": uri(store.url, artifact),
        "kind": artifact.reference.kind,
        "name": artifact.reference.name,
        "tag": artifact.reference.tag,
        "version": artifact.version,
        "published": artifact.created,
        "digest": artifact.digest,
        "size": artifact.size,
        "media_type": artifact.media_type,
        "made_from": artifact.made_from,
        "annotations": dict(artifact.annotations),
    }


def lines(store: Store, rows: Sequence[Brief]) -> Iterator[str]:
    """A listing as JSON: a list with an artefact on each line, a thousand of them at a time."""
    yield "["
    for start in range(0, len(rows), 1000):
        some = rows[start : start + 1000]
        end = "," if start + 1000 < len(rows) else ""
        yield ",\n".join(json.dumps(_described(store.url, row), ensure_ascii=False) for row in some) + end
    yield "]"


def _described(url: str, row: Brief) -> Mapping[str, object]:
    """As `describe`, for a row."""
    seconds, _, fraction = row.created.partition(".")
    return {
        "uri": f"{url}/{row.kind}/{row.name}/{row.tag}",
        "kind": row.kind,
        "name": row.name,
        "tag": row.tag,
        "version": plain(row.version),
        "published": f"{seconds}{f'.{fraction}' if fraction.strip('0') else ''}+00:00",
        "digest": row.digest,
        "size": int(row.size),
        "media_type": plain(row.media_type),
        "made_from": row.made_from or None,
        "channels": row.channels.split(",") if row.channels else [],
        "annotations": dict(json.loads(row.annotations or "[]")),
    }
