from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import health
import pytest
from bird_control import Bird
from health_agent import Agent, Config, Judge, Neighbours, Outcome, Probe, Wish, proven
from health_state import Chorus, States

from seter.certificates import make_authority, make_certificate
from tests.unit.systems.bird_stand_in import StandIn, stand_in

GOOD, SLOW, BAD = Outcome.GOOD, Outcome.SLOW, Outcome.BAD
NAME = "s3.example.test"
MAIN = {"name": "main", "dns_name": NAME, "vips": ["192.0.2.10", "2001:db8::10"], "protocols": ["vip4", "vip6"]}


def config(folder: Path, **changes: object) -> Config:
    document = {
        "services": [MAIN],
        "interval": 0.01,
        "timeout": 0.3,
        "connect_within": 0.04,
        "fall": 2,
        "rise": 2,
        "calm": 60.0,
        "most": 300,
        "fresh_every": 3,
        "ca": str(folder / "ca.crt"),
        "bird": str(folder / "ctl"),
        "folder": str(folder),
        "metrics_port": 9551,
        "metrics_address": "127.0.0.1",
    }
    path = folder / "health.json"
    path.write_text(json.dumps(document | changes))
    return Config.read(str(path))


# The verdict


@pytest.mark.parametrize(
    ("outcomes", "verdicts"),
    [
        ([GOOD, GOOD], [False, True]),
        ([GOOD, BAD, GOOD, GOOD], [False, False, False, True]),
        ([GOOD, GOOD, BAD], [False, True, False]),
        ([GOOD, GOOD, SLOW, GOOD, SLOW, GOOD], [False, True, True, True, True, True]),
        ([GOOD, GOOD, SLOW, SLOW], [False, True, True, False]),
        ([GOOD, SLOW, GOOD, GOOD], [False, False, False, True]),
    ],
)
def test_bad_counts_at_once_slow_when_it_repeats_and_good_when_it_repeats(
    outcomes: list[Outcome], verdicts: list[bool]
) -> None:
    judge = Judge(fall=2, rise=2)
    assert [judge.hear(outcome) for outcome in outcomes] == verdicts


def test_a_node_that_flaps_has_to_do_well_for_longer_each_time_and_is_forgiven_later() -> None:
    judge, clock = Judge(fall=2, rise=2, calm=60, most=10), 0.0

    def needed_after_a_fall() -> int:
        judge.hear(BAD, clock)
        count = 0
        while not judge.healthy:
            count += 1
            judge.hear(GOOD, clock)
        return count

    judge.hear(GOOD), judge.hear(GOOD)
    found = []
    for _ in range(5):
        clock += 10
        found.append(needed_after_a_fall())
    assert found == [2, 4, 8, 10, 10]
    clock += 61
    assert needed_after_a_fall() == 2


def test_checks_of_a_node_that_is_down_are_no_flaps() -> None:
    judge = Judge(fall=2, rise=2)
    judge.hear(GOOD), judge.hear(GOOD)
    for _ in range(100):
        judge.hear(BAD, 1.0)
    assert [judge.hear(GOOD, 2.0), judge.hear(GOOD, 2.0)] == [False, True]


# What BIRD is told


class Bench:
    """An agent on a stand-in of BIRD whose check answers what a test says."""

    def __init__(self, folder: Path, bird: StandIn) -> None:
        self.bird = bird
        self.answer: Callable[[], tuple[Outcome, str]] = lambda: (GOOD, "")
        self.wish = Wish(folder / "wish")
        self.ticked: list[str] = []
        told = config(folder)
        bird_of_agent = Bird(str(folder / "ctl"))
        self.agent = Agent(told, told.services[0], bird_of_agent, lambda: self.answer(), self.wish, self.ticked.append)
        self.state = self.agent.state

    def tick(self, outcome: Outcome = GOOD, times: int = 1) -> None:
        self.answer = lambda: (outcome, "" if outcome is GOOD else "as the test says")
        for _ in range(times):
            self.agent.tick()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with stand_in(tmp_path / "ctl") as bird:
        yield Bench(tmp_path, bird)


