"""Sources of mode proxy, to apt, pip and curl: `/sources/<source>/<path>`, the same files as a mirrored one has. What
upstream offers is fetched when somebody asks for it first, and kept (naust.source.proxy).

Nothing but what upstream's own index lists is ever asked for. At most `at_once` requests wait for upstreams, so that
these hold up nothing else that the server does; who comes beyond that is told to come again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from common.console import Report
from common.errors import Error, Unavailable
from naust.serve.answer import Answer, problem
from naust.serve.blobs import sent
from naust.serve.call import Call, Failed, failure, name_in
from naust.serve.served import ServedStore
from naust.serve.snapshots import FOR_EVER, meant, media_type_of
from naust.serve.tokens import Right
from naust.source.definition import Source
from naust.source.export import is_lasting
from naust.source.fetch import Unwritable
from naust.source.interface import Item
from naust.transfer.push_blobs import silent

if TYPE_CHECKING:
    from naust.source.proxy import Proxy, Standing

PATH = "/sources"
REFRESH = timedelta(minutes=15)
_NAMED_ONCE = ("apt", "pypi")  # types whose files of one name have one content for ever


@dataclass(frozen=True, slots=True)
class Proxied:
    """Which sources are served, and how. `idle`: how long upstream may say nothing."""

    blocks: tuple[Source, ...] = ()
    refresh: timedelta = REFRESH
    at_once: int = 24
    idle: timedelta = timedelta(seconds=30)
    report: Report = silent


class Sources:
    """All of them."""

    def __init__(self, store: ServedStore, wanted: Proxied) -> None:
        """Raises BadInput for what can be no source of mode proxy."""
        self._store = store
        self._room = threading.BoundedSemaphore(max(1, wanted.at_once))
        self._proxies = _proxies(store, wanted) if wanted.blocks else {}

    def read(self, call: Call) -> Answer:
        """GET and HEAD of everything below /sources."""
        name, _, path = call.head.path.removeprefix(PATH).lstrip("/").partition("/")
        if not name:
            return self._list(call)
        call.need(Right.READ, name_in(f"snapshot/{name}"))
        proxy = self._proxies.get(name)
        if proxy is None:
            known = ", ".join(self._proxies) or "none: name a definition with --sources"
            raise Failed(
                problem(404, "NAME_UNKNOWN", f"no source {name!r} is fetched on first use here", f"It has {known}")
            )
        with _blamed(name):
            return self._file(call, proxy, path)

    def _file(self, call: Call, proxy: Proxy, path: str) -> Answer:
        with self._waiting():
            proxy.find("")  # so that there is an index
        index = meant(call.head, path, proxy.has)
        if isinstance(index, Answer):
            return _kept(call, proxy.block, path, index)
        wanted, media_type = index
        found = proxy.find(wanted)
        if found is None:
            raise Failed(problem(404, "NAME_UNKNOWN", f"{proxy.block.name} has no file {wanted!r}", _NEXT))
        if isinstance(found, Item):
            if call.head.method == "HEAD" and found.size >= 0:
                return _kept(call, proxy.block, wanted, _announced(found))
            with self._waiting():
                found = proxy.bring(found)
        kind = media_type or media_type_of(wanted, found.media_type)
        return _kept(call, proxy.block, wanted, sent(self._store, call.head, found.digest, kind))

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        if not self._room.acquire(blocking=False):
            told = problem(503, "UNAVAILABLE", "too many wait for upstream", "Try again in a moment")
            raise Failed(told.having(Retry_After="1"))
        try:
            yield
        finally:
            self._room.release()

    def _list(self, call: Call) -> Answer:
        """A line for each: who operates the server looks here first."""
        if not call.holder.scopes:
            raise call.refused("look around")
        every = [each for each in self._proxies.values() if call.holder.may(Right.READ, each.name)]
        lines = "".join(_line(each.standing()) for each in every)
        return Answer(200, {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache"}, lines.encode())


_NEXT = "Upstream's index does not list it; look at sources.hcl, or at the path"


def _proxies(store: ServedStore, wanted: Proxied) -> Mapping[str, Proxy]:
    from naust.source.proxy import Proxy
    from naust.store.access import Access
    from naust.wire.transport import Transport

    transport, refresh = Transport(Access(idle=wanted.idle)), wanted.refresh.total_seconds()
    return {block.name: Proxy.of(store, block, transport, refresh, wanted.report) for block in wanted.blocks}


@contextmanager
def _blamed(source: str) -> Iterator[None]:
    """Upstream's errors are not this server's: 502, or 504 where it does not answer."""
    try:
        yield
    except Unwritable as error:
        raise Failed(failure(error.error)) from error
    except Error as error:
        status = 504 if isinstance(error, Unavailable) else 502
        told = problem(
            status, "UNAVAILABLE", f"upstream of {source}: {error.message}", error.details or error.resolution
        )
        raise Failed(told.having(Cache_Control="no-store")) from error


def _announced(item: Item) -> Answer:
    """What a HEAD is told of a file that is still to come."""
    fields = {"Content-Type": media_type_of(item.path, item.media_type), "Content-Length": str(item.size)}
    return Answer(200, fields | {"ETag": f'"{item.digest}"', "Accept-Ranges": "bytes"})


def _kept(call: Call, block: Source, path: str, answer: Answer) -> Answer:
    """With what caches may do with it, and what browsers may not."""
    lasting = block.type in _NAMED_ONCE and is_lasting(path)
    whose = "public" if call.anonymous else "private"
    fields = {"Cache-Control": f"{whose}, {FOR_EVER}" if lasting else "no-cache"}
    fields |= {"Vary": "Accept"} if path.startswith("simple/") else {}
    fields["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return replace(answer, headers={**answer.headers, **fields})


def _line(standing: Standing) -> str:
    asked = (
        f"as of {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(standing.asked))}" if standing.asked else "not asked"
    )
    trouble = f"; {standing.trouble}" if standing.trouble else ""
    where = f"{PATH}/{quote(standing.name)}/"
    return f"{where} {standing.type}: {standing.items} files, {standing.used} used, {asked}{trouble}\n"
