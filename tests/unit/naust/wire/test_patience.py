"""naust.wire.patience, and how a registry's client has it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest

from common.errors import Conflict, Error, Unavailable
from naust.wire import patience
from naust.wire.bodies import Outgoing
from naust.wire.distribution import Distribution
from naust.wire.patience import Busy, patiently
from tests.lab.faults import answering


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(patience, "sleep", found.append)
    return found


def failing(make: Callable[[int], Error], tried: list[int]) -> Callable[[], None]:
    def act() -> None:
        tried.append(len(tried))
        raise make(len(tried))

    return act


def busy(kind: type[Unavailable] = Unavailable, seconds: int | None = None) -> Unavailable:
    error = kind("busy", resolution="")
    error.retry_after = None if seconds is None else timedelta(seconds=seconds)
    return error


def test_waits_rise_are_never_shorter_than_asked_for_and_end(waits: list[float]) -> None:
    tried: list[int] = []
    with pytest.raises(Unavailable):
        patiently(failing(lambda number: busy(seconds=7 if number == 3 else None), tried), 9)
    assert len(tried) == 9 and waits[2] == 7
    assert waits[0] <= 0.1 and waits[0] < waits[3] and max(waits[:2] + waits[3:]) <= 5


@pytest.mark.parametrize(
    "error", [Conflict("no", resolution=""), busy(), busy(Busy, seconds=2)], ids=["conflict", "broken", "long"]
)
def test_what_will_not_pass_soon_is_not_tried_again(waits: list[float], error: Error) -> None:
    tried: list[int] = []
    with pytest.raises(type(error)):
        patiently(failing(lambda number: error, tried), longest=1.0, only=Busy)
    assert len(tried) == 1 and not waits


@pytest.mark.parametrize(
    ("status", "headers", "tries"),
    [(503, {}, 4), (429, {"Retry-After": "1"}, 4), (503, {"Retry-After": "30"}, 1), (500, {}, 1), (404, {}, 1)],
)
def test_a_registry_that_did_nothing_is_asked_again_a_few_times(
    waits: list[float], status: int, headers: dict[str, str], tries: int
) -> None:
    with answering(status, headers, b"") as server:
        client = Distribution(f"http://{server.address}")
        for method in ("HEAD", "PUT"):
            server.seen.clear()
            with (
                pytest.raises(Error),
                client.request(method, "/v2/a/manifests/1", body=b"" if method == "PUT" else None),
            ):
                pass
            assert len(server.seen) == tries
        server.seen.clear()
        with pytest.raises(Error), client.request("PUT", "/v2/a/blobs/1", body=Outgoing(BytesIO(b"1234"), 4)):
            pass
        assert len(server.seen) == 1  # what is large is sent on from where it broke, by whoever sends it
