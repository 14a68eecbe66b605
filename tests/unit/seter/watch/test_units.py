from __future__ import annotations

import math

import pytest

from seter.watch.units import amount


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (0, "s", "0 µs"),
        (90, "s", "1.5 m"),
        (34_300_411, "s", "397 d"),
        (-60, "s", "-1 m"),
        (5 * 1024**2 + 100_000, "B/s", "5.1 MiB/s"),
        (17, "B", "17 B"),
        (0.002, "ratio", "0.2 %"),
        (1, "ratio", "100 %"),
        (34.04, "/s", "34 /s"),
        (1234.5, "", "1234"),
        (3, "hops", "3 hops"),
        (math.inf, "s", "endless"),
        (-math.inf, "", "-endless"),
    ],
)
def test_numbers_are_short_and_have_their_unit(number: float, unit: str, text: str) -> None:
    assert amount(number, unit) == text
