"""Dated snapshots of sources, to apt, pip, terraform, curl and people: `/snapshots/<set>/<when>/<source>/<path>`, and
`/snapshots/<source>/<when>/<path>` for one source by itself. Everything comes from the store; nobody else is asked.

A request is answered from one snapshot. Where a view moved while a client was between two requests, what the index that
it read before leads to is still found: files whose paths never get another content are looked for in what the view
stood for before (Debian's by-hash: https://wiki.debian.org/DebianRepository/Format, "indices acquisition via
hashsums"). And all that one connection reads below `dists/` comes from one snapshot, for PINNED seconds: suites of one
`apt-get update` fit together.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import format_datetime
from urllib.parse import quote
from weakref import WeakKeyDictionary

from common.errors import NotFound
from common.model import Kind
from naust import manifest as oci
from naust.serve.answer import BYTES, JSON, Answer
from naust.serve.artefacts import Artefacts
from naust.serve.blobs import sent
from naust.serve.call import Call, name_in
from naust.serve.connection import Connection
from naust.serve.head import Head, accepts_pages
from naust.serve.served import ServedStore
from naust.serve.snapshots_tables import Found, Snapshot, Tables
from naust.serve.snapshots_views import View, Views
from naust.serve.tokens import Right
from naust.source.export import is_lasting

PATH = "/snapshots"
PINNED = 10.0  # seconds
FOR_EVER = "max-age=31536000, immutable"
_HTML = "text/html; charset=utf-8"
_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691, "Content-Types"
_SIMPLE_HTML = "application/vnd.pypi.simple.v1+html"
_OFFERED = {
    _SIMPLE_JSON: "index.json",
    "application/vnd.pypi.simple.latest+json": "index.json",
    _SIMPLE_HTML: "index.html",
    "application/vnd.pypi.simple.latest+html": "index.html",
    "text/html": "index.html",
    "text/*": "index.html",
    "*/*": "index.html",
}
_TEXT = re.compile(r"(?:.*/)?(?:InRelease|Release|Packages|Release\.gpg|[^/]*\.asc|[^/]*\.metadata)")


class Snapshots:
    """The snapshots of a store, as clients see them."""

    def __init__(self, store: ServedStore, artefacts: Artefacts) -> None:
        self._store = store
        self._artefacts = artefacts
        self.tables = Tables(store)
        self.views = Views(store)
        self._pins: WeakKeyDictionary[Connection, tuple[float, View]] = WeakKeyDictionary()

    def read(self, call: Call) -> Answer:
        """GET and HEAD of everything below /snapshots."""
        words = call.head.path.removeprefix(PATH).lstrip("/").split("/", 2)
        name, when, path = (*words, "", "")[:3]
        if name and len(words) < 3 and not call.head.path.endswith("/"):
            return Answer(301, {"Location": f"{quote(words[-1])}/", "Content-Type": BYTES})
        if len(words) < 3 or (not path and accepts_pages(call.head)):
            return self._page(call, name, when, "")
        whole = name_in(f"{Kind.SNAPSHOT}/{name}")
        call.need(Right.READ, whole)
        try:
            return self.file(call, whole, when, path)
        except NotFound:
            if path.endswith("/") and accepts_pages(call.head):
                return self._page(call, name, when, path)
            raise

    def file(self, call: Call, name: str, when: str, path: str) -> Answer:
        """One file of a snapshot, from what the view stands for now. Raises NotFound, Corrupt, Failed."""
        view = self._pinned(call, self.views.view(name, when), path)
        snapshot = self.tables.snapshot(name, view.digest)
        index = self._index(call.head, snapshot, path)
        if isinstance(index, Answer):
            return self._kept(call, view, path, index)
        wanted, media_type = index
        found = self.find(view, wanted)
        if found is None:
            raise self._missing(view, snapshot, path)
        return self._sent(call, view, wanted, found, media_type or media_type_of(wanted, found.media_type))

    def find(self, view: View, path: str) -> Found | None:
        """The blob at a path below a snapshot, or below what the view stood for before if it is a lasting one."""
        for digest in (view.digest, *(self.views.earlier(view) if self._lasts(view, path) else ())):
            try:
                snapshot = self.tables.snapshot(view.name, digest)
            except NotFound:
                continue  # taken away since
            state, rest = snapshot.split(path)
            found = self.tables.find(view.name, state, rest) if state else None
            if found is not None:
                return found
        return None

    def _lasts(self, view: View, path: str) -> bool:
        state, rest = self.tables.snapshot(view.name, view.digest).split(path)
        return state is not None and is_lasting(rest)

    def _pinned(self, call: Call, view: View, path: str) -> View:
        """The view as this connection saw it a moment ago, for the indexes of an archive."""
        if view.fixed or "dists/" not in path:
            return view
        now = time.monotonic()
        since, before = self._pins.get(call.body.connection, (0.0, view))
        if (before.name, before.when) == (view.name, view.when) and now - since < PINNED and since:
            return before
        self._pins[call.body.connection] = (now, view)
        return view

    def _index(self, head: Head, snapshot: Snapshot, path: str) -> tuple[str, str] | Answer:
        """The path of the file that is meant, and its type if the path does not tell it; or where to go instead."""
        state, rest = snapshot.split(path)
        if state is None:
            return path, ""
        found = meant(head, rest, lambda each: self.tables.find(snapshot.name, state, each) is not None)
        return found if isinstance(found, Answer) else (path.removesuffix(rest) + found[0], found[1])

    # What goes out

    def _sent(self, call: Call, view: View, path: str, found: Found, media_type: str) -> Answer:
        head, modified = call.head, _http_date(view)
        if modified and not head.header("if-none-match") and head.header("if-modified-since") == modified:
            # Only for the very date: a view can go back to an older snapshot.
            head = _with(head, "if-none-match", f'"{found.digest}"')
        if modified and head.header("if-range") == modified:
            head = _with(head, "if-range", f'"{found.digest}"')
        answer = self._kept(call, view, path, sent(self._store, head, found.digest, media_type))
        if answer.status == 304:
            # RFC 9110, 8.6 allows it, and without it apt (2.6) takes another connection for its next request.
            size = self._store.stat(view.name, found.digest)
            answer = answer.having(Content_Length=str(size)) if size is not None else answer
        return answer.having(Last_Modified=modified) if modified else answer

    def _kept(self, call: Call, view: View, path: str, answer: Answer) -> Answer:
        """With what caches may do with it, and what browsers may not."""
        whose = "public" if call.anonymous else "private"
        lasting = view.fixed or "by-hash/" in path
        fields = {"Cache-Control": f"{whose}, {FOR_EVER}" if lasting else "no-cache"}
        fields |= {"Vary": "Accept"} if "simple/" in path else {}
        fields["Content-Security-Policy"] = "default-src 'none'; sandbox"
        return replace(answer, headers={**answer.headers, **fields})

    def _missing(self, view: View, snapshot: Snapshot, path: str) -> NotFound:
        what = f"{view.name}:{view.tag or view.when}"
        state, rest = snapshot.split(path)
        if state is None:
            known = ", ".join(each.source for each in snapshot.states)
            return NotFound(f"{what} has no source {path.split('/')[0]!r}", resolution=f"It has {known}.")
        return NotFound(
            f"{what} has no file {rest!r}{f' of {state.source}' if state.source else ''}",
            resolution=f"Look at {PATH}/{view.name.partition('/')[2]}/ for other dates, or have the source mirror it "
            "(sources.hcl) and make a new snapshot.",
        )

    def _page(self, call: Call, name: str, when: str, path: str) -> Answer:
        from naust.serve.snapshots_images import Images
        from naust.serve.snapshots_pages import Pages

        if not call.holder.scopes:
            raise self._artefacts.locked(call, "look around")
        return Pages(call, self.tables, self.views, Images(self._store, self)).page(name, when, path)


def media_type_of(path: str, stored: str) -> str:
    """What a file is served as: as its name says, else as the state says of it."""
    if path.endswith(".json"):
        return JSON
    if _TEXT.fullmatch(path):
        return "text/plain; charset=utf-8"
    named = oci.file_type(path.rpartition("/")[2])
    return named if named != BYTES else stored


def meant(head: Head, path: str, has: Callable[[str], bool]) -> tuple[str, str] | Answer:
    """The path of the file that is meant by one below a source, and its type if the path does not tell it; or where to
    go instead. The simple index of Python packages has two forms under one URL, and names that are written anyhow
    (PEP 691; PEP 503, "Normalized Names"). `has`: whether there is such a file."""
    if not (path == "simple" or path.startswith("simple/")):
        return path, ""
    if not path.endswith("/"):
        if has(f"{path}/index.html"):
            return Answer(301, {"Location": f"{quote(path.rpartition('/')[2])}/", "Content-Type": BYTES})
        return path, ""
    normal = re.sub(r"[-_.]+", "-", path).lower()
    if normal != path and has(f"{normal}index.html"):
        return Answer(301, {"Location": f"../{normal.split('/')[-2]}/", "Content-Type": BYTES})
    wanted = preferred(head.header("accept"))
    if _OFFERED[wanted] == "index.json" and has(f"{path}index.json"):
        return f"{path}index.json", _SIMPLE_JSON
    return f"{path}index.html", _SIMPLE_HTML if wanted.endswith("+html") else _HTML


def preferred(accept: str) -> str:
    """The media type that a client of a simple index likes best of those that are offered (RFC 9110, 12.5.1); the
    earlier of equals; HTML if it names none."""
    best, most = "text/html", 0.0
    for kind, quality in _accepted(accept):
        if kind in _OFFERED and quality > most:
            best, most = kind, quality
    return best


def _accepted(accept: str) -> Iterator[tuple[str, float]]:
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        said = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        yield kind, float(said) if re.fullmatch(r"[01](?:\.[0-9]{0,3})?", said) else 0.0


def _http_date(view: View) -> str:
    return format_datetime(view.date, usegmt=True) if view.date else ""


def _with(head: Head, field: str, value: str) -> Head:
    return replace(head, headers={**head.headers, field: value})
