from __future__ import annotations

from dataclasses import replace

import pytest

from seter.report.model import COMPLETED, SKIPPED, Allowance, Experiment, Outcome
from tests.lab.runs import gateway_power, make_run, slow_store

HELD = gateway_power()


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, Outcome.HELD),
        ({"allowances": ()}, Outcome.HELD),
        ({"allowances": (Allowance("x", 1, 1.01),)}, Outcome.BROKEN),
        ({"allowances": (Allowance("x", 1, None),)}, Outcome.BROKEN),
        ({"allowances": (Allowance("x", 3, 2, at_least=True),)}, Outcome.BROKEN),
        ({"allowances": (Allowance("x", 3, 3, at_least=True),)}, Outcome.HELD),
        ({"deviated": True}, Outcome.BROKEN),
        ({"undone": False}, Outcome.BROKEN),
        ({"undone": False, "status": "interrupted"}, Outcome.BROKEN),
        ({"status": "interrupted", "allowances": (Allowance("x", 1, None),)}, Outcome.STOPPED),
        ({"status": "failed"}, Outcome.STOPPED),
        ({"invalid": "late"}, Outcome.INVALID),
        ({"invalid": "late", "allowances": (Allowance("x", 1, 2),)}, Outcome.INVALID),
        ({"status": SKIPPED, "undone": False}, Outcome.SKIPPED),
    ],
)
def test_how_an_experiment_came_out_follows_from_what_was_seen(changed: dict[str, object], outcome: Outcome) -> None:
    assert replace(HELD, **changed).outcome is outcome


def test_a_run_is_as_good_as_its_worst_experiment() -> None:
    run = make_run()
    assert run.outcome is Outcome.BROKEN
    assert replace(run, experiments=(HELD,)).outcome is Outcome.HELD
    assert replace(run, experiments=(HELD, replace(HELD, status="failed"))).outcome is Outcome.STOPPED
    assert replace(run, experiments=(Experiment("a", "b", SKIPPED),)).outcome is Outcome.SKIPPED


def test_a_run_whose_load_came_late_cannot_have_held_but_can_be_broken() -> None:
    late = replace(make_run(), lag=0.0051)
    assert late.outcome is Outcome.BROKEN
    assert replace(late, experiments=(HELD,)).outcome is Outcome.INVALID
    assert replace(late, experiments=(HELD,), lag=0.005).outcome is Outcome.HELD
    assert replace(late, experiments=(HELD,), lag=None, invalid=("the clock jumped",)).outcome is Outcome.INVALID


def test_status_of_a_journal_that_was_completed_is_the_toolkits_word() -> None:
    assert slow_store().status == COMPLETED == "completed"
