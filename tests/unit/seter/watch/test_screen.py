from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seter.watch.model import Level, Picture, Row, Section
from seter.watch.screen import as_json, lines, plain

AT = datetime(2026, 11, 30, 2, 14, 7, tzinfo=UTC)
GOOD = Row("requests", "34 /s", "gw1 11 /s  gw2 23 /s", Level.GOOD, (("gw1", 11.0), ("gw2", 23.0)))
WARN, BAD = Row("alerts", "1", level=Level.WARN), Row("gw3 gateways", "down", "0 of 13 run", Level.BAD)


def picture(*rows: Row, problem: str = "", age: float | None = 0.2) -> Picture:
    return Picture("s3-lb/container/main", AT, (Section("metrics", rows, age, problem),))


def text(shown: Picture, width: int = 80, height: int = 40) -> list[str]:
    return [line.text for line in lines(shown, width, height)]


def test_it_reads_at_80_columns() -> None:
    assert text(picture(GOOD, WARN, BAD)) == [
        "s3-lb/container/main  02:14:07 UTC  1 bad, 1 to look at",
        "metrics",
        "  requests                 34 /s          gw1 11 /s  gw2 23 /s",
        "! alerts                   1",
        "X gw3 gateways             down           0 of 13 run",
    ]


def test_how_well_it_is_shows_without_colour() -> None:
    assert [line[:2] for line in text(picture(GOOD, WARN, BAD, Row("x", "no data", level=Level.UNKNOWN)))[2:]] == [
        "  ", "! ", "X ", "? ",
    ]  # fmt: skip


def test_a_source_that_does_not_answer_says_so_and_keeps_what_it_had() -> None:
    shown = text(picture(GOOD, problem="no answer for 7 s", age=8.4))
    assert shown[0].endswith("all good; metrics do not answer")
    assert shown[1] == "metrics, as of 8 s ago: no answer for 7 s" and "34 /s" in shown[2]
    assert picture(GOOD, problem="x").level is Level.WARN


def test_an_old_answer_says_how_old_it_is() -> None:
    assert text(picture(GOOD, age=5))[1] == "metrics, as of 5 s ago"


def test_where_it_does_not_fit_what_is_well_is_left_out() -> None:
    rows = [*(Row(f"row {number}", "1") for number in range(30)), BAD]
    shown = text(picture(*rows), height=6)
    assert len(shown) == 4 and shown[2].startswith("X gw3") and shown[-1] == "  30 more lines do not fit"
    assert len(text(picture(*[BAD] * 30), height=6)) == 6


def test_a_line_a_second_names_what_is_not_well_or_else_the_figures() -> None:
    assert plain(picture(GOOD)) == "2026-11-30T02:14:07+00:00 good requests 34 /s"
    assert plain(picture(GOOD, BAD)) == "2026-11-30T02:14:07+00:00 bad gw3 gateways: down 0 of 13 run"
    assert "metrics: no answer" in plain(picture(GOOD, problem="no answer"))


def test_programs_get_every_number_by_its_name() -> None:
    said = json.loads(json.dumps(as_json(picture(GOOD, BAD))))
    assert (said["level"], said["at"]) == ("bad", "2026-11-30T02:14:07.000+00:00")
    assert said["sections"][0]["rows"][0] == {
        "title": "requests",
        "level": "good",
        "value": "34 /s",
        "detail": "gw1 11 /s  gw2 23 /s",
        "numbers": {"gw1": 11.0, "gw2": 23.0},
    }


@pytest.mark.parametrize("shown", [plain, lambda shown: text(shown)[2]])
def test_a_terminal_gets_no_command_from_a_node(shown: object) -> None:
    assert callable(shown)
    said = shown(picture(Row("a\x1b[2Jb", "c\r\n\x9bd", "\u202e", Level.BAD)))
    assert said.isprintable()


ROWS = st.builds(Row, st.text(), st.text(), st.text(), st.sampled_from(Level))


@given(st.lists(ROWS, max_size=9), st.text(), st.integers(1, 200), st.integers(2, 60))
def test_no_line_is_wider_and_no_picture_higher_than_the_terminal(
    rows: list[Row], problem: str, width: int, height: int
) -> None:
    shown = text(picture(*rows, problem=problem), width, height)
    assert all(len(line) <= max(width, 40) for line in shown) and len(shown) <= height
