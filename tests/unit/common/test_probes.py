"""Checks: what is asked, and what counts as good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from common.probe.interface import Scene, wait_for
from common.probe.kinds import probe_of
from common.probe.routes import next_hops
from common.role import Check, Value

TWO_HOPS = '[{"dst":"192.0.2.10","nexthops":[{"gateway":"10.0.0.2"},{"gateway":"10.0.0.3"}]}]'
ONE_HOP = '[{"dst":"192.0.2.10","gateway":"10.0.0.2","dev":"eth0"}]'


@dataclass(frozen=True)
class Said:
    code: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class Asked:
    """Answers from a list, the last one for ever, and what was asked."""

    answers: list[Said]
    argv: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, node: str, role: str, argv: Sequence[str]) -> Said:
        self.argv.append((node, role, *argv))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def scene(asked: Asked, *nodes: str, parameters: Mapping[str, Value] | None = None) -> Scene:
    return Scene(asked, nodes, "role", {"gateways": ("gw1", "gw2")}, parameters or {})


def test_a_command_is_good_when_it_ends_with_0_and_is_bounded() -> None:
    check, asked = Check("ready", command=("is-ready", "--now")), Asked([Said()])
    assert probe_of(check).run(check, scene(asked, "gw1")).ok
    assert asked.argv == [("gw1", "role", "timeout", "10", "is-ready", "--now")]


def test_a_bad_answer_is_a_verdict_that_names_the_node_and_the_last_line() -> None:
    check, asked = Check("ready", command=("is-ready",)), Asked([Said(3, "", "first\nno leader")])
    verdict = probe_of(check).run(check, scene(asked, "gw1"))
    assert (verdict.ok, verdict.measured) == (False, "gw1: no leader")


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (Said(1, '{"ok": false, "summary": "out", "good": 3}'), "out"),
        (
            Said(1, '{"ok": false, "down": ["rt1_v4", "BFD fd00::1"], "bfd": [{"up": true}]}'),
            "down: rt1_v4, BFD fd00::1",
        ),
        (Said(1, "[1, 2]"), "[1, 2]"),
        (Said(1, "x" * 5000), "x" * 299 + "…"),
        (Said(124, '{"ok": true}'), "no end within 10 s"),
        (Said(3), "status 3"),
    ],
)
def test_a_long_answer_is_told_in_few_words(said: Said, read: str) -> None:
    check = Check("ready", command=("is-ready",))
    assert probe_of(check).run(check, scene(Asked([said]), "gw1")).measured == f"gw1: {read}"


def test_http_asks_by_curl_and_compares_the_status() -> None:
    check = Check("ready", http="http://127.0.0.1:8082/ping", expect="200")
    asked = Asked([Said(0, "200")])
    assert probe_of(check).run(check, scene(asked, "gw1")).ok
    assert asked.argv[0][2:] == (
        *("curl", "--silent", "--show-error", "--output", "/dev/null", "--max-time", "10"),
        *("--write-out", "%{http_code}", "http://127.0.0.1:8082/ping"),
    )
    verdict = probe_of(check).run(check, scene(Asked([Said(0, "503")]), "gw1"))
    assert (verdict.ok, verdict.measured, verdict.expected) == (False, "gw1: status 503", "status 200")


@pytest.mark.parametrize(("text", "count"), [(TWO_HOPS, 2), (ONE_HOP, 1), ("[]", 0), ("", 0)])
def test_next_hops_are_counted_as_iproute2_prints_them(text: str, count: int) -> None:
    assert next_hops(text) == count


def test_routes_need_as_many_next_hops_as_the_group_has_nodes_for_every_address_on_every_node() -> None:
    check = Check("spread", routes="vips", on="routers", expect="gateways")
    parameters: dict[str, Value] = {"vips": ("192.0.2.10", "2001:db8::10")}
    asked = Asked([Said(0, TWO_HOPS)])
    assert probe_of(check).run(check, scene(asked, "rt1", "rt2", parameters=parameters)).ok
    assert [argv[2:] for argv in asked.argv[:2]] == [
        ("timeout", "10", "ip", "-4", "-json", "route", "show", "192.0.2.10"),
        ("timeout", "10", "ip", "-6", "-json", "route", "show", "2001:db8::10"),
    ]
    answers = [Said(0, TWO_HOPS), Said(0, ONE_HOP)]
    verdict = probe_of(check).run(check, scene(Asked(answers), "rt1", "rt2", parameters=parameters))
    assert verdict.measured == "rt1: 1 next hops for 2001:db8::10"


def test_s3_is_a_round_trip_of_the_client() -> None:
    check, asked = Check("round-trip", s3="dns_name", on="clients"), Asked([Said()])
    assert probe_of(check).run(check, scene(asked, "cl1")).ok
    assert asked.argv[0][2:] == (
        *("timeout", "30", "/usr/local/lib/seter/s3-client", "round-trip", "--size", "1024", "--json"),
    )


def test_a_check_waits_until_it_holds() -> None:
    check, asked = Check("ready", command=("x",), within=timedelta(seconds=5)), Asked([Said(1), Said(0)])
    assert wait_for(probe_of(check), check, scene(asked, "gw1")).ok
    assert len(asked.argv) == 2


def test_a_check_waits_no_longer_than_it_may() -> None:
    check, asked = Check("ready", command=("x",), within=timedelta(0)), Asked([Said(1)])
    assert not wait_for(probe_of(check), check, scene(asked, "gw1")).ok
    assert len(asked.argv) == 1


def test_s3_through_a_node_takes_its_address_and_the_sizes_in_turn_until_one_fails() -> None:
    check = Check("each", s3="dns_name", on="clients", through="gateways", sizes=(1024, 1 << 20, 1 << 30))
    asked = Asked([Said(), Said(1, '{"ok": false, "error": "EntityTooLarge"}', "warning")])
    verdict = probe_of(check).run(check, replace(scene(asked, "cl1"), through="10.0.0.4"))
    assert [words[5:] for words in asked.argv] == [
        ("round-trip", "--size", str(size), "--json", "--vip", "10.0.0.4") for size in (1024, 1 << 20)
    ]
    assert (verdict.ok, verdict.measured) == (False, "cl1: 1048576 bytes by 10.0.0.4: EntityTooLarge")