def test_nothing_is_announced_before_the_node_has_served_twice(bench: Bench) -> None:
    bench.tick()
    assert bench.bird.up == {"vip4": False, "vip6": False}
    bench.tick()
    assert bench.bird.up == {"vip4": True, "vip6": True}
    assert bench.state.report()["settled"]


def test_all_families_are_withdrawn_together_when_the_service_dies(bench: Bench) -> None:
    bench.tick(times=2)
    bench.tick(BAD)
    assert bench.bird.up == {"vip4": False, "vip6": False}
    assert not bench.state.announced


def test_a_bird_that_knows_one_family_only_announces_none(tmp_path: Path) -> None:
    with stand_in(tmp_path / "ctl", ("vip4",)) as bird:
        bench = Bench(tmp_path, bird)
        bench.tick(times=3)
        assert bird.up == {"vip4": False}
        assert not bench.state.announced


def test_a_reconfiguration_that_disables_is_put_right_on_the_next_tick(bench: Bench) -> None:
    bench.tick(times=2)
    bench.bird.up.update(vip4=False, vip6=False)
    bench.tick()
    assert bench.bird.up == {"vip4": True, "vip6": True}
    assert bench.state.corrections == 1


def test_a_reconfiguration_that_enables_does_not_bring_a_drained_node_back(bench: Bench) -> None:
    bench.wish.withdraw()
    bench.tick(times=3)
    bench.bird.up.update(vip4=True, vip6=True)
    bench.tick()
    assert bench.bird.up == {"vip4": False, "vip6": False}
    assert bench.state.report()["wanted"] == "withdrawn" and bench.state.healthy


def test_one_family_alone_is_never_left_announced(bench: Bench) -> None:
    bench.tick(times=2)
    bench.bird.up.update(vip6=False)
    bench.tick()
    assert bench.bird.up == {"vip4": True, "vip6": True}


