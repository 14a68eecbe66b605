"""A node's clock, by those of the nodes beside it."""

from __future__ import annotations

import socket
import ssl
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import peer_clocks
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer_clocks import APART, ASKED, EVERY, MOST, SOON, Clock, Peers, off_by

from seter.certificates import Pair, make_authority, make_certificate

HOUR = 3600.0
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("offsets", "off"),
    [
        ([], 0.0),
        ([-HOUR], 0.0),  # one of two is wrong, and nobody knows which
        ([-HOUR, -HOUR], HOUR),
        ([HOUR, HOUR + 1], -HOUR - 0.5),
        ([0.0, -HOUR], 0.0),  # that one is wrong
        ([0.1, -0.2, HOUR], 0.0),
        ([-HOUR, -HOUR, 0.0], HOUR),
        ([-HOUR, -2 * HOUR], 0.0),
        ([-HOUR, -2 * HOUR, 0.0, 3 * HOUR], 0.0),
        ([MOST - 1, MOST - 1], 0.0),
    ],
)
def test_a_clock_is_wrong_when_most_of_at_least_two_others_say_the_same(offsets: list[float], off: float) -> None:
    assert off_by(offsets) == off


@given(st.lists(st.floats(-1e7, 1e7), max_size=9))
def test_a_clock_is_never_wrong_by_less_than_those_that_agree(offsets: list[float]) -> None:
    off = off_by(offsets)
    agree = [each for each in offsets if abs(each + off) <= APART]
    assert off == 0.0 or (abs(off) > MOST and off == -statistics.median(offsets) and 2 * len(agree) > len(offsets))


class Hands:
    """Two clocks and two peers."""

    def __init__(self) -> None:
        self.wall, self.steady, self.asked = 1e9, 50.0, 0
        self.answers: list[float] = [0.0, 0.0]

    def ask(self) -> list[float]:
        self.asked += 1
        return self.answers

    def pass_on(self, seconds: float) -> None:
        self.wall, self.steady = self.wall + seconds, self.steady + seconds


def test_others_are_asked_at_once_when_the_clock_jumps_and_until_it_is_right_again() -> None:
    hands = Hands()
    clock = Clock(hands.ask, lambda: hands.wall, lambda: hands.steady)
    assert clock.off() == 0.0 and hands.asked == 1
    hands.pass_on(1)
    assert clock.off() == 0.0 and hands.asked == 1  # nothing has happened
    hands.wall, hands.answers = hands.wall + HOUR, [-HOUR, -HOUR]
    assert clock.off() == HOUR and hands.asked == 2
    hands.pass_on(1)
    assert clock.off() == HOUR and hands.asked == 3
    hands.wall, hands.answers = hands.wall - HOUR, [0.0, 0.0]
    assert clock.off() == 0.0 and hands.asked == 4
    hands.pass_on(EVERY)
    assert clock.off() == 0.0 and hands.asked == 5


def test_others_that_were_away_are_asked_again_soon() -> None:
    hands = Hands()
    clock = Clock(hands.ask, lambda: hands.wall, lambda: hands.steady)
    hands.answers = []
    assert clock.off() == 0.0
    hands.answers = [-HOUR, -HOUR]
    hands.pass_on(SOON)
    assert clock.off() == HOUR


@contextmanager
def radosgw(address: str, port: int, signer: Pair, date: str, folder: Path) -> Iterator[None]:
    """Answers as RadosGW does who is told no name, with this date."""

    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(403)
            self.send_header("Date", date)
            self.end_headers()

    pair = make_certificate(signer, address, [address], LONG_AGO)
    file = folder / f"{address}.pem"
    file.write_text(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with ThreadingHTTPServer((address, port), Server) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield
        server.shutdown()


def test_peers_are_asked_whatever_year_it_is_here_and_only_those_that_the_ca_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a wrong clock every certificate seems to have ended, or not to have begun."""
    ours, others = (make_authority("s/t/i", LONG_AGO) for _ in range(2))
    (tmp_path / "ca.crt").write_text(ours.certificate)
    with socket.create_server(("127.66.7.1", 0)) as free:
        monkeypatch.setattr(peer_clocks, "PORT", free.getsockname()[1])
    addresses = [f"127.66.7.{number}" for number in range(1, 6)]  # the last one is away
    later = formatdate(time.time() + HOUR, usegmt=True)
    with ExitStack() as stack:
        for address, signer, date in zip(
            addresses, (ours, ours, others, ours), (later, later, later, "?"), strict=False
        ):
            stack.enter_context(radosgw(address, peer_clocks.PORT, signer, date, tmp_path))
        found = Peers(addresses, tmp_path / "ca.crt").ask()
    assert len(found) == 2 and all(HOUR - 5 < each <= HOUR for each in found)
    assert Peers(addresses, tmp_path / "ca.crt").ask() == []
    assert Peers(addresses[:1], tmp_path / "nowhere").ask() == []


def test_of_many_peers_some_are_asked_and_in_time_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.crt").write_text(make_authority("s/t/i").certificate)
    asked: list[str] = []
    monkeypatch.setattr(Peers, "_one", staticmethod(lambda address, tls: asked.append(address)))
    many = [f"10.0.0.{number}" for number in range(1, 21)]
    peers = Peers(many, tmp_path / "ca.crt")
    assert peers.ask() == [] and len(set(asked)) == len(asked) == ASKED
    for _ in range(100):
        peers.ask()
    assert set(asked) == set(many)
