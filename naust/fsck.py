"""Whether a store is whole: every tag's manifest, all that it consists of, every byte of every blob, the index.

What is damaged can be taken from a second store: only bytes whose digest is the wanted one are put in its place, each
in one step. A name whose manifest is damaged gets the second store's manifest of that name back, but only if the store
itself still has that manifest under its digest, so that nobody slips in another.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from common.console import Report
from common.errors import BadInput, Corrupt, NotFound, Unavailable
from common.files import CHUNK
from common.model import Digest, Event
from naust import reach
from naust.gc import Marks, roots
from naust.manifest import Blob
from naust.store.interface import Collectable, Indexed, Store
from naust.transfer.parallel import each

THREADS = 2
_BATCH = 1000  # blobs that wait for a thread
_EVERY = 5.0  # seconds between two reports of progress
_ROUNDS = 10  # of looking and mending; an artefact that is nested deeper is none
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_SOME = "file/fsck"  # a name for blobs that nothing refers to


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it must be. `what` is bytes, size, missing, manifest or index; `digest` that
    of the blob, `name` and `tag` where it was met; `artifacts` are those that suffer."""

    what: str
    name: str = ""
    tag: str = ""
    digest: Digest | None = None
    size: int | None = None  # that it must have, where that is known
    details: str = ""
    artifacts: tuple[str, ...] = ()
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at and what was found. `size` is in bytes of blobs that were hashed."""

    artifacts: int
    blobs: int
    size: int
    damage: tuple[Damage, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is damaged, or not any more."""
        return all(found.repaired for found in self.damage)


def check(store: Store, *, quick: bool = False, report: Report = lambda event: None) -> Checked:
    """Look at everything; `quick` compares sizes and does not read blobs. Changes nothing. Constant memory but for
    about 140 bytes a blob."""
    look = _Look(store, report)
    report(Event("check", store.url, "every tag"))
    look.hash_all(look.reachable(), quick=quick)
    if isinstance(store, Collectable):
        report(Event("check", store.url, "what no tag leads to"))
        look.hash_all(look.unreachable(), quick=quick)
        look.lost_referrers()
    if isinstance(store, Indexed):
        look.damage += (Damage("index", details=line) for line in store.check_index())
    damage = _once(look.damage)
    if any(found.digest for found in damage):
        damage = _with_artifacts(store, damage)
    return Checked(look.artifacts, look.blobs, look.size, tuple(damage))


def mend(store: Store, other: Store, *, quick: bool = False, report: Report = lambda event: None) -> Checked:
    """Check, take what is damaged from another store, and look again, because what came back may show what else is
    missing. The result has every damage that was met, each with whether it is mended."""
    first = check(store, quick=quick, report=report)
    found, met = first, {_key(one): one for one in first.damage}
    for _ in range(_ROUNDS):
        if not found.damage:
            break
        met |= {_key(one): one for one in repair(store, other, found, report).damage}
        found = check(store, quick=True, report=report)
        if all(_key(one) in met for one in found.damage):
            break
    still = {_key(one) for one in found.damage}
    damage = (replace(one, repaired=one.repaired and key not in still) for key, one in met.items())
    return replace(first, damage=tuple(damage))


def _key(one: Damage) -> object:
    return one.digest or (one.what, one.name, one.tag) if one.what != "index" else (one.what, one.details)


def repair(store: Store, other: Store, found: Checked, report: Report = lambda event: None) -> Checked:
    """Mend what was found with good bytes from another store, and say what was mended. The index is made anew."""
    mended = []
    # Blobs first: a manifest that comes back may be one that names them, and reading it needs its blob.
    for one in sorted(found.damage, key=lambda each: (bool(each.tag), each.what == "index")):
        subject = str(one.digest or (f"{one.name}:{one.tag}" if one.tag else one.what))
        report(Event("repair", subject, one.what))
        done = _repair(store, other, one)
        report(Event("repaired" if done.repaired else "failed", subject, done.details))
        mended.append(done)
    if isinstance(store, Indexed) and any(one.what == "index" or one.tag for one in found.damage):
        store.rebuild_index()
    return replace(found, damage=tuple(mended))


