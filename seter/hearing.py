"""Nodes that go back by themselves when they hear nothing (`confirm` of the rollout block, `cuts_off` of a process).

A change of addresses, routes or the firewall may cut a node off from whoever makes it; then nobody else can undo it.
From before the change until a check of the node holds, the node is told again and again that it can be reached.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

from common.console import Report
from common.errors import Error
from common.model import Event
from seter.checks import Found
from seter.plan import Step
from seter.survey import Survey

OFTEN = 4  # times in `confirm` that a node is told


class Hearing:
    """Of one roll-out."""

    def __init__(self, survey: Survey, report: Report) -> None:
        self._survey, self._report = survey, report
        self._within = survey.blueprint.system.rollout.confirm.total_seconds()
        self._waiting: dict[str, threading.Event] = {}
        self._trials: dict[str, threading.Event] = {}

    def arm(self, node: str, steps: Sequence[Step]) -> None:
        """Before a change of the node, if it may cut it off."""
        processes = {seat.role.name: seat.role.process for seat in self._survey.blueprint.seats_of(node)}
        roles = [step.role for step in steps if (process := processes.get(step.role)) is not None and process.cuts_off]
        if self._within and roles and self._survey.provisioner.arm(node, roles, max(1, int(self._within))):
            self._report(Event("guard", node, f"goes back by itself if it hears nothing for {self._within:.0f} s"))
            self._waiting[node] = threading.Event()
            threading.Thread(target=self._tell, args=(node, self._waiting[node]), daemon=True).start()

    def expect(self, node: str) -> None:
        """It boots something else by itself unless it is told, from now until it is released."""
        self._trials[node] = threading.Event()
        if self._within:
            self._report(Event("guard", node, f"boots its other slot if it hears nothing for {self._within:.0f} s"))
            threading.Thread(target=self._tell, args=(node, self._trials[node]), daemon=True).start()

    def expects(self, node: str) -> bool:
        """Whether it is expected and not released."""
        return node in self._trials

    def release(self, node: str) -> None:
        """It need not be told any more. Twice is once."""
        if node in self._trials:
            self._trials.pop(node).set()

    def conclude(self, found: Iterable[Found]) -> None:
        """Nodes of which a check holds can be reached."""
        for node in {one.node for one in found if one.verdict.ok} & self._waiting.keys():
            self._waiting.pop(node).set()
            self._survey.provisioner.disarm(node)

    def close(self) -> None:
        """Nobody tells them anything any more."""
        for told in (*self._waiting.values(), *self._trials.values()):
            told.set()

    def _tell(self, node: str, done: threading.Event) -> None:
        while not done.wait(self._within / OFTEN):
            with suppress(Error):  # it cannot be reached: that is what it is to notice
                self._survey.provisioner.heard(node)