@pytest.fixture
def attentive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One that asks for its neighbours at each tick."""
    monkeypatch.setattr(Neighbours, "EVERY", 0.0)
    return bench


def test_a_node_that_lost_all_its_routers_is_out_and_has_to_do_well_again(attentive: Bench) -> None:
    bench = attentive
    bench.bird.routers = {"rt1_v4": True, "rt2_v4": False}
    bench.tick(times=2)
    assert bench.state.announced and not bench.state.cut_off
    bench.bird.routers = {"rt1_v4": False, "rt2_v4": False}
    bench.tick()
    assert not bench.state.announced and bench.state.cut_off and "no router" in bench.state.reason
    bench.bird.routers = {"rt1_v4": False, "rt2_v4": True}
    bench.tick()
    assert not bench.state.announced and not bench.state.cut_off
    bench.tick()
    assert bench.state.announced


def test_a_node_that_no_router_has_heard_yet_is_announced(attentive: Bench) -> None:
    attentive.bird.routers = {"rt1_v4": False}
    attentive.tick(times=2)
    assert attentive.state.announced and not attentive.state.cut_off


@contextmanager
def told(document: object) -> Iterator[int]:
    """Somebody who says this at /status; the port."""

    class Says(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("document", "holds"), [({"proven": True}, True), ({"proven": False}, False), ({}, True), ([], True), ("x", True)]
)
def test_only_who_says_that_requests_fail_keeps_a_node_out(document: object, holds: bool) -> None:
    with told(document) as port:
        assert proven(port) is holds


def test_where_nobody_says_anything_nothing_speaks_against_a_node() -> None:
    assert proven(0) and proven(1)


def test_a_node_stays_out_until_real_requests_succeed_and_is_not_taken_out_for_them(
    tmp_path: Path, bench: Bench
) -> None:
    said = {"proven": False}
    with told(said) as port:
        main = config(tmp_path, services=[MAIN | {"proof": port}]).services[0]
        agent = Agent(
            config(tmp_path), main, Bird(str(tmp_path / "ctl")), lambda: (GOOD, ""), bench.wish, bench.ticked.append
        )
        for _ in range(5):
            agent.tick()
        assert not agent.state.announced and "no requests yet" in agent.state.reason
        said["proven"] = True
        agent.tick(), agent.tick()
        assert agent.state.announced
        said["proven"] = False
        agent.tick(), agent.tick()
        assert agent.state.announced


def test_a_check_that_cannot_run_withdraws(bench: Bench) -> None:
    bench.tick(times=2)

    def broken() -> tuple[Outcome, str]:
        raise MemoryError("no more")

    bench.answer = broken
    bench.agent.tick()
    assert bench.bird.up == {"vip4": False, "vip6": False}
    assert "cannot check" in bench.state.reason


def test_the_end_of_the_agent_withdraws(bench: Bench) -> None:
    bench.tick(times=2)
    bench.agent.withdraw()
    assert bench.bird.up == {"vip4": False, "vip6": False}


def test_an_agent_that_crashed_and_came_back_does_not_make_the_route_flap(bench: Bench) -> None:
    bench.bird.up.update(vip4=True, vip6=True)
    bench.agent.adopt()
    bench.tick()
    assert not [command for command in bench.bird.asked if command.startswith("disable")]


def test_the_agent_outlives_a_bird_that_dies_and_announces_when_it_is_back(tmp_path: Path) -> None:
    with stand_in(tmp_path / "ctl") as first:
        bench = Bench(tmp_path, first)
        bench.tick(times=2)
    bench.tick()
    assert not bench.state.announced and bench.state.bird_failures == 1
    (tmp_path / "ctl").unlink()
    with stand_in(tmp_path / "ctl") as second:
        bench.tick()
        assert second.up == {"vip4": True, "vip6": True}


def test_nothing_is_told_to_bird_while_nothing_changes(bench: Bench) -> None:
    bench.tick(times=2)
    bench.bird.asked.clear()
    bench.tick(times=5)
    assert all(command.startswith("show") for command in bench.bird.asked)


# Several services

ARCHIVE = {"name": "archive", "dns_name": "archive.test", "vips": ["192.0.2.20"], "protocols": ["vip4_archive"]}


def test_a_service_that_fails_takes_its_own_virtual_ips_alone(tmp_path: Path) -> None:
    told = config(tmp_path, services=[MAIN, ARCHIVE])
    with stand_in(tmp_path / "ctl", told.protocols) as bird:
        heard: list[str] = []
        good, bad = (
            Agent(told, service, Bird(str(tmp_path / "ctl")), answer, Wish(tmp_path / service.name), heard.append)
            for service, answer in zip(told.services, (lambda: (GOOD, ""), lambda: (BAD, "it is dead")), strict=True)
        )
        for _ in range(3):
            good.tick(), bad.tick()
        assert bird.up == {"vip4": True, "vip6": True, "vip4_archive": False}
        assert heard == ["main", "archive"] * 3
        states = States({"main": good.state, "archive": bad.state})
        assert states.report()["summary"] == "main announced, archive out"
        assert not states.report()["settled"] and states.report()["services"]["archive"]["reason"] == "it is dead"
        lines = states.metrics().splitlines()
        assert 'health_announced{service="archive"} 0' in lines
        assert 'health_prefix_announced{prefix="2001:db8::10/128"} 1' in lines
        assert 'health_checks_total{service="archive",outcome="bad"} 3' in lines


def test_one_service_is_withdrawn_and_admitted_by_its_name(tmp_path: Path) -> None:
    told = config(tmp_path, services=[MAIN, ARCHIVE])
    with stand_in(tmp_path / "ctl", told.protocols) as bird:
        bird.up.update(dict.fromkeys(told.protocols, True))
        assert health.withdraw(health.only(told, "archive")) == 0
        assert bird.up == {"vip4": True, "vip6": True, "vip4_archive": False}
        assert [Wish(tmp_path / name).withdrawn() for name in ("wish", "wish-archive")] == [False, True]
    with pytest.raises(ValueError, match="there is no service 'archiv'; there is main, archive"):
        health.only(told, "archiv")


def test_the_agent_lives_only_while_every_service_is_checked() -> None:
    beats: list[int] = []
    chorus = Chorus(["main", "archive"], lambda: beats.append(1))
    for _ in range(5):
        chorus.hear("main")
    assert not beats
    chorus.hear("archive")
    chorus.hear("archive")
    assert len(beats) == 1


# The operator's wish


def test_a_wish_outlives_the_agent_but_not_the_node(tmp_path: Path) -> None:
    Wish(tmp_path / "wish").withdraw()
    assert Wish(tmp_path / "wish").withdrawn()
    assert not Wish(tmp_path / "wish", life="another boot").withdrawn()


def test_a_wish_can_be_taken_back(tmp_path: Path) -> None:
    wish = Wish(tmp_path / "wish")
    wish.withdraw()
    wish.admit()
    assert not wish.withdrawn()


def test_without_a_wish_the_checks_decide_and_an_unreadable_one_keeps_the_node_out(tmp_path: Path) -> None:
    wish = Wish(tmp_path / "wish")
    assert not wish.withdrawn()
    (tmp_path / "wish").mkdir()
    assert wish.withdrawn()


# The check, against a real TLS server


class Service:
    """An HTTPS server: `status` is what it answers, `delay` seconds how long it thinks, `connections` how many came."""

    def __init__(self, folder: Path, name: str) -> None:
        self.status, self.delay, self.connections = 200, 0.0, 0
        authority = make_authority("test")
        pair = make_certificate(authority, name, [name])
        (folder / "ca.crt").write_text(authority.certificate)
        (folder / "server.pem").write_text(pair.key + pair.certificate)
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def do_GET(self) -> None:
                time.sleep(service.delay)
                right = (self.path, self.headers["Host"]) == ("/swift/healthcheck", NAME)
                self.send_response(service.status if right else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.server.server_address[1])


@contextmanager
def serving(folder: Path, name: str = NAME) -> Iterator[Service]:
    service = Service(folder, name)
    try:
        yield service
    finally:
        service.server.shutdown()
        service.server.server_close()


def probe(folder: Path, address: tuple[str, int], **changes: object) -> Probe:
    told = config(folder, **changes)
    return Probe(told, told.services[0], address)


def test_a_service_that_answers_is_good_and_the_connection_is_kept_for_some_checks(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        asking = probe(tmp_path, service.address)
        assert [asking.check() for _ in range(7)] == [(GOOD, "")] * 7
        assert service.connections == 3


def test_a_wrong_answer_is_bad_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.status = 503
        assert probe(tmp_path, service.address).check() == (BAD, "answer 503 to /swift/healthcheck")


def test_a_late_answer_is_slow_and_not_bad(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.delay = 1.0
        outcome, reason = probe(tmp_path, service.address, timeout=0.1).check()
        assert (outcome, reason) == (SLOW, "no answer within 0.1 s")


def test_a_refused_connection_is_bad(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        address = service.address
    outcome, reason = probe(tmp_path, address).check()
    assert outcome is BAD and "ConnectionRefused" in reason


def test_a_certificate_for_another_name_is_bad(tmp_path: Path) -> None:
    with serving(tmp_path, "other.example.test") as service:
        outcome, reason = probe(tmp_path, service.address).check()
        assert outcome is BAD and "CERTIFICATE_VERIFY_FAILED" in reason


def test_a_certificate_of_another_authority_is_bad(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        (tmp_path / "ca.crt").write_text(make_authority("somebody else").certificate)
        outcome, reason = probe(tmp_path, service.address).check()
        assert outcome is BAD and "CERTIFICATE_VERIFY_FAILED" in reason


def test_a_missing_authority_is_bad_and_not_a_crash(tmp_path: Path) -> None:
    outcome, reason = probe(tmp_path, ("127.0.0.1", 1)).check()
    assert outcome is BAD and "FileNotFoundError" in reason


def test_a_kept_connection_that_was_closed_says_nothing_about_the_service(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        asking = probe(tmp_path, first.address, fresh_every=100)
        assert asking.check() == (GOOD, "")
        kept = asking._connection
        assert kept is not None and kept.sock is not None
        kept.sock.close()
        assert asking.check() == (GOOD, "")


# The configuration


def test_a_configuration_without_virtual_ips_is_refused(tmp_path: Path) -> None:
    for services in ([], [MAIN | {"protocols": []}]):
        with pytest.raises(ValueError, match="each service has a virtual IP"):
            config(tmp_path, services=services)


def test_a_configuration_that_lacks_something_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "health.json").write_text("{}")
    with pytest.raises(ValueError, match="services"):
        Config.read(str(tmp_path / "health.json"))
