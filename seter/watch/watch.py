"""`seter watch`: a deployment as it is, every second.

Each source (nodes, routes, metrics) is asked by a thread of its own, again as soon as it has answered and the interval
is over. So the view comes at every interval whatever a source does; what it said last is shown with its age, and a
source that does not answer says so in its heading. What is wanted is read once, at the start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from common.console import Report
from common.errors import Error
from common.model import Event
from common.probe import routes
from common.probe.interface import Execute, bounded, last_line
from common.role import Check
from common.system import WatchList
from seter.checks import executor, make_scene, role_of
from seter.plan import make_plan
from seter.survey import Request, Survey, survey
from seter.watch import metrics
from seter.watch.model import Level, Picture, Row, Section
from seter.watch.nodes import Looked, node_rows, route_rows

AT_ONCE = 4  # routers asked side by side
LONGEST_TRY = 2  # seconds that a router may take
PATIENCE = 2.0  # seconds, at least, until a source that was asked counts as silent
FIRST = 10.0  # seconds that the first picture may wait for every source


@dataclass
class Source:
    """Something that is asked again and again."""

    name: str
    ask: Callable[[], Sequence[Row]]
    rows: Sequence[Row] = ()
    problem: str = ""
    answered: float | None = None  # time.monotonic()
    asked: float | None = None  # when the question began that is still open
    fault: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, stop: threading.Event, every: float) -> None:
        """Ask until `stop`. What is no Error is kept for who looks: it is a fault of ours."""
        while not stop.is_set():
            begun = time.monotonic()
            with self.lock:
                self.asked = begun
            found, problem = None, ""
            try:
                found = tuple(self.ask())
            except Error as error:
                problem = error.message
            except BaseException as fault:  # of a thread, where nobody would see it
                self.fault = fault
                return
            with self.lock:
                self.asked, self.problem = None, problem
                if found is not None:
                    self.rows, self.answered = found, time.monotonic()
            stop.wait(max(0.0, every - (time.monotonic() - begun)))

    def section(self, every: float) -> Section:
        """What it said last, and how long ago. Raises what went wrong in its thread."""
        if self.fault is not None:
            raise self.fault
        now = time.monotonic()
        with self.lock:
            waits = 0.0 if self.asked is None else now - self.asked
            age = None if self.answered is None else now - self.answered
            problem = self.problem
            if not problem and waits > max(PATIENCE, 2 * every):
                problem = f"no answer for {waits:.0f} s"
            return Section(self.name, tuple(self.rows), age, problem)

    @property
    def has_answered(self) -> bool:
        """Once, or it said why it cannot."""
        return self.answered is not None or bool(self.problem) or self.fault is not None


def watch(request: Request, report: Report, every: timedelta) -> Generator[Picture, None, None]:
    """A picture at each interval, without end; the first one when every source has answered, or after 10 s.

    Closing it ends the questions. Raises what `survey` raises, before the first picture.
    """
    seen = survey(replace(request, despite_revoked=True), report)
    sources = sources_of(seen)
    interval, stop = every.total_seconds(), threading.Event()
    for source in sources:
        threading.Thread(target=source.run, args=(stop, interval), name=f"watch {source.name}", daemon=True).start()
    report(Event("watching", str(request.deployment), ", ".join(source.name for source in sources)))
    try:
        yield from _pictures(str(request.deployment), sources, interval)
    finally:
        stop.set()
        seen.provisioner.halt()  # a question that is open would hold up the end


def _pictures(deployment: str, sources: Sequence[Source], every: float) -> Generator[Picture, None, None]:
    begun = time.monotonic()
    while not all(source.has_answered for source in sources) and time.monotonic() - begun < FIRST:
        time.sleep(0.02)
    due = time.monotonic()
    while True:
        yield Picture(deployment, datetime.now(UTC), tuple(source.section(every) for source in sources))
        due = max(due + every, time.monotonic())  # who was held up does not make up for it
        time.sleep(max(0.0, due - time.monotonic()))


def sources_of(seen: Survey) -> list[Source]:
    """Whom to ask: nodes always; routers and a Prometheus where the system names them and they are ours."""
    groups = seen.groups()
    found = [Source("nodes", lambda: _nodes(seen))]
    found += [
        Source(f"routes: {check.name}", _routes(seen, check))
        for check in seen.blueprint.checks
        if check.routes and groups.get(check.on)
    ]
    listed = seen.blueprint.system.watch
    if listed is not None and groups.get(listed.on):
        found.append(Source("metrics", _metrics(seen, listed)))
    return found


def _nodes(seen: Survey) -> Sequence[Row]:
    observed = seen.provisioner.observe(seen.vault.key)
    return node_rows(seen.wanted, observed, make_plan(seen.wanted, observed))


def _routes(seen: Survey, check: Check) -> Callable[[], Sequence[Row]]:
    role = role_of(check, seen)
    scene = make_scene(seen, seen.groups()[check.on], role, check.service)
    value = scene.parameters[check.routes]
    addresses = [str(each) for each in value] if isinstance(value, tuple) else [str(value)]
    expected = len(seen.groups().get(check.expect, ()))
    asked = [(router, address) for address in addresses for router in scene.nodes]

    def ask() -> Sequence[Row]:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            looked = list(threads.map(lambda each: _look(scene.execute, role, *each), asked))
        return route_rows(looked, dict.fromkeys(addresses, expected))

    return ask


def _look(execute: Execute, role: str, router: str, address: str) -> Looked:
    said = execute(router, role, bounded(routes.argv(address), LONGEST_TRY))
    if said.code != 0:
        return Looked(router, address, None, last_line(said))
    try:
        return Looked(router, address, routes.next_hops(said.stdout))
    except (ValueError, TypeError) as error:
        return Looked(router, address, None, str(error))


def _metrics(seen: Survey, listed: WatchList) -> Callable[[], Sequence[Row]]:
    """Of the nodes with a Prometheus the first one that answers."""
    nodes, execute, argv = seen.groups()[listed.on], executor(seen), metrics.argv(listed)
    roles = {node: _last_running(seen, node) for node in nodes}

    def ask() -> Sequence[Row]:
        complaints = []
        for node in nodes:
            said = execute(node, roles[node], argv)
            rows = metrics.rows_of(listed, said.stdout)
            if any(row.level is not Level.WARN or row.numbers for row in rows):
                return rows
            complaints.append(f"{node}: {last_line(said)}")
        raise Error(
            f"Prometheus does not answer: {'; '.join(complaints)}",
            resolution="See it with seter status; seter deploy brings it back.",
        )

    return ask


def _last_running(seen: Survey, node: str) -> str:
    """The role that starts last of those whose process lasts."""
    lasting = [
        seat.role.name
        for seat in seen.blueprint.seats_of(node)
        if seat.role.process is not None and seat.role.process.type != "oneshot"
    ]
    return lasting[-1]
