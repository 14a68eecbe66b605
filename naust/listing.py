"""What a store holds, and which artefact a person or a program means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn

from common.errors import BadInput, Corrupt, NotFound
from common.model import Artifact, Digest, Kind, Reference
from naust import manifest as oci
from naust.address import parse
from naust.brief import Brief, brief, with_channels
from naust.store.interface import Indexed, Store
from naust.version import split


def _refuse(error: Corrupt) -> NoReturn:
    raise error


def artifacts(
    store: Store, kind: Kind | None = None, name: str | None = None, *, damaged: Callable[[Corrupt], None] = _refuse
) -> tuple[Artifact, ...]:
    """All artefacts, of one kind, of one name (without the kind) or both, newest first. Brief: long annotations are
    left out. `damaged` is told of each one that cannot be read; without it, the first raises Corrupt.
    """
    found = []
    for where, each in _listed(store, f"{kind}/{name or ''}" if kind else "", whole=bool(kind and name)):
        if name not in (None, where.partition("/")[2]):
            continue
        if isinstance(each, Corrupt):
            damaged(each)
        else:
            found.append(each)
    return tuple(sorted(found, key=lambda each: (each.created, each.reference), reverse=True))


def _listed(store: Store, prefix: str, *, whole: bool) -> Iterator[tuple[str, Artifact | Corrupt]]:
    if isinstance(store, Indexed):
        yield from store.artifacts(prefix)
    else:
        # Who knows the whole name need not ask for all names, which large registries do not tell everybody.
        for name in (prefix,) if whole else store.names(prefix):
            yield from ((name, found) for found in _of_name(store, name))


def _of_name(store: Store, name: str) -> Iterator[Artifact | Corrupt]:
    """Asks for several manifests at once where the store answers several."""
    from concurrent.futures import ThreadPoolExecutor

    def look(tag: str) -> Artifact | Corrupt | None:
        try:
            return oci.brief(oci.artifact(name, tag, store.manifest(name, tag)))
        except Corrupt as error:
            return error
        except NotFound:
            return None  # gone since

    tags = list(store.tags(name))
    streams = min(store.traits().streams, len(tags))
    if streams < 2:
        yield from (found for found in map(look, tags) if found)
        return
    with ThreadPoolExecutor(streams) as pool:
        yield from (found for found in pool.map(look, tags) if found)


def rows(store: Store, prefix: str = "", *, annotations: bool = False) -> Iterator[Brief | tuple[str, Corrupt]]:
    """What `artifacts` has, as rows with their channels, or name and error; in no order, name by name."""
    if isinstance(store, Indexed):
        yield from store.rows(prefix, annotations=annotations)
        return
    for name in store.names(prefix):
        found = list(_of_name(store, name))
        yield from ((name, each) for each in found if isinstance(each, Corrupt))
        yield from with_channels(brief(each) for each in found if isinstance(each, Artifact))


def find(store: Store, made_from: Digest, kind: Kind | None = None, name: str | None = None) -> Artifact | None:
    """The newest artefact that was made from this recipe and is whole: all of its blobs are there, of the right size.
    None if there is none. What is damaged does not count, so that a build mends it."""
    for each in artifacts(store, kind, name, damaged=lambda error: None):
        if each.made_from == made_from and is_whole(store, each):
            return each
    return None


def is_whole(store: Store, artifact: Artifact) -> bool:
    """Whether manifest and blobs are there and have their sizes. Does not read the blobs."""
    name = name_of(artifact.reference)
    try:
        read = oci.parse(store.manifest(name, artifact.reference.tag), str(artifact.reference))
    except (Corrupt, NotFound):
        return False
    return all(store.stat(name, blob.digest) == blob.size for blob in read.blobs)


def resolve(store: Store, wanted: Reference | str) -> Artifact:
    """The one artefact that is meant, with all its annotations, its manifest checked.

    Without a tag it is the newest; with a version, the newest of that; with a full tag, that one. Text may also be a
    URI of this store or end with `@sha256:…`, which then must be the digest of what the rest names.
    Raises NotFound, BadInput; Corrupt if the manifest is damaged.
    """
    address = parse(wanted) if isinstance(wanted, str) else parse(str(wanted))
    reference, name = address.reference, name_of(address.reference)
    if address.digest and not reference.tag:
        return _by_digest(store, reference, address.digest)
    tag = reference.tag if reference.tag in store.tags(name) else _newest(store, reference).reference.tag
    found = oci.artifact(name, tag, store.manifest(name, tag))
    if address.digest not in (None, found.digest):
        raise NotFound(
            f"{found.reference} is {found.digest}, not {address.digest}",
            resolution="Leave out the tag to get what has that digest, or the digest to get what has that tag.",
        )
    return found


def name_of(reference: Reference) -> str:
    """`kind/name`, as stores know it."""
    return f"{reference.kind}/{reference.name}"


def _newest(store: Store, reference: Reference) -> Artifact:
    every = artifacts(store, reference.kind, reference.name)
    for each in every:
        if not reference.tag or (split(each.reference.tag) or ("",))[0] == reference.tag:
            return each
    raise _unknown(store, reference, every)


def _by_digest(store: Store, reference: Reference, digest: Digest) -> Artifact:
    for each in artifacts(store, reference.kind, reference.name):
        if each.digest == digest:
            tag = each.reference.tag
            return oci.artifact(name_of(reference), tag, store.manifest(name_of(reference), tag))
    # Not one that a tag stands for; the manifest says by itself which version it is.
    found = oci.artifact(name_of(reference), "untagged", store.manifest(name_of(reference), str(digest)))
    return replace(found, reference=replace(found.reference, tag=""))


def _unknown(store: Store, reference: Reference, others: tuple[Artifact, ...]) -> NotFound:
    if others:
        versions = ", ".join(dict.fromkeys(each.version for each in others))
        return NotFound(f"{store.url} has no {reference}", resolution=f"It has these versions: {versions}.")
    return NotFound(f"{store.url} has no {reference}", resolution=_suggestion(store, reference))


def _suggestion(store: Store, reference: Reference) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name_of(reference), list(store.names()), n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return "`naust list` shows what is there; `smie build` makes images."


def matching(found: tuple[Artifact, ...], pattern: str) -> tuple[Artifact, ...]:
    """Those whose name, `kind/name` or `kind/name:tag` fits a shell pattern. Raises BadInput for an empty one."""
    from fnmatch import fnmatchcase

    if not pattern:
        raise BadInput("the pattern is empty", resolution="Write a name or a pattern, such as 'container/ceph-*'.")
    return tuple(
        each
        for each in found
        if any(
            fnmatchcase(text, pattern) for text in (each.reference.name, name_of(each.reference), str(each.reference))
        )
    )