def verdict(store: Store, found: Checked) -> None:
    """Raises Corrupt, with all that is damaged and not mended."""
    left = [one for one in found.damage if not one.repaired]
    if left:
        raise Corrupt(
            f"{store.url} is damaged in {len(left)} places",
            details="\n".join(line(one) for one in left[:200]),
            resolution="`naust fsck --repair OTHER-STORE` takes good bytes from a copy; what no store has must be "
            "pushed or built again, or taken away with `naust rm --force`.",
        )


def line(one: Damage) -> str:
    """One damage for people."""
    where = f"{one.name}:{one.tag}" if one.tag else str(one.digest or "")
    affected = f"; needed by {', '.join(one.artifacts[:5])}" if one.artifacts else ""
    more = f" and {len(one.artifacts) - 5} more" if len(one.artifacts) > 5 else ""
    return f"{one.what}: {' '.join(filter(None, (where, one.details)))}{affected}{more}"


# Looking


class _Look:
    """One look at a store, and what it has found so far."""

    def __init__(self, store: Store, report: Report) -> None:
        self.store, self._report = store, report
        self.artifacts = self.blobs = self.size = 0
        self.damage: list[Damage] = []
        self._seen, self._reached = Marks(), Marks()  # blobs; manifests
        self._lock, self._told = threading.Lock(), time.monotonic()

    def reachable(self) -> Iterator[tuple[str, Blob]]:
        """Every blob that a tag leads to, once, if it is there with its size, and the name it belongs to."""
        for name, tag in roots(self.store):
            try:
                top = reach.tagged(self.store, name, tag)
            except NotFound:
                continue  # gone since it was listed
            except Corrupt as error:
                self.damage.append(Damage("manifest", name, tag, details=f"{error.message}: {error.details}"))
                continue
            finally:
                self.artifacts += 1
            for node in reach.around(self.store, name, top, damaged=lambda error: self._bad(name, error)):  # noqa: B023
                self._reached.add(node.digest)
                yield from self._parts(name, node)

    def _parts(self, name: str, node: reach.Node) -> Iterator[tuple[str, Blob]]:
        for blob in node.read.blobs:
            if self._seen.add(blob.digest):
                wrong = _stat(self.store, name, blob)
                if wrong is not None:
                    self.damage.append(wrong)
                elif not reach.is_manifest(blob):  # those are checked when they are followed
                    yield name, blob

    def unreachable(self) -> Iterator[tuple[str, Blob]]:
        """The other blobs: copies of tagged manifests, what a push has sent, garbage."""
        assert isinstance(self.store, Collectable)
        name = next((name for name, _ in self.store.roots()), _SOME)
        for one in self.store.blobs():
            if one.digest not in self._seen:
                yield name, Blob(one.digest, one.size)

    def hash_all(self, blobs: Iterable[tuple[str, Blob]], *, quick: bool) -> None:
        """Read blobs as they come, some at once."""
        waiting = iter(blobs)
        while batch := list(islice(waiting, _BATCH)):
            each(self._count if quick else self._hash, batch, THREADS)

    def lost_referrers(self) -> None:
        """Signatures and the like that are known of, whose subject is kept, and which are not there."""
        assert isinstance(self.store, Collectable)
        for name, subject, referrer in self.store.dangling():
            if subject in self._reached:
                self.damage.append(Damage("missing", name, digest=referrer, details=f"refers to {subject}"))

    def _bad(self, name: str, error: Corrupt) -> None:
        named = _DIGEST.search(error.message)
        digest = Digest.parse(named[0]) if named else None
        self.damage.append(Damage("manifest", name, digest=digest, details=f"{error.message}: {error.details}"))

    def _hash(self, item: tuple[str, Blob]) -> None:
        name, blob = item
        total = hashlib.new(blob.digest.algorithm)
        try:
            with self.store.read(name, blob.digest) as source:
                while chunk := source.read(CHUNK):
                    total.update(chunk)
        except NotFound:
            return  # collected since, or a name's own that nothing leads to
        self._count(item)
        if total.hexdigest() != blob.digest.hex:
            details = f"its bytes have {total.name}:{total.hexdigest()}"
            self.damage.append(Damage("bytes", name, digest=blob.digest, details=details))

    def _count(self, item: tuple[str, Blob]) -> None:
        with self._lock:
            self.blobs, self.size = self.blobs + 1, self.size + item[1].size
            if time.monotonic() - self._told > _EVERY:
                self._told = time.monotonic()
                self._report(Event("check", self.store.url, f"{self.blobs} blobs, {self.size} bytes"))


