"""The index that makes a bucket list quickly, though S3 gives 1,000 keys and one manifest a request.

    .index/root/<generation>          JSON: which segments there are, oldest first; the highest generation counts
    .index/segment/<id>.rows .more    what manifests said: see naust.store.s3_segments
    .index/intent/<id>/<name>/<tag>   empty; somebody is about to put or delete this tag, or has
    .index/done/<id>                  empty; and that is over

It cannot lie, because a tag is never changed before an intent says so, and what an intent names is read from the tag
itself: a listing is one LIST of `.index/`, the segments, and a conditional GET for every tag that an intent names. So a
writer that dies at any point leaves at most an intent too many. Intents go away when their tags have been read into a
new segment *after* the change was over; one whose writer died is taken for over after 15 minutes, and a writer that
took longer (it slept) says it again. A new generation is made from the one before it, with compare-and-swap: of two at
once one is thrown away. So the index is kept only where the server can do that.

What others do to tags behind naust's back it does not see; `check` (fsck) does, and `rebuild` mends it. Deleting all
below `.index/` while nobody writes costs time and nothing else.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from common.errors import BadInput, Conflict, Corrupt, Denied, Error
from common.model import Kind, Reference
from naust.brief import Brief
from naust.store.s3_answers import Seen
from naust.store.s3_bucket import Bucket
from naust.store.s3_segments import Segments, Table, described, rows
from naust.version import is_fallback

TOP = ".index/"
SETTLED = timedelta(minutes=15)  # after which a writer that said nothing more is taken for dead
MOST_INTENTS = 64
_LOOKS = 1 / 32  # how often a writer looks whether there are too many
_TRIES = 4
_BATCH = 500  # manifests that are read before the next page of a walk


@dataclass(frozen=True, slots=True)
class Intent:
    """A change of a tag that somebody announced."""

    id: str
    place: str  # kind/name:tag
    age: timedelta
    over: bool


@dataclass(frozen=True, slots=True)
class State:
    """What there is below `.index/`. Generation 0 is none."""

    generation: int
    segments: tuple[tuple[str, int], ...]  # id, rows; oldest first
    intents: tuple[Intent, ...]
    stray: tuple[str, ...]  # `done` without an intent

    @property
    def touched(self) -> set[str]:
        """Tags whose truth is in themselves."""
        return {intent.place for intent in self.intents}


class Index:
    """The index of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._segments = Segments(bucket)

    @contextmanager
    def changing(self, name: str, tag: str) -> Iterator[None]:
        """Around every change of a tag."""
        if is_fallback(tag):
            yield
            return
        intent, begun = self._announce(name, tag), time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            yield
        except Conflict:
            self._over(intent)  # the server said no: it is known what is there
            raise
        if time.clock_gettime(time.CLOCK_BOOTTIME) - begun > SETTLED.total_seconds() / 3:
            intent = self._announce(name, tag)  # the first may have been taken for a dead one's
        self._over(intent)
        if random.random() < _LOOKS:
            with suppress(Error):  # that is somebody else's job as much as ours
                self.compact()

    def rows(self, prefix: str = "", *, annotations: bool = False) -> Iterator[Brief | tuple[str, Corrupt]]:
        """What is listed: see naust.store.interface.Indexed."""
        state, table = self._current(prefix, annotations)
        yield from rows(table)
        if len(state.intents) > MOST_INTENTS:
            with suppress(Error):  # who may only read lists all the same
                self.compact()

    def walked(self, prefix: str = "") -> Table:
        """The truth: every tag with what its manifest says now."""
        table = Table()
        batch: list[Seen] = []
        for seen in self._tags(prefix):
            batch.append(seen)
            if len(batch) == _BATCH:
                self._look([_place(each.key) for each in batch], table)
                batch.clear()
        self._look([_place(each.key) for each in batch], table)
        return table

    def compact(self) -> bool:
        """Read what intents name into a new segment, and forget those that are over; whether there was anything to
        forget. Raises Unavailable and so on."""
        state = self._state()
        if len(state.intents) <= MOST_INTENTS:
            return False
        if not state.generation:
            self.rebuild()
            return True
        table = self._read(state, "", annotations=True)
        fresh = self._look(sorted(state.touched), table)
        segments = self._merged(state, fresh) if fresh.places else state.segments
        self._replace(state, segments, keep=not fresh.places)
        return True

    def rebuild(self) -> None:
        """Read every manifest anew. Others may list and publish meanwhile."""
        for _ in range(_TRIES):
            state = self._state()
            if self._renewed(state, self.walked()):
                return
        raise Conflict("the index is rebuilt by others without a pause", resolution="Run the command again.")

    def check(self) -> tuple[str, ...]:
        """What the index says and the tags do not, and the reverse."""
        if not self._state().generation:
            return ()  # there is none yet
        said, true = self._current("", True)[1], self.walked()
        if not (doubtful := said.differing(true)):
            return ()
        # Somebody may have published in between: what is really wrong is so a second time.
        said, true = self._current("", True)[1], Table()
        self._look(sorted(doubtful), true)
        return tuple(said.lies(place, true) for place in sorted(doubtful & said.differing(true, doubtful)))

    # Reading

    def _current(self, prefix: str, annotations: bool) -> tuple[State, Table]:
        for _ in range(_TRIES):
            state = self._state()
            if not state.generation:
                break
            try:
                table = self._read(state, prefix, annotations)
            except Corrupt:
                continue  # a newer generation took its place meanwhile, or it is damaged
            self._look(sorted(place for place in state.touched if place.startswith(prefix)), table)
            return state, table
        table = self.walked()
        with suppress(Denied, Conflict):
            self._renewed(state, table)
        return state, table.only(prefix)

    def _state(self) -> State:
        for _ in range(_TRIES):
            listed = list(self._bucket.listed(TOP))
            roots = sorted(each.key for each in listed if each.key.startswith(f"{TOP}root/"))
            root = self._bucket.get(roots[-1]) if roots else None
            if roots and root is None:
                continue  # a newer one took its place since
            return _state(listed, roots[-1], root[0]) if root else _state(listed, "", b"")
        raise Conflict("the index changes all the time", resolution="Run the command again.")

    def _read(self, state: State, prefix: str, annotations: bool) -> Table:
        table = Table()
        for each in self._bucket.each(
            lambda segment: self._segments.read(segment[0], prefix, annotations), state.segments
        ):
            table.update(each)
        return table

    def _look(self, places: Sequence[str], table: Table) -> Table:
        """Bring these tags in the table up to date; returns what was not so before."""
        fresh = Table()
        known = [(place, table.etag(place)) for place in places]
        for place, found in zip(places, self._bucket.each(self._tag, known), strict=True):
            if found is None:
                continue
            if found != table.entry(place):
                fresh.put(place, found)
                table.put(place, found)
        return fresh

    def _tag(self, known: tuple[str, str]) -> tuple[str, str] | None:
        """Row and annotations of a tag as it is now; None if it is still what is known, and empty texts if it is
        gone."""
        place, etag = known
        name, _, tag = place.partition(":")
        found = self._bucket.get(f"{name}/{tag}", unless=etag)
        if found is None:
            return "", ""
        data, seen = found
        if not data:  # not modified; or a deleted tag, see naust.store.s3
            return None if etag and seen.etag in (etag, "") else ("", "")
        return described(name, tag, data, seen.etag)

    def _tags(self, prefix: str) -> Iterator[Seen]:
        for kind in sorted(Kind):
            if not f"{kind}/".startswith(prefix[: len(kind) + 1]):
                continue
            within = prefix if len(prefix) > len(kind) else f"{kind}/"
            for seen in self._bucket.listed(within):
                name, _, tag = seen.key.rpartition("/")
                with suppress(BadInput):
                    if seen.size and tag and not is_fallback(tag) and Reference.parse(f"{name}:{tag}").tag == tag:
                        yield seen

    # Writing

    def _announce(self, name: str, tag: str) -> str:
        intent = os.urandom(8).hex()
        self._bucket.put(f"{TOP}intent/{intent}/{name}/{tag}", b"")
        return intent

    def _over(self, intent: str) -> None:
        with suppress(Error):  # then it is taken for over later
            self._bucket.put(f"{TOP}done/{intent}", b"")

    def _renewed(self, state: State, table: Table) -> bool:
        return self._replace(state, (self._segments.write(table.living()),))

    def _merged(self, state: State, fresh: Table) -> tuple[tuple[str, int], ...]:
        """The segments with a new one; it swallows those before it that are not much larger, so they stay few."""
        older = list(state.segments)
        while older and older[-1][1] <= 2 * len(fresh.places):
            swallowed = self._segments.read(older.pop()[0], "", True)
            swallowed.update(fresh)
            fresh = swallowed
        return (*older, self._segments.write(fresh if older else fresh.living()))

    def _replace(self, state: State, segments: tuple[tuple[str, int], ...], *, keep: bool = False) -> bool:
        """Make the next generation, unless nothing changed (`keep`), and take away what it makes superfluous; whether
        ours counts."""
        generation = state.generation + (not keep)
        if not keep:
            document = json.dumps({"format": 1, "segments": segments, "id": os.urandom(8).hex()}).encode()
            try:
                self._bucket.put(_root(generation), document, new=True)
            except Conflict:
                own = self._bucket.get(_root(generation))
                if own is None or own[0] != document:  # else the answer to our first try was lost
                    self._segments.delete({each[0] for each in segments} - {each[0] for each in state.segments})
                    return False
        self._clear(state, generation, {each[0] for each in segments})
        return True

    def _clear(self, state: State, generation: int, living: set[str]) -> None:
        listed = list(self._bucket.listed(TOP))
        roots = [each.key for each in listed if each.key.startswith(f"{TOP}root/")]
        if roots and max(roots) == _root(generation):  # nobody is ahead of us, who may count on what we do not
            replaced = {each[0] for each in state.segments} - living
            self._delete([key for key in roots if key != _root(generation)])
            self._segments.delete(replaced | (self._segments.old(listed, SETTLED) - living))
        over = [intent for intent in state.intents if intent.over or intent.age > SETTLED]
        self._delete([f"{TOP}intent/{each.id}/{each.place.replace(':', '/')}" for each in over])
        self._delete([f"{TOP}done/{each}" for each in (*(each.id for each in over if each.over), *state.stray)])

    def _delete(self, keys: Iterable[str]) -> None:
        for _ in self._bucket.each(self._bucket.delete, list(keys)):
            pass


