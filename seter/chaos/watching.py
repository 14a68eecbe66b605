"""What is seen while an experiment lasts: requests of a client behind the routers, and the routers' next hops."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.probe import routes, s3
from common.probe.interface import Execute, last_line
from seter.chaos.allowance import Load
from seter.prove import Cast

EVERY = 1.0  # seconds between two looks at the routers
SETTLE = 2.0  # seconds of load before anything is done


@dataclass(frozen=True, slots=True)
class Hops:
    """Next hops of one router, the fewest over all addresses: how many, and when, in Unix time; None without answer."""

    at: float
    router: str
    count: int | None


@dataclass
class Watching:
    """Runs in threads of its own from `begin` to `end`."""

    execute: Execute
    cast: Cast
    load: Load
    result: dict[str, Any] = field(default_factory=dict)
    hops: list[Hops] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        """Requests run, and have run for a while."""
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._use, self._look)]
        for thread in self._threads:
            thread.start()
        time.sleep(SETTLE)

    def end(self) -> Mapping[str, Any]:
        """Wait until the load has had its time; what it counted."""
        self._threads[0].join()
        self._ended.set()
        self._threads[1].join()
        return self.result

    def _use(self) -> None:
        seconds, rate = str(self.load.seconds), str(self.load.rate)
        argv = (s3.CLIENT, "load", "--seconds", seconds, "--rate", rate, "--json")
        said = self.execute(self.cast.client, self.cast.client_role, argv)
        try:
            self.result.update(json.loads(said.stdout))
        except (ValueError, TypeError):
            self.result.update({"error": last_line(said)})

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
