"""A source of mode proxy at work: upstream's survey, and each of its files fetched when somebody asks for it first.

Only what the survey lists is ever asked of upstream. A file that many want at once comes once. The survey is made anew
when it is older than `refresh`; where upstream does not answer, the last good one is used, also that of an earlier
server (naust.source.used). What was kept is served without asking anybody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from common.console import Report
from common.errors import BadInput, Conflict, Corrupt, Error, NotFound
from common.model import Digest, Event, Kind
from naust.manifest import Blob
from naust.source import used as form
from naust.source.definition import PROXY, Source
from naust.source.export import is_lasting
from naust.source.fetch import Fetching
from naust.source.interface import Item, Kept, Survey, Upstream
from naust.source.states import fingerprint
from naust.source.upstreams import upstream as made_by
from naust.source.used import Journal, Record, Used
from naust.store.interface import Store
from naust.store.tries import Patience
from naust.transfer.push_blobs import silent
from naust.wire.transport import Transport

REFRESH = 15 * 60.0  # seconds
AGAIN = 20.0  # seconds until upstream is asked again after it did not answer
PATIENT = 5.0  # seconds that a client waits for a new survey where there is an old one
SAVED = 2.0  # seconds at least between two records
EARLIER = 2  # surveys before the present one whose files are still found
PATIENCE = Patience(tries=2, longest=timedelta(seconds=2), altogether=timedelta(seconds=10))  # clients try again too
_NOBODYS = "0" * 64  # of an item that the survey found to be missing


@dataclass(frozen=True, slots=True)
class _View:
    """What clients may ask for: index files that are there, and items that may still have to come."""

    made: Mapping[str, Blob]
    items: Mapping[str, Item]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a source is, for people. `asked`: when upstream gave the survey, seconds since the epoch; 0 for never."""

    name: str
    type: str
    items: int
    used: int
    asked: float
    trouble: str = ""


