"""seter.prove: who plays which part, and what a load's failures mean."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from common.catalog import Catalog
from common.errors import BadInput
from common.system import System, Target
from seter.prove import make_cast, outage_of, route_line
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def definition() -> tuple[System, Target]:
    return Catalog.open(ROOT / "systems").definition("s3-lb", "container")


def test_the_parts_follow_from_the_system_s_own_checks(definition: tuple[System, Target]) -> None:
    cast = make_cast(*definition)
    assert (cast.client, cast.client_role) == ("cl1", "s3-client")
    assert (cast.routers, cast.router_role) == (("rt1", "rt2"), "node-exporter")
    assert (cast.gateways, cast.victim) == (("gw1", "gw2", "gw3"), "gw1")
    assert cast.addresses == ("192.0.2.10", "2001:db8::10")
    assert cast.outage == 1


def test_a_node_that_is_not_there_cannot_be_the_victim(definition: tuple[System, Target]) -> None:
    with pytest.raises(BadInput, match="gateways has no node 'rt1'"):
        make_cast(*definition, victim="rt1")


def test_a_target_that_is_not_for_experiments_is_left_alone(definition: tuple[System, Target]) -> None:
    system, target = definition
    with pytest.raises(BadInput) as refusal:
        make_cast(system, dataclasses.replace(target, experiments=False))
    assert "experiments = true" in refusal.value.resolution


def test_a_target_whose_timers_are_slower_says_how_long_new_requests_may_fail() -> None:
    cast = make_cast(*Catalog.open(ROOT / "systems").definition("s3-lb", "mixed"))
    assert cast.outage == 3
    assert outage_of(load(2.1, requests=320), killed=1002.0, allowed=cast.outage) == pytest.approx(0.1)
    assert outage_of(load(2.1, requests=300), killed=1002.0, allowed=cast.outage) is None


def test_a_system_without_a_check_of_routes_proves_nothing(definition: tuple[System, Target]) -> None:
    system, target = definition
    checks = tuple(check for check in system.checks if not check.routes)
    with pytest.raises(BadInput, match="no check of kind routes"):
        make_cast(dataclasses.replace(system, checks=checks), target)


def load(*failures: float, requests: int = 320) -> dict[str, Any]:
    return {"started_at": 1000.0, "rate": 40.0, "requests": requests, "failures": [{"planned": at} for at in failures]}


@pytest.mark.parametrize(
    ("failures", "outage"),
    [((), 0.0), ((2.1, 2.3), 0.3), ((1.0,), 0.0), ((2.05, 7.5), 5.5)],
)
def test_the_outage_is_how_late_the_last_failing_request_was_begun(failures: tuple[float, ...], outage: float) -> None:
    assert outage_of(load(*failures), killed=1002.0) == pytest.approx(outage)


def test_a_load_that_ended_too_early_says_nothing() -> None:
    assert outage_of(load(requests=100), killed=1002.0) is None
    assert outage_of({"error": "no route"}, killed=1002.0) is None


def test_a_route_reads_well_in_both_of_iproute2_s_forms() -> None:
    many = json.dumps(
        [{"dst": "a", "nexthops": [{"gateway": "10.0.0.1", "dev": "eth0"}, {"gateway": "10.0.0.2", "dev": "eth1"}]}]
    )
    assert route_line("rt1", "192.0.2.10", many) == "rt1: 192.0.2.10 via 10.0.0.1 dev eth0 and 10.0.0.2 dev eth1"
    one = json.dumps([{"dst": "a", "gateway": "10.0.0.1", "dev": "eth0"}])
    assert route_line("rt1", "192.0.2.10", one) == "rt1: 192.0.2.10 via 10.0.0.1 dev eth0"
    assert route_line("rt1", "192.0.2.10", "") == "rt1: 192.0.2.10 via nothing"
