"""What refers to what: from a manifest down to its children and blobs, and across to whatever names it as subject.

Image index: OCI image specification 1.1, image-index.md. Subject and referrers: manifest.md, and distribution
specification 1.1, "Listing Referrers". Docker's own two media types are read as well, since images come with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from common.errors import Corrupt, NotFound
from common.model import Digest
from naust import manifest as oci
from naust.manifest import Blob, Manifest
from naust.store.interface import Store

MOST = 100_000  # manifests below or beside one artefact; more is an attack

Damaged = Callable[[Corrupt], None]


@dataclass(frozen=True, slots=True)
class Node:
    """A manifest on the way. `refers_to` is its subject where it was reached as a referrer."""

    digest: Digest  # with the algorithm by which it is referred to
    data: bytes
    read: Manifest
    refers_to: Digest | None = None


def is_manifest(blob: Blob) -> bool:
    """Whether a descriptor points at a manifest or an index, and not at plain bytes."""
    return blob.media_type in oci.MANIFESTS


def node(store: Store, name: str, digest: Digest, refers_to: Digest | None = None) -> Node:
    """One manifest by its digest. Raises Corrupt, also if it is not there: what names it counts on it."""
    try:
        data = store.manifest(name, str(digest))
    except NotFound as error:
        raise missing(store, name, digest) from error
    return Node(digest, data, oci.parse(data, f"{name}@{digest}"), refers_to)


def tagged(store: Store, name: str, tag: str) -> Node:
    """What a tag stands for. Raises NotFound, Corrupt."""
    data = store.manifest(name, tag)
    return Node(Digest.of(data), data, oci.parse(data, f"{name}:{tag}"))


def below(store: Store, name: str, top: Node, *, damaged: Damaged | None = None) -> Iterator[Node]:
    """`top` and every manifest below it, each once, parents first. Raises Corrupt if one is damaged or missing, unless
    `damaged` is told of it instead."""
    yield from _walk(store, name, top, across=False, damaged=damaged)


def around(store: Store, name: str, top: Node, *, damaged: Damaged | None = None) -> Iterator[Node]:
    """As `below`, and whatever refers to any of them as its subject, and to that, and so on."""
    yield from _walk(store, name, top, across=True, damaged=damaged)


def _walk(store: Store, name: str, top: Node, *, across: bool, damaged: Damaged | None) -> Iterator[Node]:
    seen = {top.digest}
    waiting: deque[Node | tuple[Digest, Digest | None]] = deque([top])
    while waiting:
        here = waiting.popleft()
        try:
            if not isinstance(here, Node):
                here = node(store, name, *here)
            yield here
            for each in _next(store, name, here, across):
                if each[0] not in seen:
                    seen.add(each[0])
                    waiting.append(each)
            if len(seen) > MOST:
                raise too_many(name, top.digest)
        except Corrupt as error:
            if damaged is None:
                raise
            damaged(error)


def _next(store: Store, name: str, here: Node, across: bool) -> Iterator[tuple[Digest, Digest | None]]:
    yield from ((blob.digest, None) for blob in here.read.children if is_manifest(blob))
    if across:
        yield from ((each.digest, here.digest) for each in store.referrers(name, here.digest))


def missing(store: Store, name: str, digest: Digest) -> Corrupt:
    """The error for a manifest that another one names and that is not there."""
    return Corrupt(
        f"{name}@{digest} is not in {store.url}, though something there names it",
        resolution="Push or copy the artefact again; only what is missing is sent.",
    )


def too_many(name: str, digest: Digest) -> Corrupt:
    """The error for an artefact that consists of more manifests than anything real."""
    return Corrupt(
        f"{name}@{digest} consists of more than {MOST} manifests", resolution="Take it away: nothing real needs that."
    )
