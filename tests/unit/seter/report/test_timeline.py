from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seter.report.model import Fault, Second
from seter.report.timeline import COLUMNS, HEIGHT, LANE, Line, Panel, make_timeline
from tests.lab.runs import make_second

SECONDS = [make_second(at) for at in range(120)]


def panel(seconds: list[Second], title: str, begin: float = 0, end: float = 120) -> Panel:
    return next(each for each in make_timeline(seconds, (), begin, end).panels if each.title.startswith(title))


def points(line: Line) -> list[tuple[float, float]]:
    pairs = [each.split(",") for piece in line.pieces for each in piece.split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_there_is_a_picture_of_each_thing_that_was_measured() -> None:
    titles = [each.title for each in make_timeline(SECONDS, (), 0, 120).panels]
    assert titles == ["Requests a second", "Failed requests a second", "Latency", "Routes: next hops"]
    only_routes = [Second(at, routes=3) for at in range(5)]
    assert [each.title for each in make_timeline(only_routes, (), 0, 5).panels] == ["Routes: next hops"]
    assert make_timeline([], (), 0, 5).panels == ()


def test_a_fault_lies_where_it_began_and_ended() -> None:
    (band,) = make_timeline(SECONDS, [(4, Fault("cut", "gw1", 30, 90))], 0, 120).bands
    assert (band.number, band.left, band.width, band.is_over) == (4, 25, 50, True)


def test_a_fault_that_was_not_mended_lasts_to_the_end() -> None:
    (band,) = make_timeline(SECONDS, [(1, Fault("cut", "gw1", 60, None))], 0, 120).bands
    assert (band.left, band.width, band.is_over) == (50, 50, False)


def test_faults_at_the_same_time_lie_below_each_other() -> None:
    faults = [(1, Fault("a", "", 10, 50)), (2, Fault("b", "", 20, 30)), (3, Fault("c", "", 50, 60))]
    found = make_timeline(SECONDS, faults, 0, 120)
    assert [band.top for band in found.bands] == [0, LANE, 0] and found.depth == 2 * LANE


def test_each_failure_has_a_bar_as_high_as_the_scale_says() -> None:
    bars = panel(SECONDS, "Failed").bars
    assert [round(bar.left * 1.2, 1) for bar in bars] == [20, 21]
    assert bars[0].height == round(HEIGHT * 7 / 8, 1) and bars[0].top + bars[0].height == pytest.approx(HEIGHT, abs=0.1)


def test_latencies_lie_on_a_logarithmic_scale() -> None:
    (line, _) = panel([Second(0, p50=0.01, p99=0.01), Second(1, p50=0.01, p99=1.0)], "Latency", 0, 2).lines
    assert points(line) == [(250, HEIGHT), (750, 0)]


def test_routes_go_in_steps() -> None:
    (line,) = panel([Second(0, routes=3), Second(1, routes=1), Second(2, routes=3)], "Routes", 0, 3).lines
    ways = [round(3 - 3 * y / HEIGHT) for _, y in points(line)]
    assert ways == [3, 3, 3, 1, 1, 3, 3] or ways == [3, 3, 3, 1, 1, 1, 3, 3]


def test_a_line_breaks_where_nothing_is_known() -> None:
    seconds = [each for each in SECONDS if not 40 <= each.at < 60]
    seconds = [replace(each, p99=None) if each.at == 10 else each for each in seconds]
    (high, middle) = panel(seconds, "Latency").lines
    assert (len(high.pieces), len(middle.pieces)) == (3, 2)


def test_a_value_alone_is_seen_by_its_marker() -> None:
    (high, _) = panel([Second(5, p50=None, p99=0.5)], "Latency", 0, 10).lines
    assert high.pieces == () and len(high.marks) == 1


def test_a_day_is_as_wide_as_an_hour_and_its_worst_second_is_seen() -> None:
    seconds = [Second(at, 300, 300, 0, 0.01, 0.02, 3) for at in range(86_400)]
    seconds[40_000] = Second(40_000, 300, 0, 300, 1.0, 9.0, 1)
    found = make_timeline(seconds, (), 0, 86_400)
    requests, failures, latencies, routes = found.panels
    assert all(len(points(line)) <= 3 * COLUMNS for each in found.panels for line in each.lines)
    assert len(failures.bars) == 1 and min(y for _, y in points(latencies.lines[0])) < HEIGHT / 4
    assert "1 to 3 next hops" in routes.told and requests.lines[0].style != requests.lines[1].style


def test_lines_of_one_picture_differ_in_stroke_and_marker() -> None:
    for each in make_timeline(SECONDS, (), 0, 120).panels:
        assert len({line.style for line in each.lines}) == len(each.lines)
        assert len({line.shape for line in each.lines}) == len(each.lines)


@pytest.mark.parametrize(
    ("end", "texts"),
    [
        (1, ["0:00", "0:01"]),
        (60, ["0:00", "0:10", "0:20", "0:30", "0:40", "0:50", "1:00"]),
        (600, ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00"]),
        (3600, ["0:00", "10:00", "20:00", "30:00", "40:00", "50:00", "1:00:00"]),
    ],
)
def test_the_time_axis_has_round_places_and_few(end: int, texts: list[str]) -> None:
    assert [tick.text for tick in make_timeline(SECONDS, (), 0, end).ticks] == texts


NUMBERS = st.floats(-1e15, 1e15, exclude_min=True, exclude_max=True)
COUNTS = st.integers(-(10**15) + 1, 10**15 - 1)


@given(
    st.lists(
        st.builds(
            Second, NUMBERS, COUNTS, COUNTS, COUNTS, st.none() | NUMBERS, st.none() | NUMBERS, st.none() | COUNTS
        ),
        max_size=8,
    ),
    st.lists(st.builds(Fault, st.text(), st.text(), NUMBERS, st.none() | NUMBERS), max_size=9),
    NUMBERS,
    NUMBERS,
)
def test_whatever_was_measured_lies_within_the_picture(
    seconds: list[Second], faults: list[Fault], begin: float, end: float
) -> None:
    found = make_timeline(seconds, list(enumerate(faults)), begin, end)
    assert all(0 <= band.left <= 100 and band.width >= 0 for band in found.bands)
    for each in found.panels:
        assert all(0 <= y <= HEIGHT and 0 <= x <= 1000 for line in each.lines for x, y in points(line))
        assert all(0 <= bar.top <= HEIGHT and bar.height >= 0 for bar in each.bars)
        assert 2 <= len(each.ticks) <= 7
