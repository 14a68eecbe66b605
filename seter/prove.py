"""`seter prove`: show that a system holds, by using it and by breaking it.

What is used and broken follows from the system's own checks: the check of kind `s3` says which nodes store and read
objects, the check of kind `routes` which group answers for the addresses and who routes to it. A node of that group
loses its power while a load of new connections runs; the load says which requests failed, and when each was begun.
Only targets that are marked for experiments are broken.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from common.console import Report
from common.errors import BadInput, Conflict
from common.model import Event, Verdict
from common.probe import routes, s3
from common.probe.interface import Execute, Said, last_line
from common.role import Check
from common.system import OUTAGE, System, Target
from seter.checks import executor
from seter.deploy import deploy
from seter.survey import Request, Survey, survey

LARGE = 64 << 20  # bytes; such an object goes up in parts
LOAD_SECONDS = 8  # at least
LOAD_RATE = 40  # new connections a second
BEFORE_KILL = 2.0  # seconds of load before the power goes
CUT_WITHIN = 3.0  # seconds within which a node that is gone is routed to no more
CONVERGENCE = 20.0  # seconds within which a node that came back is routed to again


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays which part."""

    client: str
    client_role: str
    routers: tuple[str, ...]
    router_role: str
    gateways: tuple[str, ...]
    victim: str
    addresses: tuple[str, ...]
    outage: float = OUTAGE.total_seconds()  # seconds after the cut for which new requests may fail


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found, in order: each verdict with the seconds that it took, and the routes as they were at first.

    `outage_seconds` is how long after the power cut the last failing request was begun; None when nobody can say.
    """

    steps: tuple[tuple[Verdict, float], ...]
    routes: tuple[str, ...]
    outage_seconds: float | None

    @property
    def held(self) -> bool:
        """Every step came out as expected."""
        return all(verdict.ok for verdict, _ in self.steps)


def prove(request: Request, report: Report, victim: str = "") -> Proof:
    """Use it, break it under load, bring it back by an ordinary deploy, use it again.

    Raises BadInput when the target is not marked for experiments or a part is missing, Conflict when the deployment
    is not what the definitions say: only a whole system can prove anything.
    """
    seen = survey(request, report)
    cast = make_cast(seen.blueprint.system, seen.blueprint.target, victim)
    if not seen.plan.is_empty:
        raise Conflict(
            f"{request.deployment} is not as it should be: {len(seen.plan.steps)} steps are due",
            resolution=f"Run: seter deploy {request.deployment.system} --target {request.deployment.target}",
        )
    return _Proving(seen, cast, report).run(lambda: deploy(request, report=report, confirm=lambda _: True))


def make_cast(system: System, target: Target, victim: str = "") -> Cast:
    """Find the parts in the definitions. Raises BadInput."""
    if not target.experiments:
        raise BadInput(
            f"target {target.name} is not marked for experiments",
            resolution=f"Set experiments = true in {target.file} if its nodes may be broken on purpose.",
        )
    trip, spread = _check(system, "s3"), _check(system, "routes")
    nodes: dict[str, list[str]] = {}
    for node in target.nodes:
        nodes.setdefault(node.group, []).append(node.name)
    gateways = nodes[spread.expect]
    if victim and victim not in gateways:
        raise BadInput(f"{spread.expect} has no node {victim!r}", resolution=f"It has: {', '.join(gateways)}.")
    value = dict(system.parameters)[spread.routes]
    return Cast(
        client=nodes[trip.on][0],
        client_role=_last_role(system, trip.on),
        routers=tuple(nodes[spread.on]),
        router_role=_last_role(system, spread.on),
        gateways=tuple(gateways),
        victim=victim or gateways[0],
        addresses=tuple(str(item) for item in value) if isinstance(value, tuple) else (str(value),),
        outage=target.outage.total_seconds(),
    )


def _check(system: System, kind: str) -> Check:
    for check in system.checks:
        if getattr(check, kind) and check.on:
            return check
    raise BadInput(
        f"system {system.name} has no check of kind {kind} that says on which group it runs",
        resolution=f"Add one to {system.folder / 'system.hcl'}; systems/REFERENCE.md shows how.",
    )


def _last_role(system: System, group: str) -> str:
    """The role that makes a group what it is: the last one that starts."""
    return next(each for each in system.groups if each.name == group).roles[-1].role.name


def outage_of(load: Mapping[str, Any], killed: float, allowed: float = OUTAGE.total_seconds()) -> float | None:
    """Seconds from `killed` (Unix time) to when the last request that failed was due; 0 without failures.

    None when the load did not go on for at least twice the allowed time afterwards, so that nothing can be said.
    """
    if "failures" not in load or load["started_at"] + load["requests"] / load["rate"] < killed + 2 * allowed:
        return None
    since_kill = float(load["started_at"]) - killed
    return max([0.0, *(since_kill + float(failure["planned"]) for failure in load["failures"])])


def route_line(router: str, address: str, text: str) -> str:
    """A router's route as a person reads it, from what `ip -json route show` printed."""
    hops = []
    for route in json.loads(text or "[]"):
        for hop in route.get("nexthops", [route]):
            hops.append(f"{hop.get('gateway') or hop.get('via', {}).get('host')} dev {hop.get('dev')}")
    return f"{router}: {address} via {' and '.join(hops) or 'nothing'}"


