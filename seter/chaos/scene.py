"""What the functions that experiments name work on: there is one experiment at a time in a process, and the library
that runs it hands its functions nothing but what stands in its file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.console import Report
from common.errors import BadInput, Error
from common.model import Event
from seter.chaos.allowance import Mark
from seter.chaos.ledger import Due, Ledger
from seter.survey import Request, Survey


@dataclass
class Scene:
    """One deployment that is experimented with. `heal` is an ordinary deploy."""

    seen: Survey
    ledger: Ledger
    report: Report
    heal: Callable[[], None]
    marks: list[Mark] = field(default_factory=list)
    _open: list[tuple[Due, Mark]] = field(default_factory=list)
    stuttering: dict[tuple[str, str], tuple[threading.Event, threading.Thread]] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        """What the operator asked about."""
        return self.seen.request

    @contextmanager
    def changing(self, what: str, node: str = "", due: Due | None = None) -> Iterator[Mark]:
        """Something is done: its way back is on disk before, and people are told. Without a way back it is over when
        it is done. Whoever has to prepare it says `now` to the mark."""
        if due is not None:
            self.ledger.add(due)
        self.report(Event("break", what))
        mark = Mark(what, node, time.time())
        self.marks.append(mark)
        if due is not None:
            self._open.append((due, mark))
        yield mark
        if due is None:
            mark.ended = time.time()

    def take_back(self, ways: Mapping[str, Callable[..., None]], only: Due | None = None) -> list[Error]:
        """Everything that is still done, the last first, or one thing; what could not be taken back stays in the
        ledger."""
        faults = []
        for due in reversed(self.ledger.due):
            if only is not None and due != only:
                continue
            self.report(Event("undo", due.what))
            begun = time.time()
            try:
                ways[due.way](**due.arguments)
            except Error as error:
                faults.append(error)
            else:
                self.ledger.done(due)
                for mark in [mark for other, mark in self._open if other == due and mark.ended is None]:
                    mark.ended = begun
        return faults

    def node(self, name: str) -> str:
        """The name, if there is such a node. Raises BadInput."""
        if name not in self.seen.wanted.nodes:
            raise BadInput(f"there is no node {name!r}", resolution=f"There are: {', '.join(self.seen.wanted.nodes)}.")
        return name


_current: list[Scene] = []


@contextmanager
def on(scene: Scene) -> Iterator[None]:
    """In here `current()` is this one."""
    _current.append(scene)
    try:
        yield
    finally:
        _current.remove(scene)


def current() -> Scene:
    """The deployment that is experimented with. Raises BadInput outside of `seter chaos`."""
    if not _current:
        raise BadInput("this is a part of an experiment of seter's", resolution="Run it by: seter chaos")
    return _current[-1]