def _stat(store: Store, name: str, blob: Blob) -> Damage | None:
    found = store.stat(name, blob.digest)
    if found is None and reach.is_manifest(blob):  # a registry keeps manifests apart
        try:
            found = len(store.manifest(name, str(blob.digest)))
        except (NotFound, Corrupt):
            found = None
    if found == blob.size:
        return None
    what, details = ("missing", "") if found is None else ("size", f"has {found} bytes, not {blob.size}")
    return Damage(what, name, digest=blob.digest, size=blob.size, details=details)


def _once(damage: Iterable[Damage]) -> list[Damage]:
    """A blob is damaged once, however it shows; that its size is wrong says more than that its bytes are."""
    order = ("missing", "size", "bytes", "manifest", "index")
    best: dict[object, Damage] = {}
    for one in sorted(damage, key=lambda found: order.index(found.what)):
        best.setdefault(one.digest or (one.what, one.name, one.tag, one.details), one)
    return list(best.values())


def _with_artifacts(store: Store, damage: Iterable[Damage]) -> list[Damage]:
    """With the artefacts that suffer; every tag is followed once more for that."""
    wanted: dict[Digest, list[str]] = {one.digest: [] for one in damage if one.digest}
    sizes: dict[Digest, tuple[str, int]] = {}
    for name, tag in roots(store):
        for blob in _consists_of(store, name, tag):
            if blob.digest in wanted and f"{name}:{tag}" not in wanted[blob.digest]:
                wanted[blob.digest].append(f"{name}:{tag}")
                sizes[blob.digest] = name, blob.size
    return [_with(one, wanted, sizes) for one in damage]


def _with(one: Damage, wanted: dict[Digest, list[str]], sizes: dict[Digest, tuple[str, int]]) -> Damage:
    if one.digest is None:
        return replace(one, artifacts=(f"{one.name}:{one.tag}",) if one.tag else ())
    name, size = sizes.get(one.digest, (one.name, one.size))
    return replace(one, name=name, size=size, artifacts=tuple(wanted[one.digest]))


def _consists_of(store: Store, name: str, tag: str) -> Iterator[Blob]:
    try:
        top = reach.tagged(store, name, tag)
    except (NotFound, Corrupt):
        return
    for node in reach.around(store, name, top, damaged=lambda error: None):
        yield Blob(node.digest, len(node.data))
        yield from node.read.blobs


# Mending


def _repair(store: Store, other: Store, one: Damage) -> Damage:
    try:
        if one.what == "index":
            return replace(one, repaired=True, details=f"{one.details}; made anew")
        if one.tag:
            return _repair_tag(store, other, one)
        return _repair_blob(store, other, one)
    except Unavailable:
        raise
    except (BadInput, Corrupt, NotFound) as error:
        return replace(one, details=f"{one.details}; not mended: {error.message}".removeprefix("; "))


def _repair_blob(store: Store, other: Store, one: Damage) -> Damage:
    assert one.digest is not None
    if not isinstance(store, Collectable):
        raise BadInput(f"{store.url} takes no bytes in place of others", resolution="Use the registry's own tools.")
    size = other.stat(one.name, one.digest)
    if size is None:  # a registry keeps manifests apart
        data = other.manifest(one.name, str(one.digest))
        store.replace(one.name, one.digest, len(data), io.BytesIO(data))
    else:
        with other.read(one.name, one.digest) as source:
            store.replace(one.name, one.digest, size, source)
    return replace(one, repaired=True)


def _repair_tag(store: Store, other: Store, one: Damage) -> Damage:
    good = other.manifest(one.name, one.tag)
    digest = Digest.of(good)
    if store.stat(one.name, digest) != len(good) and str(digest) not in one.details:
        raise Corrupt(
            f"{other.url} has {digest} under this name, which was never in {store.url}",
            resolution="Take the name away with `naust rm --force` and copy it.",
        )
    if isinstance(store, Collectable):
        store.replace(one.name, digest, len(good), io.BytesIO(good))
        store.mend(one.name, one.tag, good)
        return replace(one, repaired=True)
    raise BadInput(f"{store.url} takes no manifest in place of another", resolution="Use the registry's own tools.")
