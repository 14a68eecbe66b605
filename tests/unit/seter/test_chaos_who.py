"""Which gateway a failed request had reached."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from common.errors import NotFound
from seter.chaos.who import logged, named
from seter.survey import Survey

LONG = timedelta(seconds=60)
ONE, TWO = "1c54a2b2-e1d5-46e3", "9ec8fb97-bb2a-4f67"


def survey(logs: dict[str, bytes]) -> Survey:
    """Each node has a role that logs this; one without a log does not run."""

    def read(node: str, role: str, *, since: timedelta, follow: bool) -> Iterator[bytes]:
        assert (role, since, follow) == ("web", LONG, False)
        if node not in logs:
            raise NotFound("web does not run", resolution="Deploy.")
        yield logs[node]

    role = SimpleNamespace(name="web", process=SimpleNamespace(type="simple"))
    task = SimpleNamespace(name="task", process=SimpleNamespace(type="oneshot"))
    seats = [
        SimpleNamespace(role=role),
        SimpleNamespace(role=task),
        SimpleNamespace(role=SimpleNamespace(process=None)),
    ]
    blueprint = SimpleNamespace(seats_of=lambda node: seats)
    return cast(Survey, SimpleNamespace(blueprint=blueprint, provisioner=SimpleNamespace(logs=read)))


def gateways(failures: list[dict[str, Any]], logs: dict[str, bytes]) -> list[str]:
    found = named({"sent": 2, "failures": failures}, survey(logs), ("gw1", "gw2", "gw3"), LONG)
    assert found["sent"] == 2 and [{**each, "gateway": ""} for each in found["failures"]] == [
        {**each, "gateway": ""} for each in failures
    ]
    return [each["gateway"] for each in found["failures"]]


def test_a_failure_has_the_name_of_the_node_that_logged_it() -> None:
    failures = [
        {"identifier": ONE, "gateway": ""},
        {"identifier": TWO, "gateway": "4137"},
        {"identifier": "another-of-them", "gateway": ""},
        {"identifier": "x", "gateway": ""},
    ]
    logs = {"gw2": f'{{"status":502,"id":"{ONE}"}}\nx {TWO}\n'.encode(), "gw3": b"nothing\n"}
    assert gateways(failures, logs) == ["gw2", "4137", "", ""]


def test_a_load_that_never_was_stays_as_it_is() -> None:
    assert named({"error": "no"}, survey({}), ("gw1",), LONG) == {"error": "no"}


@given(st.lists(st.integers(1, 60), max_size=30))
def test_a_log_s_pieces_may_end_anywhere(sizes: list[int]) -> None:
    text, pieces = f"{'.' * 40}{ONE}{'.' * 300}{TWO}{'.' * 20}".encode(), []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    assert logged([*pieces, text], {ONE, TWO, "neither-of-them"}) == {ONE, TWO}
