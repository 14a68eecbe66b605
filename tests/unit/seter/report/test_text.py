from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seter.report.text import clean, clock, count, figure, latency, listed, measure


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "none"),
        (0, "0 s"),
        (2.5e-5, "25 µs"),
        (0.0123, "12.3 ms"),
        (0.9994, "999 ms"),
        (1.5, "1.5 s"),
        (120, "120 s"),
    ],
)
def test_latencies_have_the_unit_that_fits(seconds: float | None, text: str) -> None:
    assert latency(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (7.04, "0:07"), (59.96, "1:00"), (750, "12:30"), (3723, "1:02:03"), (1.25, "0:01.2"), (-3, "-0:03")],
)
def test_places_on_the_timeline_read_as_on_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_numbers_have_three_digits_that_count() -> None:
    assert [figure(each) for each in (0, 0.00012, 0.0123, 1.2345, 12.345, 1234.5)] == [
        "0", "0.0001", "0.0123", "1.23", "12.3", "1,234",
    ]  # fmt: skip


def test_measures_have_their_unit() -> None:
    assert (measure(None, "s"), measure(0.3, "s"), measure(3, ""), measure(14, "requests")) == (
        "not measured",
        "300 ms",
        "3",
        "14 requests",
    )


def test_words_are_listed_and_counted() -> None:
    assert listed([]) == "" and listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
    assert count(1, "experiment") == "1 experiment" and count(2, "experiment") == "2 experiments"


@given(st.text(st.characters()))
def test_nothing_is_left_that_no_document_may_contain(text: str) -> None:
    found = clean(text)
    assert len(found) == len(text)
    found.encode()  # no half of a surrogate pair
    assert not any((ord(each) < 32 and each not in "\n\t") or each in "\u202e\ufffe" for each in found)


def test_what_is_harmless_stays() -> None:
    assert clean("Größe 12 µs\n<b>") == "Größe 12 µs\n<b>"
    assert clean("gw1\u202etxt.\x1b[0m") == "gw1\ufffdtxt.\ufffd[0m"
