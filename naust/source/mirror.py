"""`naust mirror`: survey upstream, fetch what the store lacks, index it, publish the source's state.

There is no journal: the store knows which digests it has, and a blob has its name only once it is whole and durable. So
whoever is killed loses what was on its way and nothing else. One bad item never stops the rest; every one is named,
and no state is published over a gap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase

from common.console import Report, amount
from common.errors import Conflict, Corrupt, Error, Partial, Unavailable
from common.model import Digest, Event, Kind
from naust.source import state as form
from naust.source.definition import PROXY, Source
from naust.source.fetch import PATIENCE, Fetching, Unwritable, blob_of, is_sound, offered
from naust.source.interface import Item, Kept, Reads, Survey, Upstream
from naust.source.snapshot import Snapshot, gaps, newest
from naust.source.snapshot import files_of as files_in
from naust.source.states import DEFINED, ITEMS, files_of, fingerprint, publish_state, went_back
from naust.store.interface import Store
from naust.store.tries import Patience
from naust.transfer.parallel import each
from naust.transfer.push_blobs import silent
from naust.wire.transport import Transport, shown

AT_ONCE = 8
SHRINKS = 10  # per cent of the items that may be gone since the last state
_GIVES_UP = 16  # items in a row that upstream did not answer for, until it is left alone
_UNKNOWN = Digest("sha256", "0" * 64)  # of what was only asked for
_EVERY = 2.0  # seconds between two lines on how far it is


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be had. `cause` is the kind of error: NotFound, Corrupt, Unavailable, Denied."""

    path: str
    url: str
    cause: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Mirrored:
    """How it went for one source. `reference` is its newest state, '' if it has none; `fetched` files of `size` bytes
    came now, `present` items were there, or have the same bytes as one that came. `failures` keep it from a new state,
    `missed` may be absent. `error` says why the source as a whole could not be had."""

    source: str
    reference: str = ""
    changed: bool = False
    dry_run: bool = False
    items: int = 0
    present: int = 0
    fetched: int = 0
    size: int = 0
    failures: tuple[Failure, ...] = ()
    missed: tuple[Failure, ...] = ()
    error: str = ""

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failures and not self.error


@dataclass(frozen=True, slots=True)
class How:
    """What may be said beside the sources. `accept` takes an upstream that shrank or went back in time; with `check`
    every byte is read that is there already, and what is damaged comes anew. With `all`, also what nobody used yet of
    sources of mode proxy."""

    accept: bool = False
    all: bool = False
    dry_run: bool = False
    check: bool = False
    at_once: int = AT_ONCE
    patience: Patience = PATIENCE
    now: datetime | None = None


def mirror(
    store: Store,
    sources: Sequence[tuple[Source, Callable[[], Upstream]]],
    transport: Transport,
    how: How | None = None,
    *,
    report: Report = silent,
) -> tuple[Mirrored, ...]:
    """Bring each source up to date. One that cannot be had does not keep the others from it; if it is the only one, its
    error is raised. `check` says whether all went well."""
    found = []
    for block, upstream in sources:
        try:
            found.append(_one(store, block, upstream(), transport, how or How(), report))
        except Unwritable as error:
            raise error.error from error
        except Error as error:
            if len(sources) == 1:
                raise
            report(Event("failed", block.name, error.message))
            found.append(Mirrored(block.name, _reference(_last(store, block, silent)), error=str(error)))
    return tuple(found)


def check(found: Sequence[Mirrored]) -> None:
    """Raises Partial, naming everything that is wrong, unless all went well."""
    wrong = [each for each in found if not each.whole]
    if not wrong:
        return
    lines = [f"{each.source}: {line}" for each in wrong for line in (*each.failures, each.error) if line]
    count = sum(len(each.failures) for each in wrong)
    what = f"{count} file{'' if count == 1 else 's'}" if count else "the source"
    raise Partial(
        f"{', '.join(each.source for each in wrong)}: {what} could not be had",
        details="\n".join(lines),
        resolution="No new state was published of these sources; the last one is served on. Run the command again: "
        "only what is missing is fetched. What may be absent can be named in may_miss.",
    )


