"""Histograms of the role s3-client are HdrHistogram's: held against its library."""

from __future__ import annotations

import base64

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from s3_hdr import HIGHEST, Histogram, summary

VALUES = st.lists(st.one_of(st.integers(0, 5000), st.integers(0, HIGHEST)), max_size=200)
SHARES = (0.1, 1, 25, 50, 90, 99, 99.9, 99.99, 100)


def both(values: list[int]) -> tuple[Histogram, HdrHistogram]:
    ours, theirs = Histogram(), HdrHistogram(1, HIGHEST, 3)
    for value in values:
        ours.record(value / 1e6)
        theirs.record_value(value)
    return ours, theirs


@given(VALUES)
def test_percentiles_are_the_library_s(values: list[int]) -> None:
    ours, theirs = both(values)
    for share in SHARES if values else ():
        assert round((ours.percentile(share) or 0.0) * 1e6) == theirs.get_value_at_percentile(share)


@given(VALUES)
def test_either_reads_what_the_other_writes(values: list[int]) -> None:
    ours, theirs = both(values)
    read = HdrHistogram.decode(ours.encoded())
    assert read.get_total_count() == len(values) == Histogram.decoded(theirs.encode().decode()).total
    assert Histogram.decoded(theirs.encode().decode()).counts == ours.counts
    assert [read.get_value_at_percentile(share) for share in SHARES] == [
        theirs.get_value_at_percentile(share) for share in SHARES
    ]


@given(VALUES, VALUES)
def test_runs_are_merged_as_if_they_had_been_one(one: list[int], other: list[int]) -> None:
    merged = both(one)[0]
    merged.add(Histogram.decoded(both(other)[0].encoded()))
    assert merged.counts == both(one + other)[0].counts and merged.total == len(one + other)


@given(st.one_of(st.text(), st.binary().map(lambda data: base64.b64encode(data).decode())))
def test_what_is_no_histogram_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="histogram"):
        Histogram.decoded(text)


@given(VALUES, st.data())
def test_a_changed_histogram_is_refused_or_read_never_more(values: list[int], data: st.DataObject) -> None:
    whole = bytearray(base64.b64decode(both(values)[0].encoded()))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        Histogram.decoded(base64.b64encode(whole).decode())
    except ValueError as fault:
        assert "histogram" in str(fault)


def test_nothing_has_no_percentiles() -> None:
    found = summary(Histogram())
    assert found["count"] == 0 and found["p99"] is None and found["mean"] is None


def test_more_than_an_hour_is_an_hour() -> None:
    histogram = Histogram()
    histogram.record(1e9)
    histogram.record(-1.0)
    assert (histogram.percentile(100) or 0) >= 3600 and histogram.percentile(1) == 0
