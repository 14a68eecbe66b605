"""What is seen while an experiment lasts: requests of a client behind the routers, and the routers' next hops."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.errors import Error
from common.probe import routes, s3
from common.probe.interface import Execute
from seter.chaos.allowance import Load, Stop
from seter.prove import Cast

EVERY = 1.0  # seconds between two looks at the routers
SETTLE = 2.0  # seconds of load before anything is done
PROFILE: Mapping[str, object] = {"arrival": "constant", "objects": 40}


@dataclass(frozen=True, slots=True)
class Hops:
    """Next hops of one router, the fewest over all addresses: how many, and when, in Unix time; None without answer."""

    at: float
    router: str
    count: int | None


@dataclass
class Watching:
    """Runs in threads of its own from `begin` to `end`. `stream` is what a command of the client prints, as it comes;
    `stop` is called once when requests fail as `until` says; `stopped` says that it was."""

    execute: Execute
    stream: Callable[[tuple[str, ...]], Iterator[bytes]]
    cast: Cast
    load: Load
    until: Stop
    stop: Callable[[], None]
    result: dict[str, Any] = field(default_factory=dict)
    hops: list[Hops] = field(default_factory=list)
    stopped: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)
    _begun: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        """Requests run, and have run for a while; or nobody could make any."""
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._use, self._look)]
        for thread in self._threads:
            thread.start()
        self._begun.wait(self.load.seconds)
        time.sleep(SETTLE)

    def end(self) -> Mapping[str, Any]:
        """Wait until the load has had its time; what it counted."""
        self._threads[0].join()
        self._ended.set()
        self._threads[1].join()
        return self.result

    def _use(self) -> None:
        load = self.load
        asked = {"connections": load.connections, "timeout": load.timeout, "operations": dict(load.operations)}
        profile = json.dumps({**PROFILE, **asked})
        argv = s3.drive_argv(profile, self.load.seconds, self.load.rate, stream=True)
        told: list[Mapping[str, object]] = []
        try:
            for document in documents(self.stream(argv)):
                self._begun.set()
                if "failures" in document:
                    self.result.update(document)
                else:
                    told.append(document)
                if not self.stopped and self.until.reached(told):
                    self.stopped = True
                    self.stop()
        except Error as error:
            self.result.update({"error": error.message})
        finally:
            self._begun.set()

    def _look(self) -> None:
        while not self._ended.wait(EVERY):
            for router in self.cast.routers:
                self.hops.append(Hops(time.time(), router, self._hops_of(router)))

    def _hops_of(self, router: str) -> int | None:
        counts = []
        for address in self.cast.addresses:
            said = self.execute(router, self.cast.router_role, routes.argv(address))
            try:
                counts.append(routes.next_hops(said.stdout))
            except ValueError:
                return None
            if said.code != 0:
                return None
        return min(counts, default=0)


def documents(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream, one on each line; lines that are none are left out."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield from _document(line)
    yield from _document(rest)


def _document(line: bytes) -> Iterator[dict[str, Any]]:
    try:
        found = json.loads(line)
    except ValueError:
        return
    if isinstance(found, dict):
        yield found
