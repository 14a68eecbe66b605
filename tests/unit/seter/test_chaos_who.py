"""Which gateway a failed request had reached."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import NotFound
from seter.chaos import who
from seter.chaos.who import answering, is_told, logged, named
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
    found = named({"sent": 2, "failures": failures}, survey(logs), ("gw1", "gw2", "gw3"), LONG, {"4139": "gw9"})
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
        {"identifier": "answered-it", "gateway": "4139"},
    ]
    logs = {"gw2": f'{{"status":502,"id":"{ONE}"}}\nx {TWO}\n'.encode(), "gw3": b"nothing\n"}
    assert gateways(failures, logs) == ["gw2", "4137", "", "", "gw9"]


def test_a_load_that_never_was_stays_as_it_is() -> None:
    assert named({"error": "no"}, survey({}), ("gw1",), LONG, {}) == {"error": "no"}


def test_a_late_request_has_the_node_of_the_server_that_answered() -> None:
    load = {"failures": [], "late_requests": [{"gateway": "4137", "took": 3.0}, {"gateway": "9"}, {"gateway": ""}]}
    found = named(load, survey({}), ("gw1",), LONG, {"4137": "gw1"})
    assert [each["gateway"] for each in found["late_requests"]] == ["gw1", "9", ""]
    assert (is_told(load, {"4137": "gw1"}), is_told(load, {"4137": "gw1", "9": "gw2"})) == (False, True)


def test_servers_are_known_by_what_their_status_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"gw1": {"answers_as": "4137"}, "gw2": {"answers_as": ""}, "gw3": {"ok": False}, "gw4": "a complaint"}

    def ask(seen: object, seat: Any) -> object:
        asked.append(seat.role.name)
        if seat.node.name not in said:
            raise NotFound("web does not run", resolution="Deploy.")
        return said[seat.node.name]

    monkeypatch.setattr(who, "ask", ask)
    asked: list[str] = []
    roles = [SimpleNamespace(name="web", answers_as=True), SimpleNamespace(name="cache", answers_as=False)]

    def seats_of(node: str) -> list[object]:
        return [SimpleNamespace(node=SimpleNamespace(name=node), role=role) for role in roles]

    blueprint = SimpleNamespace(seats_of=seats_of)
    seen = cast(Survey, SimpleNamespace(blueprint=blueprint))
    assert answering(seen, ("gw1", "gw2", "gw3", "gw4", "gw5")) == {"4137": "gw1"}
    assert asked == ["web"] * 5  # a node has many roles, and each costs a command


@given(st.lists(st.integers(1, 60), max_size=30))
def test_a_log_s_pieces_may_end_anywhere(sizes: list[int]) -> None:
    text, pieces = f"{'.' * 40}{ONE}{'.' * 300}{TWO}{'.' * 20}".encode(), []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    assert logged([*pieces, text], {ONE, TWO, "neither-of-them"}) == {ONE, TWO}
