"""Garbage out of a store: every blob that nothing refers to and that is older than a grace period.

What is kept: all that can be reached from a tag. From a manifest to its configuration, layers, children and subject;
from anything kept to whatever names it as subject (signatures, SBOMs, chunk indexes, history), and so on; and what
`naust promote --undo` would go back to. A manifest that cannot be read may hide references, so then nothing is deleted.

Safe beside pushes: a blob is deleted only if nobody wrote or renewed it since the marking began, less the grace period,
nor since the oldest push began that is under way; the store itself compares the age at the moment of the deletion.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from common.console import Report, amount
from common.errors import Corrupt, Denied, NotFound
from common.model import Digest, Event
from naust import manifest as oci
from naust import reach
from naust.store.interface import Collectable, Store, Stored

GRACE = timedelta(hours=24)
UPLOADS = timedelta(hours=6)  # an upload is not given up sooner, whatever the grace; nobody can see if it is alive
_CLOCK = timedelta(milliseconds=50)  # by which a file system's clock may be behind; the kernel's ticks are 1 to 10 ms
_BATCH = 64  # blobs that are deleted under one lock
_EVERY = 5.0  # seconds between two reports of progress


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did, or with `dry_run` would do. Sizes in bytes; `young` is what its age alone keeps."""

    dry_run: bool
    kept: int
    kept_size: int
    deleted: int
    freed: int
    young: int
    young_size: int
    uploads: int
    entries: int
    damaged: tuple[str, ...]


def rows(found: Collected) -> tuple[tuple[str, str, str], ...]:
    """For people: what, how many, how much."""
    done = "would be deleted" if found.dry_run else "deleted"
    return (
        ("kept", str(found.kept), amount(found.kept_size)),
        (done, str(found.deleted), amount(found.freed)),
        ("too young", str(found.young), amount(found.young_size)),
        ("uploads given up", str(found.uploads), ""),
    )


class Marks:
    """Digests in little memory: about 140 bytes for each."""

    def __init__(self) -> None:
        self._raw: set[bytes] = set()

    def add(self, digest: Digest) -> bool:
        """Whether it is new."""
        before = len(self._raw)
        self._raw.add(bytes.fromhex(digest.hex))
        return len(self._raw) > before

    def digests(self) -> Iterator[Digest]:
        """Each of them."""
        for raw in self._raw:
            yield Digest("sha256" if len(raw) == 32 else "sha512", raw.hex())

    def __contains__(self, digest: Digest) -> bool:
        try:
            return bytes.fromhex(digest.hex) in self._raw
        except ValueError:
            return True  # a file that somebody put among the blobs; it is not ours to delete

    def __len__(self) -> int:
        return len(self._raw)


def collect(
    store: Store,
    *,
    grace: timedelta = GRACE,
    dry_run: bool = False,
    despite_damage: bool = False,
    report: Report = lambda event: None,
) -> Collected:
    """Delete what nothing refers to and what is older than `grace`; give up stale uploads. Twice is once.

    Raises Denied if the store collects by itself; Corrupt, with nothing deleted, if a manifest cannot be read, unless
    `despite_damage` takes the risk that it hides references.
    """
    if not isinstance(store, Collectable):
        raise collects_by_itself(store)
    started = time.monotonic()
    push = store.pushing()
    spared = max(grace, push or timedelta(0)) + _CLOCK
    if push is not None and push >= grace:
        report(Event("spare", store.url, f"what is younger than {push.total_seconds():.1f} s may belong to a push"))
    damage: list[Corrupt] = []
    report(Event("mark", store.url, "following every tag"))
    marks = mark(store, damaged=damage.append)
    report(Event("marked", store.url, f"{len(marks)} blobs are referred to"))
    if damage and not despite_damage:
        raise _unsafe(store, damage)
    swept = _sweep(store, marks, started, spared, dry_run=dry_run, report=report)
    uploads = entries = 0
    if not dry_run:
        uploads, entries = _tidy(store, grace, report)
    return Collected(dry_run, *swept, uploads, entries, tuple(error.message for error in damage))


def mark(
    store: Store,
    *,
    damaged: reach.Damaged,
    without: frozenset[tuple[str, str]] = frozenset(),
    names: frozenset[str] | None = None,
) -> Marks:
    """All that is kept. `without` leaves out tags, for asking what would be free without them; `names` follows only
    the tags of these names. Tags that vanish meanwhile do not count."""
    marks, seen, current = Marks(), Marks(), ""
    for name, tag in roots(store):
        if (name, tag) in without or (names is not None and name not in names):
            continue
        if name != current:
            # Referrers are a name's own: the same manifest under another name is looked at again.
            current, seen = name, Marks()
        try:
            top = reach.tagged(store, name, tag)
        except NotFound:
            continue
        except Corrupt as error:
            damaged(error)
            continue
        _mark(store, name, top, marks, seen, damaged)
        _mark_past(store, name, tag, top, marks, seen, damaged)
    return marks


def roots(store: Store) -> Iterator[tuple[str, str]]:
    """Name and tag of everything that is kept because somebody named it."""
    if isinstance(store, Collectable):
        yield from store.roots()
        return
    for name in store.names():
        for tag in store.tags(name):
            yield name, tag