@dataclass(slots=True)
class Proxy:
    """One source. Any number of threads may use it. `refresh` in seconds."""

    store: Store
    block: Source
    transport: Transport
    refresh: float = REFRESH
    report: Report = silent
    make: Callable[[Source], Upstream] = made_by
    _record: Record | None = None
    _views: tuple[_View, ...] = ()  # the present one first
    _upstream: Upstream | None = None
    _trouble: Error | None = None
    _due: float = 0.0  # when to ask upstream next, by the monotonic clock
    _asking: threading.Event | None = None
    _begun: float = 0.0  # when upstream was asked last
    _loaded: bool = False
    _saved: Digest | None = None  # the record that we published last
    _coming: dict[Digest, Future[Blob]] = field(default_factory=dict)
    _saver: threading.Thread | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def of(cls, store: Store, block: Source, transport: Transport, refresh: float, report: Report) -> Proxy:
        """The proxy of this block. Raises BadInput if it is of another mode, and what its upstream's making does."""
        if block.mode != PROXY:
            raise BadInput(f"{block.name} is of mode {block.mode}", resolution='Write mode = "proxy".')
        made_by(block)
        return cls(store, block, transport, refresh, report)

    @property
    def name(self) -> str:
        """As the store has it: who may read that may use the source."""
        return f"{Kind.SNAPSHOT}/{self.block.name}"

    def standing(self) -> Standing:
        """How it is now; nobody is asked."""
        with self._lock:
            self._load()
            record = self._record
            items, used = (len(record.offered.items), len(record.used)) if record else (0, 0)
            trouble = self._trouble.message if self._trouble else ""
            return Standing(self.block.name, self.block.type, items, used, record.asked if record else 0.0, trouble)

    # What there is

    def find(self, path: str) -> Blob | Item | None:
        """An index file or a file that was used, as a blob; an item that is to be brought first; None for what upstream
        does not have. Raises what the first survey did if there is none."""
        self._see_that_it_is_fresh()
        with self._lock:
            views, used = self._views, (self._record.used.get(path) if self._record else None)
        present = views[0]
        if path in present.made:
            return present.made[path]
        item = present.items.get(path)
        if used is not None and (item is None or item.digest == used.digest) and self._is_there(used):
            return Blob(used.digest, used.size, used.item.media_type)
        if item is None and is_lasting(path):
            item = next((view.items[path] for view in views[1:] if path in view.items), None)
            return item or next((view.made[path] for view in views[1:] if path in view.made), None)
        return item

    def _is_there(self, used: Used) -> bool:
        return self.store.stat(self.name, used.digest) == used.size

    def item(self, path: str) -> Item | None:
        """What upstream has at a path, whether it was used or not."""
        with self._lock:
            return next((view.items[path] for view in self._views if path in view.items), None)

    def has(self, path: str) -> bool:
        """Whether there is such an index file."""
        with self._lock:
            return bool(self._views) and path in self._views[0].made

    def bring(self, item: Item) -> Blob:
        """See that the item is in the store; whoever asks while it comes waits for it.

        Raises NotFound, Denied, Unavailable; Corrupt if upstream has something else; Unwritable if the store is to
        blame.
        """
        assert item.digest is not None  # others are in no view
        with self._lock:
            coming = self._coming.get(item.digest)
            if coming is None:
                mine = self._coming[item.digest] = Future[Blob]()
        blob = self._brought(item, mine) if coming is None else coming.result()
        blob = replace(blob, media_type=item.media_type)
        self._note(item, blob)
        return blob

    def _brought(self, item: Item, future: Future[Blob]) -> Blob:
        assert item.digest is not None
        try:
            blob = self._fetched(item)
            self._note(item, blob)
            future.set_result(blob)
            return blob
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._coming[item.digest]

    def _fetched(self, item: Item) -> Blob:
        with self._lock:
            upstream, used = self._upstream, (self._record.used if self._record else {})
        if upstream is None:  # the survey is that of an earlier server
            upstream = self.make(self.block)
        fetching = Fetching(self.store, self.name, upstream, self.transport, self.report, PATIENCE)
        known = used.get(item.path)
        sizes = {known.digest: known.size} if known else {}
        kept = fetching.has(item, sizes)
        if kept is None:
            kept = fetching.fetch(item)
            self.report(Event("fetched", f"{self.block.name}/{item.path}", str(kept.size)))
        return Blob(kept.digest, kept.size, item.media_type)

    # What was used

    def _note(self, item: Item, blob: Blob) -> None:
        with self._lock:
            record = self._record
            assert record is not None  # without one there is no item
            before = record.used.get(item.path)
            if before is not None and before.digest == blob.digest:
                return
            found = Used(item, blob.digest, blob.size, time.time())
            journal = Journal.of(self.store, self.block.name)
            if journal is not None:
                journal.append(found)
            self._record = replace(record, used={**record.used, item.path: found})
            self._save_soon()

    def _save_soon(self) -> None:
        if self._saver is None:
            self._saver = threading.Thread(target=self._save_all, name=f"record of {self.block.name}", daemon=True)
            self._saver.start()

    def _save_all(self) -> None:
        """Until the record is saved that there is now."""
        wait = SAVED
        while True:
            time.sleep(wait)
            begun, record = time.monotonic(), self._record
            try:
                self._save(record)
            except Error as error:
                self.report(Event("failed", f"record of {self.block.name}", error.message))
            wait = max(SAVED, 10 * (time.monotonic() - begun))
            with self._lock:
                if self._record is record:
                    self._saver = None
                    return

    def _save(self, record: Record | None) -> None:
        """Publish the record, with what other servers of this store saw used."""
        if record is None:
            return
        journal = Journal.of(self.store, self.block.name)
        with self.store.hold(self.name):
            if form.saved_last(self.store, self.block.name) != self._saved:
                with suppress(Corrupt):
                    other = form.load(self.store, self.block.name)
                    record = replace(record, used={**(other.used if other else {}), **record.used})
            self._saved = form.save(self.store, self.block, record)
            if journal is not None:
                journal.settle(record.used)

    # The survey

    def _see_that_it_is_fresh(self) -> None:
        with self._lock:
            self._load()
            if self._views and time.monotonic() < self._due:
                return
            if not self._views and self._trouble is not None and time.monotonic() < self._due:
                raise self._trouble
            asking = self._asking
            if asking is None:
                asking, self._begun = threading.Event(), time.monotonic()
                self._asking = asking
                threading.Thread(
                    target=self._ask, args=(asking,), name=f"survey of {self.block.name}", daemon=True
                ).start()
            # One that hangs holds up those who come early, not each request anew.
            wait = max(0.0, self._begun + PATIENT - time.monotonic()) if self._views else None
        asking.wait(wait)
        with self._lock:
            if not self._views:
                raise self._trouble or NotFound(f"there is no survey of {self.block.name}", resolution="Ask again.")

    def _load(self) -> None:
        """What an earlier server left behind."""
        if self._loaded:
            return
        self._loaded = True
        try:
            self._saved = form.saved_last(self.store, self.block.name)
            record = form.load(self.store, self.block.name, Journal.of(self.store, self.block.name))
        except Corrupt as error:
            self.report(Event("damaged", self.block.name, error.message))
            return
        if record is not None:
            self._record, self._views = record, (_view(record),)
            young = record.defined == fingerprint(self.block)
            self._due = time.monotonic() + (record.asked + self.refresh - time.time() if young else 0.0)

    def _ask(self, asking: threading.Event) -> None:
        wait = self.refresh
        try:
            self._survey()
            self._trouble = None
        except Error as error:
            self._trouble, wait = error, min(self.refresh, AGAIN)
            self.report(Event("failed", self.block.name, error.message))
        except Exception as error:  # else nobody would ever ask again
            self._trouble, wait = _unexpected(self.block, error), AGAIN
            self.report(Event("failed", self.block.name, repr(error)))
        finally:
            with self._lock:
                self._due, self._asking = time.monotonic() + wait, None
            asking.set()

    def _survey(self) -> None:
        last = self._record
        same = last is not None and last.defined == fingerprint(self.block)
        upstream = self.make(self.block)
        survey = upstream.survey(self.transport, last.offered.mark if last and same else "", self.report)
        with self._lock:
            self._upstream = upstream
        if survey is None:
            return
        if last is not None and same:
            _check_date(self.block, last.offered, survey)
        survey = replace(survey, items=tuple(self._sure(survey)))
        made = upstream.index([Kept(item, item.digest, item.size) for item in survey.items if item.digest], survey)
        record = form.record_of(self.store, self.block, survey, time.time(), made, {})
        with self._lock:
            used = self._record.used if self._record else {}
            # With the logins that upstream's URLs may have, which are not stored.
            self._record = record = replace(record, offered=survey, used=used)
            present = _view(record)
            self._views = (present, *(_rest(each, present) for each in self._views[:EARLIER]))
        self._save(record)

    def _sure(self, survey: Survey) -> list[Item]:
        """What can be offered before it is here: that whose digest is known."""
        found = []
        for item in survey.items:
            if item.digest is not None and item.digest.hex != _NOBODYS:
                found.append(item)
            elif not item.may_miss:
                self.report(Event("missing", item.path, "upstream has it not, or names no digest"))
        return found


