"""Deploys one strategy after the other, measures each under each condition, and puts back what was there.

Only targets that are marked for experiments are touched. Requests go to the gateways' own addresses in turn, so that it
is known which gateway each went through; who answered is in the answer, by a name that its role's status command tells
too. Every second round goes backwards: what changes
slowly on the machine touches all strategies alike, and the last of one round need not be deployed for the next.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from common.bench_shapes import BenchList, Condition, Strategy
from common.catalog import Catalog
from common.console import Report
from common.errors import BadInput, Conflict, Error
from common.model import Event
from common.probe import s3
from seter.bench.compare import Compared, Measured, compare, measured_of, strangers
from seter.bench.definition import FILE, bench_of, chosen, profile_of, variant
from seter.chaos import actions, undo
from seter.chaos.ledger import Ledger
from seter.chaos.run import tidy
from seter.chaos.scene import Scene, on
from seter.chaos.who import answering
from seter.checks import address_of, check_nodes
from seter.deploy import deploy
from seter.prove import Cast, make_cast
from seter.survey import Request, Survey, survey
from seter.traffic import stop_order

AFTER = 2.0  # seconds of requests before something is started anew; the client has stored what it reads by then
Confirm = Callable[[BenchList, Sequence[Strategy], str], None]  # raises BadInput when the answer is no


@dataclass(frozen=True, slots=True)
class Terms:
    """How it is measured: so many rounds, each run so many seconds."""

    rounds: int
    seconds: float


@dataclass
class _Bench:
    request: Request
    seen: Survey
    cast: Cast
    bench: BenchList
    terms: Terms
    profile: str
    report: Report
    names: dict[str, str]  # the node of each backend, by what its answers call it; shared by all strategies

    def addresses(self, condition: Condition | None = None) -> list[str]:
        """Of the gateways, as the client reaches them; the first one's as often as all others' together, if so."""
        found = [address_of(self.seen, self.cast.client, gateway) for gateway in self.cast.gateways]
        more = len(found) - 2 if condition is not None and condition.uneven else 0
        return [*found[:1] * (1 + max(0, more)), *found[1:]]

    def measure(self, strategy: Strategy, condition: Condition, number: int) -> Measured:
        with self._under(condition):
            drive = self._drive(self.addresses(condition), self.terms.seconds)
        if strangers(drive, self.names):  # servers that were started since
            self.names |= answering(self.seen, self.cast.gateways)
        gateways = dict(zip(self.addresses(), self.cast.gateways, strict=True))
        found = measured_of(strategy.name, condition.name, number, drive, gateways, self.names)
        self.report(Event("measured", f"{strategy.name}, {condition.name}", f"p99 {found.p99 * 1e3:.0f} ms"))
        return found

    def _drive(self, addresses: Sequence[str], seconds: float) -> Mapping[str, object]:
        argv = s3.drive_argv(self.profile, seconds, self.bench.rate, addresses)
        said = b"".join(self.seen.provisioner.first(self.cast.client, self.cast.client_role, argv))
        try:
            found = json.loads(said)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("latency", {}).get("p99") is None:
            raise Error(
                f"the client on {self.cast.client} measured nothing",
                resolution="Run seter verify, and seter bench again when all is well.",
            )
        return found

    @contextmanager
    def _under(self, condition: Condition) -> Iterator[None]:
        """What is done is taken back, also after Ctrl-C; what a killed run left, by the next (`seter chaos --undo`)."""
        if condition.cold:
            with self._cold(condition.cold):
                yield
            return
        if not condition.slow:
            yield
            return
        scene = Scene(
            self.seen, Ledger(self.request.keep.folder), self.report, lambda: _heal(self.request, self.report)
        )
        with on(scene):
            try:
                actions.slow(self.cast.gateways[0], condition.slow, condition.percent / 100)
                yield
            finally:
                if faults := scene.take_back(undo.WAYS):
                    raise faults[0]

    @contextmanager
    def _cold(self, role: str) -> Iterator[None]:
        """It begins anew while requests run, and is well before anything else happens. Raises Error."""
        gateway, faults = self.cast.gateways[0], list[Error]()
        within = dict(stop_order(self.seen.blueprint, gateway))[role]

        def restart() -> None:
            time.sleep(AFTER)
            try:
                self.seen.provisioner.restart(gateway, role, within)
            except Error as error:
                faults.append(error)

        thread = threading.Thread(target=restart)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if faults:
            raise faults[0]
        if bad := [str(found) for found in check_nodes(self.seen, [gateway], self.report) if not found.verdict.ok]:
            raise Error(f"{role} on {gateway} was started anew, and {bad[0]}", resolution="Run: seter status")


def in_order(strategies: Sequence[Strategy], rounds: int) -> Iterator[tuple[int, Strategy]]:
    """Each round's number and strategy: forwards and backwards in turn. Pure."""
    for number in range(1, rounds + 1):
        for strategy in strategies if number % 2 else reversed(strategies):
            yield number, strategy


def bench(
    request: Request,
    names: Sequence[str],
    terms: Terms,
    report: Report,
    confirm: Confirm,
    ended: Callable[[Measured], None] = lambda measured: None,
) -> Compared:
    """Compare these strategies, or all; `ended` is told of each measurement.

    Raises BadInput when the target is not marked for experiments, when it has no bench.hcl, or the answer is no;
    BadDefinition for a strategy that is wrong, before anything is touched; Conflict when the deployment is not what the
    definitions say. Whatever ends it, the last thing is an ordinary deploy of the definitions as they are.
    """
    seen = survey(request, report)
    system, target = seen.blueprint.system, seen.blueprint.target
    cast = make_cast(system, target)
    listed = bench_of(system)
    strategies = chosen(listed, names)
    profile = profile_of(system, listed)
    processes = dict(stop_order(seen.blueprint, cast.gateways[0]))
    for condition in listed.conditions:
        for role in {condition.slow, condition.cold} - {"", *processes}:
            raise BadInput(
                f'condition "{condition.name}": {cast.gateways[0]} has no process of {role!r}',
                resolution=f"Mend {system.folder / FILE}; there are: {', '.join(processes)}.",
            )
    with tempfile.TemporaryDirectory(prefix="seter-bench-") as folder:
        catalog = Catalog.open(request.systems)
        variants = {
            each.name: replace(request, systems=variant(catalog, system, target.name, each, Path(folder)))
            for each in strategies
        }
        if not seen.plan.is_empty:
            raise Conflict(
                f"{request.deployment} is not as it should be: {len(seen.plan.steps)} steps are due",
                resolution=f"Run: seter deploy {request.deployment.system} --target {request.deployment.target}",
            )
        confirm(listed, strategies, cast.gateways[0])
        tidy(request, report)
        measured: list[Measured] = []
        backends = answering(seen, cast.gateways)
        try:
            for number, strategy in in_order(strategies, terms.rounds):
                changed = variants[strategy.name]
                _heal(changed, report)
                one = _Bench(changed, survey(changed, report), cast, listed, terms, profile, report, backends)
                for condition in listed.conditions:
                    measured.append(one.measure(strategy, condition, number))
                    ended(measured[-1])
        finally:
            _heal(request, report)
    return compare(measured)


def _heal(request: Request, report: Report) -> None:
    deploy(replace(request, verb="deploy"), report=report, confirm=lambda plan: True)
