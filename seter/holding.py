"""What has to go on holding after nodes were changed.

A check that is missed once has its own time to hold again, and then the whole time is watched anew: a busy machine or a
route that is just being replaced is no reason to go back. What is missed again and again is.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from common.console import Report
from common.model import Event
from seter import checks
from seter.checks import Found
from seter.survey import Survey

PAUSE = 1.0  # seconds between two looks
WORD_EVERY = 5.0  # seconds between two words about it
LAPSES = 2  # so often it may begin anew


@dataclass(frozen=True, slots=True)
class Watch:
    """Checks of these nodes' roles, and those of the system that have these names; nothing is expected of `without`."""

    survey: Survey
    nodes: Sequence[str]
    names: Collection[str]
    without: Collection[str]
    report: Report

    def run(self, length: timedelta) -> list[Found]:
        """What did not hold all this time; empty when everything did."""
        for _ in range(LAPSES + 1):
            missed = self._watch(length)
            if not missed:
                return []
            if still := self._look(wait=True):
                return still
        return missed

    def _watch(self, length: timedelta) -> list[Found]:
        """What was missed first."""
        end, told = time.monotonic() + length.total_seconds(), 0.0
        while (left := end - time.monotonic()) > 0:
            if time.monotonic() - told >= WORD_EVERY:
                told = time.monotonic()
                self.report(Event("watching", ", ".join(self.nodes), f"everything has to hold {left:.0f} s more"))
            if missed := self._look(wait=False):
                return missed
            time.sleep(max(0.0, min(PAUSE, end - time.monotonic())))
        return []

    def _look(self, *, wait: bool) -> list[Found]:
        found = [
            *checks.check_nodes(self.survey, self.nodes, self._quiet, wait=wait),
            *checks.check_system(
                self.survey, self._quiet, only_complete=True, names=self.names, wait=wait, without=self.without
            ),
        ]
        return [one for one in found if not one.verdict.ok]

    def _quiet(self, event: Event) -> None:
        if event.kind == "failed":
            self.report(Event("missed", event.subject))