def _view(record: Record) -> _View:
    return _View(record.made, {item.path: item for item in record.offered.items if item.digest})


def _rest(view: _View, newer: _View) -> _View:
    """What an earlier view has beside: tens of thousands of items are there once."""
    return _View(view.made, {path: item for path, item in view.items.items() if path not in newer.items})


def _check_date(block: Source, last: Survey, survey: Survey) -> None:
    if last.date is not None and survey.date is not None and survey.date < last.date:
        raise Conflict(
            f"{block.name}: upstream went back in time",
            details=f"It is of {survey.date.isoformat()}, the last survey of {last.date.isoformat()}.",
            resolution="The last survey is used on. If upstream is right, take the record away: "
            f"naust rm snapshot/{form.name_of(block.name)}",
        )


def _unexpected(block: Source, error: Exception) -> Error:
    return Error(
        f"{block.name} cannot be surveyed", details=repr(error), resolution="Tell who maintains naust; the log has it."
    )


def kept(store: Store, block: Source) -> tuple[Survey, list[Kept]]:
    """What a new state of the source has: all that was used and still belongs to it. Raises NotFound if nobody ever
    asked for anything."""
    record = form.load(store, block.name, Journal.of(store, block.name))
    if record is None:
        raise form.nothing(block.name)
    found = record.still()
    survey = replace(record.offered, items=tuple(each.item for each in found), mark="")
    return survey, [Kept(each.item, each.digest, each.size) for each in found]
