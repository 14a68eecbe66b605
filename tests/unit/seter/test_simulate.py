from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.entry import start
from common.system import Rollout
from seter.history import DONE, Run
from seter.simulate import capacity, durations, flows, pictures
from seter.simulate.hashing import HASHES, Consistent, Modulo, Resilient, Router, Threshold

HASH = st.integers(0, HASHES - 1)
ROUTERS = (Modulo, Threshold, Resilient, Consistent)


def one(way: str, gateways: int, event: str) -> flows.Broken:
    (found,) = [each for each in flows.broken(way, gateways) if each.event == event]
    return found


@given(st.sampled_from(ROUTERS), st.sets(st.integers(0, 63), min_size=1), st.lists(HASH, min_size=1))
def test_every_router_sends_to_gateways_that_are_there_and_the_same_flow_the_same_way(
    make: type[Router], there: set[int], hashes: list[int]
) -> None:
    router = make()
    router.set(sorted(there))
    ways = [router.to(hashed) for hashed in hashes]
    assert set(ways) <= there and ways == [router.to(hashed) for hashed in hashes]


@given(st.integers(2, 64), st.data())
def test_consistent_hashing_and_buckets_move_nobody_but_the_flows_of_the_one_that_leaves(
    gateways: int, data: st.DataObject
) -> None:
    gone, hashed = data.draw(st.integers(0, gateways - 1)), data.draw(HASH)
    for router in (Consistent(), Resilient()):
        router.set(range(gateways))
        before = router.to(hashed)
        router.set([n for n in range(gateways) if n != gone])
        assert before == gone or router.to(hashed) == before


