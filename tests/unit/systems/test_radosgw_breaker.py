"""A RadosGW that answers probes and fails requests: who is taken out, and who never is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radosgw_breaker import Breaker, Config, Outcome, Requests, State, keep_asking, outcome_of
from traefik_etcd import Failed

GOOD, BAD, OTHER = Outcome.GOOD, Outcome.BAD, Outcome.OTHER


class Lock:
    """Free, with another, or not to be reached; `holder` is shared by a fleet."""

    def __init__(self, name: str, holder: list[str]) -> None:
        self.name, self.holder, self.away = name, holder, False

    @property
    def mine(self) -> bool:
        return self.holder == [self.name] and not self.away

    def hold(self) -> None:
        if self.away:
            raise Failed("etcd does not answer", 3)
        if not self.holder:
            self.holder.append(self.name)

    def end(self) -> None:
        if self.holder == [self.name]:
            self.holder.clear()


def config(folder: Path, **changes: object) -> Config:
    path = folder / "breaker.json"
    told = {
        "node": "gw1", "etcd": "127.0.0.1:2379", "secrets": str(folder), "radosgw": "http://127.0.0.1:1",
        "drained": str(folder / "drained"), "interval": 1, "timeout": 0.5, "fall": 3, "rise": 2,
        "metrics_port": 1, "metrics_address": "127.0.0.1",
    }  # fmt: skip
    path.write_text(json.dumps(told | changes))
    return Config.read(str(path))


def fleet(folder: Path, size: int = 3) -> tuple[list[Breaker], list[Lock], list[Path]]:
    holder: list[str] = []
    locks = [Lock(f"gw{number}", holder) for number in range(size)]
    files = [folder / lock.name for lock in locks]
    breakers = [
        Breaker(config(folder, drained=str(file)), lock, State()) for file, lock in zip(files, locks, strict=True)
    ]
    return breakers, locks, files


def test_one_that_fails_is_out_after_some_failures_and_in_after_some_good_answers(tmp_path: Path) -> None:
    (breaker, *_), _, (file, *_) = fleet(tmp_path)
    for outcome in (BAD, BAD, GOOD, BAD, BAD):
        breaker.hear(outcome)
        assert not file.exists()
    breaker.hear(BAD)
    assert file.exists() and breaker.state.out
    file.unlink()  # as a RadosGW does that is started anew
    breaker.hear(BAD)
    assert file.exists()
    for outcome in (GOOD, BAD, GOOD):
        breaker.hear(outcome)
        assert file.exists()
    breaker.hear(GOOD)
    assert not file.exists() and not breaker.state.out and breaker.state.opened == 1


def test_when_all_fail_no_more_than_one_is_out(tmp_path: Path) -> None:
    breakers, _, files = fleet(tmp_path)
    for _ in range(20):
        for breaker in breakers:
            breaker.hear(BAD)
    assert [file.exists() for file in files] == [True, False, False]
    assert [breaker.state.wanted for breaker in breakers] == [False, True, True]
    assert "another RadosGW is out" in breakers[1].state.report()["summary"]


def test_without_etcd_nobody_is_out_and_who_is_comes_in(tmp_path: Path) -> None:
    breakers, locks, files = fleet(tmp_path)
    for _ in range(4):
        breakers[0].hear(BAD)
    for lock in locks:
        lock.away = True
    for _ in range(4):
        for breaker in breakers:
            breaker.hear(BAD)
    assert not any(file.exists() for file in files)


def test_one_of_a_node_that_is_cut_off_is_out_at_its_first_failure_and_stays_so_when_the_link_is_back(
    tmp_path: Path,
) -> None:
    (lock, *_), file, cut = fleet(tmp_path)[1], tmp_path / "drained", [True]
    breaker = Breaker(config(tmp_path, drained=str(file)), lock, State(), lambda: cut[0])
    lock.away = True
    breaker.hear(GOOD)
    assert not file.exists() and breaker.state.report()["proven"]
    breaker.hear(BAD)
    assert file.exists() and not breaker.state.report()["proven"]
    breaker.hear(BAD)
    lock.away, cut[0] = False, False
    breaker.hear(BAD)
    breaker.hear(GOOD)
    assert file.exists() and lock.mine
    breaker.hear(GOOD)
    assert not file.exists() and not lock.mine


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([GOOD, BAD, OTHER])), max_size=120))
def test_whatever_happens_one_is_out_at_most(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, Outcome]]
) -> None:
    breakers, _, files = fleet(tmp_path_factory.mktemp("fleet"))
    for number, outcome in events:
        breakers[number].hear(outcome)
        assert sum(file.exists() for file in files) <= 1


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [(200, 0, GOOD), (204, 0, GOOD), (503, 0, BAD), (500, 0, BAD), (0, 28, BAD), (200, 28, BAD), (0, 7, OTHER),
     (403, 0, OTHER), (404, 0, OTHER)],
)  # fmt: skip
def test_what_an_answer_says(status: int, code: int, outcome: Outcome) -> None:
    assert outcome_of(status, code) is outcome


@pytest.fixture
def seen() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def status() -> list[int]:
    return [200]


@pytest.fixture
def server(seen: list[tuple[str, str, str]], status: list[int]) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append((self.command, self.path, self.headers.get("Authorization", "")))
            self.send_response(status[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def test_requests_are_signed_and_the_object_is_written_and_read(
    tmp_path: Path, server: ThreadingHTTPServer, seen: list[tuple[str, str, str]], status: list[int]
) -> None:
    (tmp_path / "s3-access-key").write_text("ACCESS\n")
    (tmp_path / "s3-secret-key").write_text("secret/+word\n")
    requests = Requests(config(tmp_path, radosgw=f"http://127.0.0.1:{server.server_address[1]}"))
    assert [requests.ask() for _ in range(3)] == [GOOD] * 3
    assert [(method, path) for method, path, _ in seen] == [
        ("PUT", "/seter-breaker"), ("PUT", "/seter-breaker/gw1"), ("GET", "/seter-breaker/gw1"),
        ("GET", "/seter-breaker/gw1"),
    ]  # fmt: skip
    assert all("AWS4-HMAC-SHA256 Credential=ACCESS/" in how and "secret" not in how for *_, how in seen)
    status[0] = 503
    assert requests.ask() is BAD
    server.shutdown()
    server.server_close()
    assert requests.ask() is OTHER


def test_a_configuration_with_faults_is_refused(tmp_path: Path) -> None:
    for changes in ({"rise": 0}, {"etcd": "x:y"}, {"interval": "often"}):
        with pytest.raises(ValueError, match=r"cannot be used|above 0"):
            config(tmp_path, **changes)


def test_a_radosgw_whose_node_has_a_wrong_clock_is_out_at_once_and_in_again_with_a_right_one(tmp_path: Path) -> None:
    """Its own requests succeed: who signs them has the same clock."""
    (breaker, other, _), _, files = fleet(tmp_path)
    breaker.hear(GOOD, 3600.0)
    assert files[0].exists() and breaker.state.out
    said = breaker.state.report()
    assert not said["ok"] and not said["proven"] and "clock is 3600 s ahead of" in said["summary"]
    assert "radosgw_breaker_clock_off_seconds 3600" in breaker.state.metrics()
    assert breaker.state.bad == 0
    for _ in range(5):
        breaker.hear(GOOD, 3600.0)
    other.hear(GOOD, -3600.0)
    assert files[0].exists() and not files[1].exists() and other.state.wanted  # one at a time
    for _ in range(breaker._config.rise):
        assert files[0].exists()
        breaker.hear(GOOD, 0.0)
    assert not files[0].exists() and breaker.state.report()["ok"]


def test_who_asks_hears_of_the_clock_each_time(tmp_path: Path) -> None:
    (breaker, *_), _, files = fleet(tmp_path)
    ending, told = threading.Event(), iter([0.0, 3600.0])

    def off() -> float:
        found = next(told, None)
        if found is None:
            ending.set()
        return found or 0.0

    keep_asking(lambda: GOOD, breaker, 0.001, ending, off)
    assert breaker.state.opened == 1 and files[0].exists()
