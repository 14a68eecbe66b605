from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadInput
from seter.report.model import Run
from seter.report.stored import GREATEST, from_json, many_to_json, merged, runs_of, to_json
from tests.lab.runs import make_earlier, make_evil, make_run

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def stored(run: Run | None = None) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(to_json(run or make_run()))
    return made


@pytest.mark.parametrize("run", [make_run(), make_earlier(), make_evil(), replace(make_run(), lag=None, seconds=())])
def test_a_run_comes_back_as_it_was(run: Run) -> None:
    assert from_json(to_json(run)) == run


def test_an_hour_is_read_in_less_than_a_megabyte() -> None:
    text = to_json(make_run(3600))
    assert len(text) < 1 << 20
    assert len(from_json(text).seconds) == 3600


def test_several_files_become_one_in_order_of_time_and_each_run_once() -> None:
    run, earlier = make_run(), make_earlier()
    assert merged(runs_of(many_to_json([run, earlier, run]), "x")) == (earlier, run)


def test_a_file_with_two_runs_is_not_one_run() -> None:
    with pytest.raises(BadInput, match="holds 2 runs"):
        from_json(many_to_json([make_run(), make_earlier()]))


def test_fields_that_have_a_default_may_be_left_out() -> None:
    said = stored()
    for name in ("seconds", "notes", "requests", "untold", "invalid", "lag", "profile", "experiments"):
        del said["run"][name]
    assert from_json(json.dumps(said)).seconds == ()


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("run", "began"), "yesterday", "run.began is no date"),
        (("run", "began"), "2026-11-30T01:00:00", "run.began has no zone"),
        (("run", "length"), "long", "run.length is of another type than float"),
        (("run", "length"), True, "run.length is of another type"),
        (("run", "length"), GREATEST, "run.length is too large"),
        (("run", "seconds"), {}, "run.seconds is no list"),
        (("run", "seconds"), [{"at": 1, "sent": 1.5}], r"run.seconds\[0\].sent is of another type than int"),
        (("run", "seconds"), [{"sent": 1}], r"run.seconds\[0\] has no at"),
        (("run", "environment"), None, "run.environment is no object"),
        (("run", "environment", "versions"), [["a"]], r"versions\[0\] has 1 parts, not 2"),
        (("run", "surprise"), 1, "unknown field 'surprise'"),
        (("format",), "seter-run/2", "is no saved run"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(path: tuple[str, ...], value: object, told: str) -> None:
    said = stored()
    inner = said
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(BadInput, match=told):
        from_json(json.dumps(said))


@pytest.mark.parametrize("text", ["", "[" * 100_000, "nul", '{"format": NaN}', "[]", '"seter-run/1"', "null"])
def test_what_is_no_run_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        from_json(text)
    assert refused.value.resolution


@given(st.text())
def test_no_text_is_worse_than_refused(text: str) -> None:
    with pytest.raises(BadInput):
        runs_of(text, "x")


@given(st.sampled_from(["kind", "began", "length", "environment", "experiments", "seconds", "lag", "requests"]), JSON)
def test_no_value_is_worse_than_refused(name: str, value: object) -> None:
    said = stored()
    said["run"][name] = value
    try:
        read = from_json(json.dumps(said))
    except BadInput as refused:
        assert refused.resolution
    else:
        assert from_json(to_json(read)) == read


def test_times_keep_their_zone() -> None:
    began = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert from_json(to_json(replace(make_run(), began=began))).began.utcoffset() == began.utcoffset()