def _state(listed: Sequence[Seen], root: str, document: bytes) -> State:
    done = {each.key.rpartition("/")[2] for each in listed if each.key.startswith(f"{TOP}done/")}
    intents = tuple(_intent(each, done) for each in listed if each.key.startswith(f"{TOP}intent/"))
    stray = tuple(done - {intent.id for intent in intents})
    try:
        said = json.loads(document or b'{"format": 1, "segments": []}')
        segments = tuple((str(each[0]), int(each[1])) for each in said["segments"])
        number = int(root.rpartition("/")[2] or 0)
        newer = said["format"] != 1
    except (ValueError, KeyError, TypeError, IndexError):
        # Damaged: as if it had no segments that can be read, so that the next generation is made from the tags.
        return State(int(root.rpartition("/")[2] or 0), (("damaged", 0),), intents, stray)
    if newer:
        raise Error("the index was made by a newer naust", resolution="Use that one, or rebuild the index with fsck.")
    return State(number, segments, intents, stray)


def _intent(seen: Seen, done: set[str]) -> Intent:
    _, _, rest = seen.key.partition("/intent/")
    intent, _, place = rest.partition("/")
    name, _, tag = place.rpartition("/")
    return Intent(intent, f"{name}:{tag}", seen.age, intent in done)


def _place(key: str) -> str:
    name, _, tag = key.rpartition("/")
    return f"{name}:{tag}"


def _root(generation: int) -> str:
    return f"{TOP}root/{generation:012}"
