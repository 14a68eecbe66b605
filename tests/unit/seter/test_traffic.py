"""The pure parts of acting on nodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from common.errors import NotFound
from common.role import Process, Role, RoleType
from common.system import Deployment, Group, Node, System, Target
from seter.blueprint import Blueprint, Seat, read_blueprint
from seter.provisioner.interface import Answer, Provisioner
from seter.traffic import Traffic, admission, agent_of, foreign_connections, stop_order
from tests.conftest import ROOT


def test_a_node_s_own_probes_do_not_keep_it_from_being_idle() -> None:
    listing = (
        "0 0 127.0.0.1:443 127.0.0.1:60532\n"
        "0 0 [::ffff:127.0.0.1]:443 [::ffff:127.0.0.1]:60533\n"
        "0 0 [::1]:443 [::1]:60534\n"
        "0 0 192.0.2.10:443 192.0.2.10:60535\n"
    )
    assert foreign_connections(listing) == 0


def test_connections_from_elsewhere_are_counted_in_both_families() -> None:
    listing = "0 0 [::ffff:192.0.2.10]:443 [::ffff:10.1.0.8]:50000\n0 0 [2001:db8::10]:443 [fd00::8]:50001\n"
    assert foreign_connections(listing) == 2
    assert foreign_connections("") == 0


def test_a_group_s_command_is_run_by_the_role_of_the_program_s_name() -> None:
    argv = ("/usr/local/lib/seter/health", "withdraw")
    assert agent_of(["etcd", "health", "late"], argv) == "health"
    assert agent_of(["etcd", "late"], argv) == "late"


def test_admission_takes_the_withdrawal_back() -> None:
    assert admission(("/usr/local/lib/seter/health", "withdraw", "--now")) == (
        *("/usr/local/lib/seter/health", "admit", "--now"),
    )


def test_connections_that_clients_keep_for_later_are_not_waited_for() -> None:
    line = "{waiting} {unsent} [::ffff:192.0.2.10]:443 [::ffff:10.0.0.7]:40000 cubic lastsnd:{sent} lastrcv:{got} x:1"
    cases = [
        ({"waiting": 0, "unsent": 0, "sent": 6000, "got": 7000}, 0),
        ({"waiting": 0, "unsent": 0, "sent": 60000, "got": 100}, 1),  # an upload
        ({"waiting": 0, "unsent": 0, "sent": 100, "got": 60000}, 1),  # a download
        ({"waiting": 0, "unsent": 900, "sent": 60000, "got": 60000}, 1),  # a download to somebody slow
        ({"waiting": 5, "unsent": 0, "sent": 60000, "got": 60000}, 1),
    ]
    for values, count in cases:
        assert foreign_connections(line.format(**values)) == count, values


class Cut:
    """A node on which a roll-out was cut off: of its processes only this one is left."""

    def execute(self, node: str, role: str, argv: Sequence[str], *, user: str = "") -> Answer:
        if role != "web":
            raise NotFound(f"no {role} on {node}", resolution="Deploy.")
        return Answer(0, "0 0 192.0.2.10:443 10.1.0.8:50000 lastsnd:0 lastrcv:0\n", "")


def test_a_node_whose_agent_a_cut_roll_out_has_stopped_already_is_withdrawn_and_waited_for() -> None:
    roles = [Role(name, RoleType.SERVICE, "", Path(), process=Process((name,))) for name in ("web", "agent")]
    group = Group("g", (), withdraw=("/x/agent", "withdraw"), idle_ports=(443,))
    blueprint = Blueprint(
        Deployment("s", "t", "i"),
        System("s", "", (), (group,)),
        Target("t", "container", (Node("n1", "g"),), Path()),
        tuple(Seat(Node("n1", "g"), role, {}, "") for role in roles),
        Path(),
    )
    said: list[str] = []
    provisioner = cast(Provisioner, Cut())
    traffic = Traffic(blueprint, provisioner, lambda event: said.append(event.message), timedelta(0))
    assert traffic.withdraw("n1", without_agent=True) == 1
    assert said == ["", "who would do it does not run", "1 connections are still open"]
    with pytest.raises(NotFound):
        traffic.withdraw("n1")


def test_who_serves_is_stopped_before_what_its_clients_connections_need() -> None:
    """The ring of gateways, which BIRD keeps: without it a client is told that nobody knows its connection."""
    blueprint = read_blueprint(Deployment("s3-lb", "container"), ROOT / "systems")
    stopped = [role for role, _ in stop_order(blueprint, "gw1")][::-1]
    assert stopped[0] == "traefik" and stopped.index("health") < stopped.index("bird-gateway") < stopped.index("etcd")
    assert dict(stop_order(blueprint, "gw1"))["bird-gateway"] == 10
    assert [role for role, _ in stop_order(blueprint, "rt1")][-1] == blueprint.seats_of("rt1")[-1].role.name