@dataclass
class _Load:
    """A load that runs beside us; `result` is filled when it has ended."""

    thread: threading.Thread
    result: dict[str, Any]


@dataclass
class _Proving:
    seen: Survey
    cast: Cast
    report: Report
    steps: list[tuple[Verdict, float]] = field(default_factory=list)

    def run(self, heal: Callable[[], object]) -> Proof:
        cast, whole = self.cast, len(self.cast.gateways)
        self._round_trip("an object of 1 KiB", s3.SIZE)
        self._round_trip("an object of 64 MiB in parts", LARGE)
        self._next_hops("next hops in the routers' kernels", whole)
        shown = tuple(route_line(*found) for found in self._routes())
        with self._down_until_healed():
            with self._load() as load:
                killed = self._kill()
                self._next_hops(f"next hops without {cast.victim}", whole - 1, max(CUT_WITHIN, 2 * cast.outage))
            outage = outage_of(load.result, killed, cast.outage)
            self._judge(load.result, outage)
            with self._step(f"bring {cast.victim} back") as found:
                heal()
                found(True, "an ordinary deploy", "an ordinary deploy")
        self._next_hops(f"next hops with {cast.victim} again", whole, CONVERGENCE)
        self._round_trip("an object after all that", s3.SIZE)
        return Proof(tuple(self.steps), shown, outage)

    @contextmanager
    def _down_until_healed(self) -> Iterator[None]:
        """Whatever ends us here, by Ctrl-C or an error, leaves a node without power: say how it comes back."""
        try:
            yield
        except BaseException:
            system, target = self.seen.blueprint.system.name, self.seen.blueprint.target.name
            again = f"it may be down; bring it back with: seter deploy {system} --target {target}"
            self.report(Event("broken", self.cast.victim, again))
            raise

    @property
    def _execute(self) -> Execute:
        return executor(self.seen)

    @contextmanager
    def _step(self, name: str) -> Iterator[Callable[[bool, str, str], None]]:
        started = time.monotonic()

        def found(ok: bool, measured: str, expected: str) -> None:
            verdict = Verdict(name, ok, measured, expected)
            self.steps.append((verdict, time.monotonic() - started))
            self.report(Event("proved" if ok else "failed", name, measured))

        yield found

    def _round_trip(self, what: str, size: int) -> None:
        with self._step(f"store, read and compare {what}") as found:
            said = self._execute(self.cast.client, self.cast.client_role, s3.argv(size))
            found(said.code == 0, _took(said), "what comes back is what was stored")

    def _next_hops(self, what: str, expected: int, within: float = CUT_WITHIN) -> None:
        """Every router's kernel has so many next hops for every address, within so many seconds."""
        with self._step(what) as found:
            deadline = time.monotonic() + within
            while True:
                counts = [routes.next_hops(text) for _, _, text in self._routes()]
                if set(counts) == {expected} or time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            found(set(counts) == {expected}, ", ".join(map(str, counts)), f"{expected} each")

    def _routes(self) -> list[tuple[str, str, str]]:
        return [
            (router, address, self._execute(router, self.cast.router_role, routes.argv(address)).stdout)
            for router in self.cast.routers
            for address in self.cast.addresses
        ]

    @contextmanager
    def _load(self) -> Iterator[_Load]:
        seconds = max(LOAD_SECONDS, math.ceil(2 * (BEFORE_KILL + self.cast.outage)))
        argv = (s3.CLIENT, "load", "--seconds", str(seconds), "--rate", str(LOAD_RATE), "--json")
        result: dict[str, Any] = {}

        def run() -> None:
            said = self._execute(self.cast.client, self.cast.client_role, argv)
            result.update(_json(said) or {"error": last_line(said)})

        thread = threading.Thread(target=run, name="load")
        thread.start()
        try:
            yield _Load(thread, result)
        finally:
            thread.join()

    def _kill(self) -> float:
        """Cut the victim's power; the moment before, as Unix time."""
        time.sleep(BEFORE_KILL)
        self.report(Event("break", self.cast.victim, "its power is cut"))
        killed = time.time()
        self.seen.provisioner.kill(self.cast.victim)
        return killed

    def _judge(self, load: Mapping[str, Any], outage: float | None) -> None:
        with self._step(f"requests while {self.cast.victim} lost its power") as found:
            if outage is None:
                found(False, str(load.get("error", "the load ended too early")), "a load that goes on")
                return
            failed, total = len(load["failures"]), load["requests"]
            some = f"{failed} of {total} new requests failed, the last begun {outage:.2f} s after it"
            expected = f"none that began later than {self.cast.outage:g} s after it fails"
            found(outage <= self.cast.outage, some if failed else f"none of {total} new requests failed", expected)


def _took(said: Said) -> str:
    answer = _json(said)
    return f"{answer['seconds']:.2f} s" if said.code == 0 and "seconds" in answer else last_line(said)


def _json(said: Said) -> dict[str, Any]:
    try:
        read = json.loads(said.stdout)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def rows(proof: Proof) -> Sequence[Sequence[str]]:
    """The proof as rows of a table: verdict, what, how long, measured, expected."""
    return [
        ("good" if verdict.ok else "BAD", verdict.check, f"{seconds:.1f} s", verdict.measured, verdict.expected)
        for verdict, seconds in proof.steps
    ]
