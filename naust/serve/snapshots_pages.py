"""Pages about snapshots: which sets and sources there are, their dates and views, and how programs use each.

Plain HTML without a script, from the templates of naust.serve.pages, whose promises hold here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from common.errors import Corrupt, Error, NotFound
from common.model import Kind, Reference
from naust.serve.answer import Answer
from naust.serve.call import Call
from naust.serve.pages import Page, problem, rendered
from naust.serve.pages_commands import Command
from naust.serve.pages_text import Links, safe_base
from naust.serve.snapshots_commands import KEYRING, commands
from naust.serve.snapshots_images import Images
from naust.serve.snapshots_tables import Snapshot, State, Tables
from naust.serve.snapshots_views import NEWEST, View, Views
from naust.serve.tokens import Right

MOST = 200  # dates, or entries of a folder, on one page
_LOOKED_AT = 100_000  # paths of one folder
_UNKNOWN = "https://SERVER"


@dataclass(frozen=True, slots=True)
class Known:
    """One set or source."""

    name: str  # without the kind
    is_set: bool
    sources: tuple[str, ...]
    views: tuple[View, ...]
    tags: tuple[str, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Described:
    """One source within a snapshot, for its section of the page."""

    source: str
    type: str
    files: int
    folder: tuple[str, ...]  # segments of the path of its listing
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Pages:
    """What pages are made from."""

    call: Call
    tables: Tables
    views: Views
    images: Images

    @property
    def links(self) -> Links:
        """Where pages are."""
        return Links(safe_base(self.call.base))

    def page(self, name: str, when: str, path: str) -> Answer:
        """All sets; or one; or one snapshot; or a folder of one. Errors are pages too."""
        try:
            found = self._page(name, when, path)
        except Error as error:
            found = problem(error, base_url=self.call.base)
        return Answer(found.status, {"Content-Type": found.media_type, **dict(found.headers)}, found.body)

    def _page(self, name: str, when: str, path: str) -> Page:
        if not name:
            return rendered("snapshots.html", self.links, known=list(self._every()))
        whole = f"{Kind.SNAPSHOT}/{name}"
        Reference.parse(whole)
        self.call.need(Right.READ, whole)
        if not when:
            return rendered("snapshots.html", self.links, known=[self._known(whole, MOST)], only=name)
        view = self.views.view(whole, when)
        snapshot = self.tables.snapshot(whole, view.digest)
        if path:
            return self._folder(name, when, path, snapshot)
        described = [self._described(name, when, snapshot, state) for state in snapshot.states]
        return rendered("snapshot.html", self.links, name=name, view=view, snapshot=snapshot, described=described)

    def _every(self) -> Iterator[Known]:
        for name in self.views.names():
            if self.call.holder.may(Right.READ, name):
                try:
                    yield self._known(name, 5)
                except (NotFound, Corrupt):
                    continue  # taken away since, or an artefact of another kind; `naust fsck` tells of damage

    def _known(self, name: str, most: int) -> Known:
        tags = self.views.tags(name)
        newest = self.views.view(name, NEWEST)
        snapshot = self.tables.snapshot(name, newest.digest)
        views = [newest, *(self.views.view(name, each) for each in self.views.channels(name) if each != NEWEST)]
        sources = tuple(state.source for state in snapshot.states) if snapshot.is_set else ()
        return Known(
            name.partition("/")[2], snapshot.is_set, sources, tuple(views), tuple(tags[:most]), len(tags[most:])
        )

    def _described(self, name: str, when: str, snapshot: Snapshot, state: State) -> Described:
        folder = ("snapshots", name, when, *((state.source,) if snapshot.is_set else ()))
        url = f"{safe_base(self.call.base) or _UNKNOWN}/{'/'.join(folder)}"
        paths = self._telling(snapshot, state)
        images = (
            f"{Kind.SNAPSHOT}/{name}/{when.lower()}/{image.names[0]}:{image.tag}"
            for source, image in self.images.names(snapshot)
            if source == state.source and image.tag
        )
        lines = commands(state.type, url, paths, images)
        return Described(state.source or name, state.type, self.tables.size(snapshot.name, state), folder, lines)

    def _telling(self, snapshot: Snapshot, state: State) -> list[str]:
        """Some paths of a state: those that commands are made from."""
        prefix = {"apt": "dists/", "files": "", "": ""}.get(state.type)
        if prefix is None:
            return []
        found = list(islice(self.tables.below(snapshot.name, state, prefix), MOST * 10))
        key = self.tables.find(snapshot.name, state, KEYRING)
        return [*found, *((KEYRING,) if key and KEYRING not in found else ())]

    def _folder(self, name: str, when: str, path: str, snapshot: Snapshot) -> Page:
        state, rest = snapshot.split(path)
        if state is None:
            raise NotFound(f"there is no {path}", resolution=f"Look at /snapshots/{name}/{when}/.")
        names: dict[str, None] = {}
        for each in islice(self.tables.below(snapshot.name, state, rest), _LOOKED_AT):
            first, slash, _ = each[len(rest) :].partition("/")
            names[first + slash] = None
        if not names:
            raise NotFound(f"there is no {path} here", resolution=f"Look at /snapshots/{name}/{when}/.")
        entries = sorted(names)
        return rendered(
            "snapshot_folder.html",
            self.links,
            name=name,
            when=when,
            parts_of=path.rstrip("/").split("/"),
            entries=entries[: MOST * 10],
            hidden=len(entries) - MOST * 10,
        )
