"""A node is told that it is heard, from before a change that may cut it off until a check of it holds."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from common.errors import Unavailable
from common.model import Event, Verdict
from common.role import Process
from common.system import Rollout
from seter.checks import Found
from seter.hearing import Hearing
from seter.plan import Act, Step


class Nodes:
    """Writes down what it is asked; `lost` nodes do not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lost = False

    def arm(self, node: str, roles: Collection[str], within: int) -> bool:
        self.asked.append(f"arm {node} for {', '.join(roles)} {within}")
        return True

    def heard(self, node: str) -> bool:
        self.asked.append(f"heard {node}")
        if self.lost:
            raise Unavailable("no answer", resolution="")
        return True

    def disarm(self, node: str) -> bool:
        self.asked.append(f"disarm {node}")
        return True


def hearing(nodes: Nodes, said: list[Event], confirm: timedelta = timedelta(seconds=1)) -> Hearing:
    firewall, web = Process(("firewall",), cuts_off=True), Process(("web",))

    class Seat:
        def __init__(self, name: str, process: Process) -> None:
            self.role = type("Role", (), {"name": name, "process": process})()

    class Blueprint:
        system = type("System", (), {"rollout": Rollout(confirm=confirm)})()

        def seats_of(self, node: str) -> list[Seat]:
            return [Seat("firewall", firewall), Seat("web", web)]

    survey: Any = type("Survey", (), {"blueprint": Blueprint(), "provisioner": nodes})()
    return Hearing(survey, said.append)


def restart(role: str) -> list[Step]:
    return [Step(Act.WRITE_FILES, "g", "n1"), Step(Act.RESTART, "g", "n1", role)]


def heard(nodes: Nodes, times: int) -> None:
    end = time.monotonic() + 20
    while nodes.asked.count("heard n1") < times:
        assert time.monotonic() < end
        time.sleep(0.02)


def found(*, ok: bool) -> list[Found]:
    return [Found("web on n1", Verdict("ready", ok, "", ""), "n1")]


def test_it_is_told_until_a_check_of_it_holds() -> None:
    nodes, said = Nodes(), list[Event]()
    made = hearing(nodes, said)
    made.arm("n1", restart("firewall"))
    heard(nodes, 1)
    made.conclude(found(ok=False))
    assert "disarm n1" not in nodes.asked
    made.conclude(found(ok=True))
    count = len(nodes.asked)
    assert nodes.asked[0] == "arm n1 for firewall 1"
    assert "disarm n1" in nodes.asked
    time.sleep(1)
    assert len(nodes.asked) <= count + 1  # one may have been on its way
    assert [event.kind for event in said] == ["guard"]


def test_what_cannot_cut_it_off_needs_no_guard_and_neither_where_none_is_wanted() -> None:
    nodes = Nodes()
    hearing(nodes, []).arm("n1", restart("web"))
    hearing(nodes, [], timedelta(0)).arm("n1", restart("firewall"))
    assert nodes.asked == []


def test_a_node_that_does_not_answer_is_told_again_and_again_and_then_left_to_itself() -> None:
    nodes = Nodes()
    nodes.lost = True
    made = hearing(nodes, [])
    made.arm("n1", restart("firewall"))
    heard(nodes, 2)
    made.close()
    time.sleep(1)
    count = nodes.asked.count("heard n1")
    time.sleep(0.4)
    assert nodes.asked.count("heard n1") == count
    assert "disarm n1" not in nodes.asked
