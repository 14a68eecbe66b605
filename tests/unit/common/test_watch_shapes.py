from __future__ import annotations

import pytest

from common.system import Threshold
from tests.unit.common.conftest import Definitions

SYSTEM = "lab/system.hcl"
CHECK = '  check "spread"'
WATCH = """\
  watch {
    on         = "edge"
    prometheus = "http://127.0.0.1:9090/"
    row "requests, all" {
      query = "sum(rate(x{code=~\\"5..\\"}[15s]))"
      unit  = "/s"
      by    = "node"
      warn  = "> 0.5"
      bad   = ">2"
    }
    row "life left" {
      query = "left"
      warn  = "< -3"
    }
  }

"""


@pytest.fixture
def watched(definitions: Definitions) -> Definitions:
    definitions.change(SYSTEM, CHECK, WATCH + CHECK)
    return definitions


def test_a_watch_block_is_read(watched: Definitions) -> None:
    watch = watched.catalog.system("lab").watch
    assert watch is not None and (watch.on, watch.prometheus) == ("edge", "http://127.0.0.1:9090")
    load, left = watch.rows
    assert (load.title, load.query, load.unit, load.by) == (
        "requests, all", 'sum(rate(x{code=~"5.."}[15s]))', "/s", "node",
    )  # fmt: skip
    assert (load.warn, load.bad) == (Threshold(">", 0.5), Threshold(">", 2))
    assert (left.warn, left.bad, left.by) == (Threshold("<", -3), None, "")


def test_a_system_need_not_have_one(definitions: Definitions) -> None:
    assert definitions.catalog.system("lab").watch is None


def test_what_lies_on_a_threshold_is_not_beyond_it() -> None:
    assert not Threshold(">", 2).is_met(2) and Threshold(">", 2).is_met(2.1)
    assert not Threshold("<", 2).is_met(2) and Threshold("<", 2).is_met(1.9)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('on         = "edge"', 'on = "egde"', 'watch: on: unknown group "egde"; did you mean "edge"?'),
        ('"http://127.0.0.1:9090/"', '"127.0.0.1:9090"', 'watch: prometheus: "127.0.0.1:9090" is no URL'),
        ('"> 0.5"', '"0.5"', 'row "requests, all": warn: "0.5" is no threshold; write "> 0.5" or "< 3"'),
        ('">2"', '"< 2"', 'row "requests, all": bad: warns on one side and is bad on the other'),
        ('">2"', '"> 0.1"', 'row "requests, all": bad: is bad before it warns; exchange the two numbers'),
        ("by    =", "per =", 'row "requests, all": unknown attribute per'),
        ('"requests, all"', '"life left"', 'watch: a second row "life left", the first is in line 17'),
        ('"requests, all"', f'"{"long" * 7}"', f'"{"long" * 7}" is no title; write one line of 1 to 24 characters'),
        ('      query = "left"\n', "", 'row "life left": query is missing; add query = text'),
    ],
)
def test_what_is_wrong_with_it_is_said(watched: Definitions, old: str, new: str, told: str) -> None:
    watched.change(SYSTEM, old, new)
    problems = watched.problems()
    assert len(problems) == 1 and told in problems[0] and problems[0].startswith("lab/system.hcl:"), problems
