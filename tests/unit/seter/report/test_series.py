from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from seter.report.model import Second
from seter.report.series import load_of, together, with_routes

DRIVE = Path(__file__).parents[1] / "fixtures" / "drive.json"  # as the load generator wrote it


@pytest.fixture
def drive() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DRIVE.read_text())
    return read


def test_each_second_of_a_load_is_one_of_the_run(drive: dict[str, Any]) -> None:
    found = load_of(drive, drive["started_at"] - 100.5)
    assert [each.at for each in found.seconds] == [100.5 + each["second"] for each in drive["timeline"]]
    assert sum(each.sent for each in found.seconds) == drive["planned"]
    assert sum(each.failed for each in found.seconds) == drive["failed"]
    assert found.seconds[0].p99 == drive["timeline"][0]["p99"]


def test_requests_that_failed_or_were_late_come_with_time_node_and_reason(drive: dict[str, Any]) -> None:
    found = load_of(drive, drive["started_at"])
    assert len(found.requests) == len(drive["failures"]) + len(drive["late_requests"])
    assert [each.at for each in found.requests] == sorted(each.at for each in found.requests)
    assert {each.node for each in found.requests if not each.reason} <= {"gw1", "gw2", "gw3"}


def test_what_was_sent_is_said_in_a_line(drive: dict[str, Any]) -> None:
    found = load_of(drive, 0)
    assert found.profile.startswith("50 requests/s (poisson), 70 % GET, 20 % PUT, ") and "seed 1" in found.profile
    assert found.lag == drive["lag"]["p99"] and found.invalid == ()


def test_a_load_that_says_it_is_invalid_stays_so(drive: dict[str, Any]) -> None:
    assert load_of(drive | {"invalid": ["the clock jumped"]}, 0).invalid == ("the clock jumped",)


def test_loads_one_after_the_other_are_one(drive: dict[str, Any]) -> None:
    one, two = load_of(drive, drive["started_at"] - 60), load_of(drive, drive["started_at"])
    found = together([one, replace(two, lag=0.009, invalid=("late",), untold=3)])
    assert [each.at for each in found.seconds] == sorted(each.at for each in (*one.seconds, *two.seconds))
    assert (found.lag, found.invalid, found.untold, found.profile) == (0.009, ("late",), 3, one.profile)
    with pytest.raises(BadInput):
        together([])


def test_each_second_has_the_fewest_routes_that_were_seen_in_it() -> None:
    seconds = [Second(0, 5), Second(1, 5), Second(3, 5)]
    looked = [(0.2, 3), (0.7, 2), (1.1, 3), (2.5, 1), (2.9, 2), (4.0, 3)]
    found = [(each.at, each.sent, each.routes) for each in with_routes(seconds, looked)]
    assert found == [(0, 5, 2), (1, 5, 3), (2, 0, 1), (3, 5, None), (4, 0, 3)]
    assert with_routes([], []) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "load"},
        {"format": 2},
        {"timeline": {}},
        {"timeline": [{"second": 0}]},
        {"lag": {"p99": "fast"}},
        {"started_at": float("nan")},
        {"started_at": True},
        {"profile": []},
        {"failures": [1]},
        {"failures_untold": 10**400},
    ],
)
def test_what_cannot_be_read_is_refused_in_words(drive: dict[str, Any], changed: dict[str, Any]) -> None:
    with pytest.raises(BadInput) as refused:
        load_of(drive | changed, 0)
    assert refused.value.resolution


@given(
    st.sampled_from(
        ["started_at", "failures", "late_requests", "timeline", "lag", "profile", "invalid", "late_untold"]
    ),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()) | st.just({"a": 1}),
)
def test_no_value_is_worse_than_refused(name: str, value: object) -> None:
    try:
        load_of(json.loads(DRIVE.read_text()) | {name: value}, 0)
    except BadInput as refused:
        assert refused.resolution