def _one(store: Store, block: Source, upstream: Upstream, transport: Transport, how: How, report: Report) -> Mirrored:
    """Bring one source up to date. Raises what its survey raises; Conflict if upstream shrank or went back in time and
    that is not accepted; Unwritable."""
    if block.mode == PROXY and not how.all:
        return _used(store, block, upstream, how, report)
    name, last = f"{Kind.SNAPSHOT}/{block.name}", _last(store, block, report)
    report(Event("survey", block.name))
    survey = upstream.survey(transport, _mark(store, block, last, how.check), report)
    if survey is None:
        assert last is not None  # without a last state there was no mark
        count = int(last.states[0].annotations.get(ITEMS, "0"))
        report(Event("unchanged", block.name, f"{count} items"))
        return Mirrored(block.name, _reference(last), dry_run=how.dry_run, items=count, present=count)
    survey = _allowed(block, survey)
    if not how.accept:
        _check_plausible(block, survey, last)
    run = _Run(Fetching(store, name, upstream, transport, report, how.patience), block.name)
    run.look(survey, how, _sizes(store, survey, last))
    _tell_changed(store, run.kept, last, report)
    if run.failures or how.dry_run:
        return run.result(last, survey, how, changed=False)
    if isinstance(upstream, Reads):
        upstream.reads(lambda kept: store.read(name, kept.digest))
    files = files_of(store, name, run.kept, survey, upstream.index(run.kept, survey))
    artifact, changed = publish_state(
        store, block, survey, files, last, whole=not run.missed, now=how.now, report=report
    )
    return replace(run.result(last, survey, how, changed), reference=str(artifact.reference))


def _used(store: Store, block: Source, upstream: Upstream, how: How, report: Report) -> Mirrored:
    """A state of what was used of a source of mode proxy; nobody is asked for anything. Raises NotFound if nothing."""
    from naust.source.proxy import kept

    name, last = f"{Kind.SNAPSHOT}/{block.name}", _last(store, block, report)
    survey, used = kept(store, block)
    lost = [each for each in used if not _is_whole(store, name, each, how.check)]
    report(Event("used", block.name, f"{len(used)} items"))
    found = Mirrored(block.name, _reference(last), False, how.dry_run, len(used), len(used) - len(lost))
    if lost or how.dry_run:
        return replace(found, failures=tuple(_lost(each) for each in lost))
    files = files_of(store, name, used, survey, upstream.index(used, survey))
    artifact, changed = publish_state(store, block, survey, files, last, whole=False, now=how.now, report=report)
    return replace(found, reference=str(artifact.reference), changed=changed)


def _is_whole(store: Store, name: str, kept: Kept, read: bool) -> bool:
    return store.stat(name, kept.digest) == kept.size and (not read or is_sound(store, name, blob_of(kept)))


def _lost(kept: Kept) -> Failure:
    return Failure(
        kept.item.path, shown(kept.item.url), "Corrupt", "it was used, and is damaged or gone from the store"
    )


@dataclass(slots=True)
class _Run:
    """The items of one survey on their way."""

    fetching: Fetching
    source: str
    kept: list[Kept] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    missed: list[Failure] = field(default_factory=list)
    fetched: int = 0
    size: int = 0
    _silent: int = 0  # items in a row for which upstream did not answer
    _told: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, survey: Survey, how: How, sizes: Mapping[Digest, int]) -> None:
        """Find what is there, then bring or ask for the rest, each content once."""
        wanted = []
        for item in _distinct(survey.items):
            kept = self.fetching.has(item, sizes, read=how.check)
            self.kept.append(kept) if kept else wanted.append(item)
        groups = _of_one_content(wanted)
        known = sum(max(group[0].size, 0) for group in groups)
        self.fetching.report(Event("fetch", self.source, f"{len(groups)} of {len(survey.items)}, {amount(known)}"))
        self._told = time.monotonic()
        act = self._ask if how.dry_run else self._bring

        def one(group: Sequence[Item]) -> None:
            self._group(group, act, len(groups))

        each(one, groups, how.at_once)
        self.kept.sort(key=lambda kept: kept.item.path)
        self.failures.sort(key=lambda failure: failure.path)

    def result(self, last: Snapshot | None, survey: Survey, how: How, changed: bool) -> Mirrored:
        """What to tell."""
        return Mirrored(
            self.source,
            _reference(last),
            changed,
            how.dry_run,
            len(survey.items),
            len(self.kept) - self.fetched,
            self.fetched,
            self.size,
            tuple(self.failures),
            tuple(sorted(self.missed, key=lambda failure: failure.path)),
        )

    def _group(self, group: Sequence[Item], act: Callable[[Item], Kept], count: int) -> None:
        """The first place of several that has the content serves for all."""
        troubles: list[tuple[Item, Error]] = []
        for item in group:
            try:
                kept = self._patiently(item, act)
            except Error as error:
                troubles.append((item, error))
            else:
                self._had(group, kept)
                break
        else:
            for item, trouble in troubles:
                self._failed(item, trouble)
        with self._lock:
            now = time.monotonic()
            if now - self._told < _EVERY:
                return
            self._told = now
        self.fetching.report(Event("progress", self.source, f"{self.fetched} of {count}, {amount(self.size)}"))

    def _patiently(self, item: Item, act: Callable[[Item], Kept]) -> Kept:
        if self._silent >= _GIVES_UP:
            raise Unavailable("not tried: upstream does not answer", resolution="Run the command again later.")
        try:
            kept = act(item)
        except Error as error:
            with self._lock:
                self._silent = self._silent + 1 if isinstance(error, Unavailable) else 0
            raise
        self._silent = 0
        return kept

    def _had(self, group: Sequence[Item], kept: Kept) -> None:
        with self._lock:
            self.kept.extend(Kept(item, kept.digest, kept.size) for item in group)
            self.fetched, self.size = self.fetched + 1, self.size + kept.size
        self.fetching.report(Event("item", kept.item.path, amount(kept.size)))

    def _bring(self, item: Item) -> Kept:
        return self.fetching.fetch(item)

    def _ask(self, item: Item) -> Kept:
        offered(self.fetching, item)
        return Kept(item, item.digest or _UNKNOWN, max(item.size, 0))

    def _failed(self, item: Item, error: Error) -> None:
        kind = next(each.__name__ for each in type(error).__mro__ if each.__module__ == Error.__module__)
        message = "; ".join(filter(None, (error.message, error.details.replace("\n", "; "))))
        failure = Failure(item.path, shown(item.url), kind, message)
        with self._lock:
            (self.missed if item.may_miss else self.failures).append(failure)
        self.fetching.report(Event("missing" if item.may_miss else "failed", item.path, message))