@given(st.integers(1, 64), HASH)
def test_shares_of_hashes_are_equal_and_in_order(gateways: int, hashed: int) -> None:
    router = Threshold()
    router.set(range(gateways))
    assert abs(router.to(hashed) - hashed * gateways / HASHES) <= 1
    assert [router.to(n * HASHES // gateways + 1) for n in range(gateways)] == list(range(gateways))


def test_a_plain_router_breaks_a_third_to_a_half_and_the_ring_only_what_was_lost() -> None:
    """Of three, when the middle one leaves a sixth of all flows would not move but for its own: 1/3; else 1/2."""
    assert one("threshold", 3, "leave").mean == pytest.approx(4 / 9, abs=0.01)
    assert one("threshold", 3, "leave").worst == pytest.approx(1 / 2, abs=0.02)
    assert one("threshold", 3, "update").mean == 1.0
    assert one("modulo", 3, "leave").mean == pytest.approx(2 / 3, abs=0.01)
    assert (
        one(flows.RING, 3, "leave").mean == one(flows.RING, 3, "return").mean == one(flows.RING, 3, "update").mean == 0
    )
    assert one(flows.RING, 3, "fail").mean == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("gateways", [2, 16, 64])
def test_the_least_that_can_break_is_one_in_n(gateways: int) -> None:
    for way in ("consistent", "resilient, all busy"):
        assert one(way, gateways, "fail").mean == pytest.approx(1 / gateways, rel=0.15)
    assert one("resilient, all busy", gateways, "return").mean == 0


def test_forwarding_takes_the_hops_of_the_ring_and_lasts_as_long_as_flows() -> None:
    leave, fail, back = flows.forwarding(3, lifetime=100.0)
    assert (leave.most, fail.most, back.most) == (2, 1, 2)
    assert leave.share == pytest.approx(4 / 9, abs=0.01) and fail.share == pytest.approx(1 / 9, abs=0.01)
    assert leave.lasts == pytest.approx(460.5, abs=0.1) and leave.adds == pytest.approx(10e-6)
    assert all(each.most == 63 for each in flows.forwarding(64, lifetime=1.0) if each.event != "fail")


def test_the_same_seed_draws_the_same_flows_and_another_others() -> None:
    assert flows.broken("threshold", 5, seed=3) == flows.broken("threshold", 5, seed=3)
    assert flows.broken("threshold", 5, seed=3) != flows.broken("threshold", 5, seed=4)


@given(st.integers(1, 64), st.integers(0, 3), st.integers(100, 10**6), st.floats(0, 5), st.floats(0.1, 1))
def test_what_may_be_used_is_what_the_rest_can_carry(
    gateways: int, away: int, count: int, variation: float, limit: float
) -> None:
    found = capacity.room(gateways, away, flows=count, variation=variation, limit=limit)
    left = gateways - away
    if left <= 0:
        assert found.usable == 0
    else:
        assert found.usable * gateways / left * found.uneven == pytest.approx(limit)


def test_n_plus_one_is_at_least_one_more() -> None:
    even = {"flows": 10**9, "variation": 0.0, "limit": 1.0}
    assert [capacity.needed(4, away, flows=10**9, variation=0.0, limit=1.0) for away in (0, 1, 2)] == [5, 6, 7]
    assert capacity.needed(3.9, 1, flows=10**9, variation=0.0, limit=1.0) == 5 and even
    assert capacity.needed(2000, 1, flows=50, variation=3.0, limit=0.5) == 0


def test_a_roll_out_goes_by_canaries_and_batches() -> None:
    rules = Rollout(canary=1, at_once=4, watch=timedelta(seconds=10))
    alone = durations.takes(1, rules, 20.0)
    assert (alone.batches, alone.seconds) == (1, pytest.approx(30.0))
    many = durations.takes(10, rules, 20.0)
    assert many.batches == 4  # 1, 4, 4, 1
    assert many.seconds == pytest.approx(4 * 10 + 2 * 20.0 + 2 * durations.batch_seconds(4, 20.0))
    assert 20.0 < durations.batch_seconds(4, 20.0) < 24.0  # the slowest of four
    assert durations.batch_seconds(16, 20.0) == pytest.approx(2 * durations.batch_seconds(8, 20.0))


def test_ten_thousand_nodes_one_by_one_take_days_and_a_hundred_at_once_hours() -> None:
    rules = Rollout(watch=timedelta(seconds=3))
    assert durations.spoken(durations.takes(10_000, rules, 30.0).seconds) == "3.8 days"
    assert durations.spoken(durations.takes(10_000, rules, 30.0, 100).seconds).endswith(" h")


def run(seconds: float, *steps: str, result: str = DONE) -> Run:
    started = datetime(2026, 11, 24, tzinfo=UTC)
    finished = started + timedelta(seconds=seconds)
    return Run("d", "deploy", {}, steps=steps, started=started, finished=finished, result=result)


def test_a_step_is_measured_by_runs_that_changed_nodes_and_got_through() -> None:
    rules = Rollout(watch=timedelta(seconds=5))
    runs = [
        run(60, "gw1 traefik: x, y", "gw2 traefik: x, y"),  # (60 - 2 * 5) / 2
        run(35, "gw1: x, y"),
        run(500, "gw1: x, y", result="interrupted"),
        run(500, "network lan: x, y", "gw1: x, y"),
        run(500),
    ]
    assert durations.measured(runs, rules, ["gw1", "gw2"]) == pytest.approx(27.5)
    assert durations.measured([], rules, ["gw1"]) is None


def test_pictures_are_xml_with_a_line_for_each_name_and_can_be_told_apart_without_colour() -> None:
    axis = pictures.Axis("x", 1, 100, [(1, "1"), (100, "<100>")], log=True)
    drawn = pictures.chart("A & B", axis, pictures.Axis("y", 0, 1, []), {name: [(1, 0), (200, 2)] for name in "abcdef"})
    root = ElementTree.fromstring(drawn)
    assert root.findtext("{*}title") == "A & B"
    lines = [path.attrib for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("stroke-width") == "2"]
    assert len(lines) == 12 and len({each.get("stroke-dasharray") for each in lines}) == 6
    assert {name.text for name in root.iter("{http://www.w3.org/2000/svg}text")} >= {*"abcdef", "<100>", "x", "y"}


def test_the_verb_prints_json_and_refuses_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", "s3-lb", "--gateways", "3,2", "--step", "20s", "--json"]
    assert start("seter", words) == 0
    found = json.loads(capsys.readouterr().out)
    assert {each["gateways"] for each in found["broken"]} == {2, 3}
    assert found["assumed"]["step"] == 20.0 and {"load": 4, "away": 1, "gateways": 7} in found["needed"]
    for wrong in ("1", "65", "x", "3,,4"):
        assert start("seter", ["simulate", "s3-lb", "--gateways", wrong]) == 2
    assert "Write 3,8,16" in capsys.readouterr().err