def _mark(store: Store, name: str, top: reach.Node, marks: Marks, seen: Marks, damaged: reach.Damaged) -> None:
    waiting = [top]
    while waiting:
        start = waiting.pop()
        if start.digest in seen:
            continue
        for node in reach.around(store, name, start, damaged=damaged):
            marks.add(node.digest)
            if not seen.add(node.digest):
                continue
            for blob in node.read.blobs:
                marks.add(blob.digest)
            subject = node.read.subject
            if subject and subject != node.refers_to and subject not in seen:
                waiting.extend(_subject(store, name, subject, damaged))


def _subject(store: Store, name: str, subject: Digest, damaged: reach.Damaged) -> Iterator[reach.Node]:
    """A subject need not exist (image specification 1.1, manifest.md, "subject"), but if it is damaged that counts."""
    try:
        data = store.manifest(name, str(subject))
        yield reach.Node(subject, data, oci.parse(data, f"{name}@{subject}"))
    except NotFound:
        return
    except Corrupt as error:
        damaged(error)


def _mark_past(
    store: Store, name: str, tag: str, top: reach.Node, marks: Marks, seen: Marks, damaged: reach.Damaged
) -> None:
    """What `promote --undo` of this channel goes back to."""
    from naust.promote import before, is_channel

    if not is_channel(tag):
        return
    try:
        past = before(store, name, tag, top.digest)
    except Corrupt as error:
        damaged(error)
        return
    if past is not None:
        for node in _subject(store, name, past, damaged):
            _mark(store, name, node, marks, seen, damaged)


def _sweep(
    store: Store, marks: Marks, started: float, spared: timedelta, *, dry_run: bool, report: Report
) -> tuple[int, int, int, int, int, int]:
    assert isinstance(store, Collectable)
    kept = kept_size = young = young_size = 0
    begun = told = time.monotonic()  # ages are of about now, however long the listing takes
    broom = _Broom(store, started, spared, report, dry_run=dry_run)
    for blob in store.blobs():
        if blob.digest in marks:
            kept, kept_size = kept + 1, kept_size + blob.size
        elif blob.age >= spared + timedelta(seconds=begun - started):
            broom.take(blob)
        else:
            young, young_size = young + 1, young_size + blob.size
        if time.monotonic() - told > _EVERY:
            told = time.monotonic()
            report(Event("sweep", store.url, f"{kept} blobs kept, {broom.deleted} deleted"))
    broom.sweep()
    return kept, kept_size, broom.deleted, broom.freed, young + broom.spared, young_size + broom.spared_size


class _Broom:
    """Deletes by the batch, so that one lock serves many."""

    def __init__(self, store: Collectable, started: float, limit: timedelta, report: Report, *, dry_run: bool) -> None:
        self._store, self._started, self._limit, self._report = store, started, limit, report
        self._dry_run = dry_run
        self._waiting: dict[Digest, int] = {}
        self.deleted = self.freed = self.spared = self.spared_size = 0

    def take(self, blob: Stored) -> None:
        """This one may go, if it still is old enough then."""
        self._waiting[blob.digest] = blob.size
        if len(self._waiting) >= _BATCH:
            self.sweep()

    def sweep(self) -> None:
        """Delete those that wait."""
        if not self._waiting:
            return
        gone = set(self._waiting) if self._dry_run else self._delete()
        for digest, size in self._waiting.items():
            if digest in gone:
                self.deleted, self.freed = self.deleted + 1, self.freed + size
            else:
                self.spared, self.spared_size = self.spared + 1, self.spared_size + size
        self._waiting.clear()

    def _delete(self) -> set[Digest]:
        names = " ".join(map(str, self._waiting))
        self._report(Event("delete", f"{len(self._waiting)} blobs", names))
        limit = self._limit + timedelta(seconds=time.monotonic() - self._started)
        gone = set(self._store.delete_many(self._waiting, older_than=limit))
        self._report(Event("deleted", f"{len(gone)} blobs"))
        return gone


def _tidy(store: Collectable, grace: timedelta, report: Report) -> tuple[int, int]:
    report(Event("tidy", "uploads and referrers"))
    patience = max(grace, UPLOADS)
    uploads, entries = store.stale_uploads(patience), store.tidy()
    root = getattr(store, "root", None)
    if isinstance(root, Path):  # a directory, which a server may stand before
        from naust.serve.uploads import sweep

        uploads += sweep(root, patience)
    report(Event("tidied", "uploads and referrers", f"{uploads} uploads given up, {entries} entries removed"))
    return uploads, entries


def collects_by_itself(store: Store) -> Denied:
    """The error for a registry."""
    return Denied(
        f"{store.url} does not say which blobs it has",
        resolution="A registry collects by itself: take tags away with `naust rm`, then run its own collector, such as "
        "`docker-registry garbage-collect`.",
    )


def _unsafe(store: Store, damage: list[Corrupt]) -> Corrupt:
    return Corrupt(
        f"{len(damage)} manifests of {store.url} cannot be read and may refer to anything: nothing was deleted",
        details="\n".join(error.message for error in damage[:100]),
        resolution="Mend them with `naust fsck --repair OTHER-STORE`, or take them away with `naust rm`; "
        "--despite-damage deletes what only they refer to.",
    )