def _last(store: Store, block: Source, report: Report) -> Snapshot | None:
    try:
        return newest(store, block.name)
    except Corrupt as error:
        report(Event("damaged", block.name, f"{error.message}: all of it is looked at again"))
        return None


def _reference(last: Snapshot | None) -> str:
    return str(last.artifact.reference) if last else ""


def _mark(store: Store, block: Source, last: Snapshot | None, read: bool) -> str:
    """Upstream's mark of the last state, if that is what the block asks for and is whole; else '', so that all is
    looked at again: what a crash took away comes back."""
    if last is None or last.states[0].annotations.get(DEFINED) != fingerprint(block):
        return ""
    mark = last.states[0].annotations.get(form.MARK, "")
    try:
        return mark if mark and not gaps(store, last.states[0], read=read) else ""
    except Corrupt:
        return ""


def _sizes(store: Store, survey: Survey, last: Snapshot | None) -> dict[Digest, int]:
    """What the last state knows of sizes that upstream does not tell."""
    unsure = {item.digest for item in survey.items if item.size < 0}
    found: dict[Digest, int] = {}
    if unsure and last is not None:
        with suppress(Corrupt):
            for file in files_in(store, last.states[0]):
                if file.blob.digest in unsure:
                    found[file.blob.digest] = file.blob.size
    return found


def _tell_changed(store: Store, kept: Sequence[Kept], last: Snapshot | None, report: Report) -> None:
    """Whoever offers a file without a digest can change it unseen; then at least it is told."""
    unsure = {each.item.path: each.digest for each in kept if each.item.digest is None}
    if not unsure or last is None:
        return
    with suppress(Corrupt):
        for file in files_in(store, last.states[0]):
            if unsure.get(file.path, file.blob.digest) != file.blob.digest:
                report(Event("changed", file.path, "upstream has other bytes under this name than before"))


def _allowed(block: Source, survey: Survey) -> Survey:
    """With those items that the block says may be absent."""
    if not block.may_miss:
        return survey

    def may(item: Item) -> bool:
        names = (item.path, item.package.name if item.package else "")
        return item.may_miss or any(fnmatchcase(name, pattern) for name in names for pattern in block.may_miss)

    return replace(survey, items=tuple(replace(item, may_miss=may(item)) for item in survey.items))


def _check_plausible(block: Source, survey: Survey, last: Snapshot | None) -> None:
    """Raises Conflict if upstream has much less than before, for the same question, or is older."""
    if last is None:
        return
    said = last.states[0].annotations
    before = int(said.get(ITEMS, "0"))
    if said.get(DEFINED) == fingerprint(block) and len(survey.items) < before - before * SHRINKS / 100:
        raise _implausible(block, f"it has {len(survey.items)} items, and had {before}", last)
    if older := went_back(survey, said):
        raise _implausible(block, older, last)


def _implausible(block: Source, details: str, last: Snapshot) -> Conflict:
    return Conflict(
        f"{block.name}: upstream shrank or went back in time",
        details=f"{details[0].upper()}{details[1:]}.",
        resolution=f"{last.artifact.reference} is served on. If upstream is right, say so: "
        f"naust mirror {block.name} --accept",
    )


def _of_one_content(items: Sequence[Item]) -> list[list[Item]]:
    """Items that have to be the same bytes, together: an update is in its own archive and in the next point release."""
    groups: dict[object, list[Item]] = {}
    for item in items:
        groups.setdefault(item.digest or item.path, []).append(item)
    return list(groups.values())


def _distinct(items: Sequence[Item]) -> list[Item]:
    """Each path once. Raises Corrupt if two contents want one path."""
    found: dict[str, Item] = {}
    for item in items:
        first = found.setdefault(form.checked_path(item.path), item)
        if first.digest != item.digest:
            raise Corrupt(
                f"upstream has two files {item.path}", resolution="Tell whoever runs it; name fewer suites meanwhile."
            )
    return list(found.values())
