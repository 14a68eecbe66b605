"""A store that passes everything on to another one: what wrappers have in common.

A wrapper changes how something is asked (`_ask`, `_list`) or carried (`read`, `write`, `add`), never what. It is
Collectable and Indexed exactly if the store within is: `wrapped` makes an object of the right class, each of whose
methods is written down here, so that nothing is passed on unseen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from functools import cache
from typing import BinaryIO, TypeVar, cast

from common.errors import Corrupt
from common.model import Artifact, Digest
from naust.brief import Brief
from naust.store.interface import Collectable, Indexed, Referrer, Store, Stored, Traits

T = TypeVar("T")
W = TypeVar("W", bound="Passing")


class Passing(Store):
    """Changes nothing."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def _ask(self, what: str, act: Callable[[], T]) -> T:
        """One question or change; `what` is for people."""
        return act()

    def _list(self, what: str, make: Callable[[], Iterator[T]], key: Callable[[T], object]) -> Iterator[T]:
        """A list that comes bit by bit; `key` tells its items apart."""
        return make()

    @property
    def url(self) -> str:
        return self.inner.url

    def traits(self) -> Traits:
        return self.inner.traits()

    def stat(self, name: str, digest: Digest) -> int | None:
        return self._ask(f"stat {digest}", lambda: self.inner.stat(name, digest))

    def read(
        self, name: str, digest: Digest, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[BinaryIO]:
        return self.inner.read(name, digest, start, length)

    def write(self, name: str, digest: Digest, size: int, source: BinaryIO, *, mount_from: str | None = None) -> None:
        self.inner.write(name, digest, size, source, mount_from=mount_from)

    def add(self, name: str, source: BinaryIO) -> tuple[Digest, int]:
        return self.inner.add(name, source)

    def manifest(self, name: str, reference: str) -> bytes:
        return self._ask(f"read {name}:{reference}", lambda: self.inner.manifest(name, reference))

    def put_manifest(self, name: str, reference: str, manifest: bytes, *, replacing: Digest | None = None) -> Digest:
        def act() -> Digest:
            return self.inner.put_manifest(name, reference, manifest, replacing=replacing)

        return self._ask(f"put {name}:{reference}", act)

    def delete_tag(self, name: str, tag: str, *, expected: Digest | None = None) -> None:
        self._ask(f"delete {name}:{tag}", lambda: self.inner.delete_tag(name, tag, expected=expected))

    def names(self, prefix: str = "") -> Iterator[str]:
        return self._list("list names", lambda: self.inner.names(prefix), str)

    def tags(self, name: str) -> Iterator[str]:
        return self._list(f"list tags of {name}", lambda: self.inner.tags(name), str)

    def referrers(self, name: str, digest: Digest, type: str | None = None) -> Iterator[Referrer]:
        return self._list(
            f"list referrers of {digest}", lambda: self.inner.referrers(name, digest, type), lambda each: each.digest
        )

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        with ExitStack() as stack:
            self._ask(f"hold {name}", lambda: stack.enter_context(self.inner.hold(name)))
            yield


class PassingCollectable(Passing, Collectable):
    """Of a store whose blobs can be taken away."""

    @property
    def _collectable(self) -> Collectable:
        return cast(Collectable, self.inner)

    def blobs(self) -> Iterator[Stored]:
        return self._list("list blobs", self._collectable.blobs, lambda each: each.digest)

    def delete(self, digest: Digest, *, older_than: timedelta = timedelta(0)) -> bool:
        still = _still(older_than)
        return self._ask(f"delete {digest}", lambda: self._collectable.delete(digest, older_than=still()))

    def delete_many(self, digests: Iterable[Digest], *, older_than: timedelta) -> list[Digest]:
        every, still = list(digests), _still(older_than)
        return self._ask("delete blobs", lambda: self._collectable.delete_many(every, older_than=still()))

    def roots(self) -> Iterator[tuple[str, str]]:
        return self._list("list tags", self._collectable.roots, lambda each: each)

    def pushing(self) -> timedelta | None:
        return self._ask("look for pushes", self._collectable.pushing)

    def stale_uploads(self, older_than: timedelta) -> int:
        return self._ask("give up old uploads", lambda: self._collectable.stale_uploads(older_than))

    def tidy(self) -> int:
        return self._ask("tidy up", self._collectable.tidy)

    def dangling(self) -> Iterator[tuple[str, Digest, Digest]]:
        return self._list("list referrers", self._collectable.dangling, lambda each: each)

    def mend(self, name: str, tag: str, manifest: bytes) -> None:
        self._ask(f"mend {name}:{tag}", lambda: self._collectable.mend(name, tag, manifest))

    def replace(self, name: str, digest: Digest, size: int, source: BinaryIO) -> None:
        self._collectable.replace(name, digest, size, source)


class PassingIndexed(Passing, Indexed):
    """Of a store with an index."""

    @property
    def _indexed(self) -> Indexed:
        return cast(Indexed, self.inner)

    def artifacts(self, prefix: str = "") -> Iterator[tuple[str, Artifact | Corrupt]]:
        return self._list("list artefacts", lambda: self._indexed.artifacts(prefix), _artifact)

    def rows(self, prefix: str = "", *, annotations: bool = False) -> Iterator[Brief | tuple[str, Corrupt]]:
        # All at once: a hundred thousand rows one by one, through each wrapper, cost as much as to read the index.
        return iter(self._ask("list artefacts", lambda: list(self._indexed.rows(prefix, annotations=annotations))))

    def check_index(self) -> tuple[str, ...]:
        return self._ask("check the index", self._indexed.check_index)

    def rebuild_index(self) -> None:
        self._ask("make the index anew", self._indexed.rebuild_index)


def wrapped(kind: type[W], inner: Store) -> type[W]:
    """The wrapper class that can do what the store within can."""
    return cast("type[W]", _variant(kind, isinstance(inner, Collectable), isinstance(inner, Indexed)))


@cache
def _variant(kind: type[Passing], collectable: bool, indexed: bool) -> type[Passing]:
    more = [each for each, wanted in ((PassingCollectable, collectable), (PassingIndexed, indexed)) if wanted]
    return type(kind.__name__, (kind, *more), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def _still(older_than: timedelta) -> Callable[[], timedelta]:
    """The same moment in the past, however much later it is asked for: a blob that was renewed meanwhile is not old."""
    begun = time.monotonic()
    return lambda: older_than + timedelta(seconds=time.monotonic() - begun) if older_than else older_than


def _artifact(each: tuple[str, Artifact | Corrupt]) -> object:
    name, found = each
    return (name, str(found)) if isinstance(found, Corrupt) else found.reference
