from __future__ import annotations

from dataclasses import replace

import pytest

from seter.report.figures import compared, exceeded, moved, reason, total, verdict
from seter.report.model import Allowance, Experiment, Second
from tests.lab.runs import BEGAN, ENVIRONMENT, gateway_power, make_earlier, make_run, slow_store


def test_the_seconds_together() -> None:
    found = total([Second(0, 5, 5, 0, 0.1, 0.2, 3), Second(1, 5, 3, 2, 0.3, 0.9, 2), Second(2)])
    assert (found.sent, found.failed, found.p50, found.p99, found.fewest_routes) == (10, 2, 0.2, 0.9, 2)
    assert total([]).p50 is None


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        (gateway_power(), "all of 2 allowances kept"),
        (slow_store(), "latency, 99th percentile: 1.52 s, at most 1 s"),
        (replace(slow_store(), undone=False, why="no way in"), "what it broke was not mended (no way in)"),
        (replace(gateway_power(), deviated=True), "the steady state was lost"),
        (replace(gateway_power(), deviated=True, why="objects differ"), "objects differ"),
        (replace(gateway_power(), invalid="late"), "late"),
        (replace(gateway_power(), status="interrupted"), "interrupted"),
        (Experiment("a", "b", "skipped", why="not here"), "not here"),
    ],
)
def test_the_reason_is_the_one_that_decided(experiment: Experiment, said: str) -> None:
    assert reason(experiment) == said


def test_what_was_not_measured_is_not_within() -> None:
    assert exceeded(Allowance("x", 3, None, "requests")) == "not measured, at most 3 requests"


def kinds(what: str, now: float, before: float, **changed: bool) -> str:
    one = replace(slow_store(), allowances=(Allowance(what, 10, now, "s", **changed),))
    other = replace(slow_store(), allowances=(Allowance(what, 10, before, "s", **changed),))
    found = compared(replace(make_run(), experiments=(one,)), replace(make_run(), experiments=(other,)))
    return next(each.kind for each in found if each.what.endswith(f": {what}"))


def test_more_is_worse_but_where_at_least_so_much_is_wanted() -> None:
    assert (kinds("x", 2, 1), kinds("x", 1, 2), kinds("x", 1.05, 1)) == ("worse", "better", "same")
    assert (kinds("x", 2, 1, at_least=True), kinds("x", 1, 2, at_least=True)) == ("better", "worse")
    assert (kinds("x", 0, 0), kinds("x", 1, 0), kinds("x", 0, 1)) == ("same", "worse", "better")


def test_experiments_that_came_or_went_are_named() -> None:
    found = {each.what: each for each in compared(make_run(), make_earlier())}
    assert (found["clock-jump"].before, found["clock-jump"].now, found["clock-jump"].kind) == (
        "not there",
        "skipped",
        "other",
    )
    assert compared(make_earlier(), make_run())[0].what == "gateway-power"


def test_a_run_without_load_is_compared_by_its_experiments_alone() -> None:
    silent = replace(make_run(), seconds=())
    assert all("requests" not in each.what or ":" in each.what for each in compared(silent, make_earlier()))


def test_only_what_moved_in_the_environment_is_told() -> None:
    assert [each.what for each in moved(make_run(), make_earlier())] == ["kernel"]
    gone = replace(ENVIRONMENT, seter="0.2.0", machine=())
    found = {each.what: (each.before, each.now) for each in moved(replace(make_run(), environment=gone), make_run())}
    assert found == {"seter": ("0.1.0", "0.2.0"), "cores": ("2", "none"), "memory": ("7.8 GiB", "none")}


def test_the_verdict_is_a_sentence() -> None:
    assert verdict(replace(make_run(), experiments=(gateway_power(),))) == "1 experiment: 1 held."
    assert verdict(replace(make_run(), experiments=(), began=BEGAN)) == "Nothing was broken on purpose."
