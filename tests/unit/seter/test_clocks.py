"""A wrong clock is told, and whose it seems to be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import Conflict
from seter.clocks import refuse_clocks
from seter.provisioner import hosts

DAY = 86400.0


def survey(**ahead: float) -> Any:
    return SimpleNamespace(observed=SimpleNamespace(ahead=ahead))


def test_clocks_that_agree_as_far_as_it_matters_are_nobody_s_business() -> None:
    refuse_clocks(survey())
    refuse_clocks(survey(gw1=0.0, gw2=890.0, gw3=-890.0))


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        ({"gw1": 0.0, "gw2": DAY}, "the clock of gw2 seems to be wrong"),
        ({"gw1": 0.0, "gw2": -DAY}, "gw2: 1 day, 0:00:00 behind this machine's"),
        ({"gw1": DAY, "gw2": DAY + 60}, "this machine's clock seems to be wrong"),
        ({"gw1": DAY, "gw2": -DAY}, "the clock of gw1, gw2 seems to be wrong"),
        ({"gw1": DAY}, "the clock of gw1 seems to be wrong"),
    ],
)
def test_a_wrong_clock_is_named(ahead: dict[str, float], said: str) -> None:
    with pytest.raises(Conflict) as told:
        refuse_clocks(survey(**ahead))
    assert said in f"{told.value.message}\n{told.value.details}" and "Nothing was changed" in told.value.resolution


@pytest.mark.parametrize(("clock", "ahead"), [(100.0, 0.0), (103.0, 0.0), (110.0, 5.0), (90.0, -10.0)])
def test_how_long_the_answer_took_is_no_difference(clock: float, ahead: float) -> None:
    assert hosts.ahead({"clock": clock}, 100.0, 105.0) == ahead
