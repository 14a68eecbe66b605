"""What runs through a whole roll-out: begun before, asked between, ended after."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.model import Event
from common.role import Check
from seter import throughout
from seter.provisioner.interface import Answer
from seter.throughout import Throughout


@dataclass
class Client:
    """A client whose upload goes on until its file is removed, or until it breaks."""

    gone: threading.Event = field(default_factory=threading.Event)
    broken: Answer | None = None
    asked: list[Sequence[str]] = field(default_factory=list)

    def __call__(self, node: str, role: str, argv: Sequence[str]) -> Answer:
        self.asked.append(argv)
        if argv[0] == "rm":
            self.gone.set()
        if argv[0] in ("rm", "touch"):
            return Answer(0, "", "")
        self.gone.wait(10)
        return self.broken or Answer(0, "{}", "")

    def breaks(self, words: str) -> None:
        self.broken = Answer(1, json.dumps({"error": words}), "")
        self.gone.set()


class World:
    """As much of a survey as is looked at."""

    vault = None

    def __init__(self) -> None:
        checks = (Check("upload", s3="name", on="clients", throughout=True), Check("spread", routes="vips"))
        self.blueprint: Any = type("B", (), {"system": type("S", (), {"name": "s", "checks": checks})()})()
        serves = type("N", (), {"serves": True})()
        self.observed: Any = type("O", (), {"nodes": {"cl1": serves}})()
        self.changed: list[str] = []

    @property
    def plan(self) -> Any:
        return type("P", (), {"steps": [type("S", (), {"node": node})() for node in self.changed]})()

    def groups(self) -> dict[str, tuple[str, ...]]:
        return {"clients": ("cl1",)}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(throughout, "executor", lambda _: made)
    monkeypatch.setattr(throughout, "role_of", lambda *_: "s3-client")
    monkeypatch.setattr(throughout, "FIRST", 0.2)
    return made


def begun(*changed: str) -> tuple[Throughout, list[Event]]:
    said: list[Event] = []
    world: Any = World()
    world.changed = list(changed)
    made = Throughout(world, said.append)
    made.begin()
    return made, said


def test_it_is_well_when_it_ends_as_it_was_told_to(client: Client) -> None:
    use, said = begun()
    assert use.broken() == []
    (found,) = use.end()
    assert found.verdict.ok
    touched, started, removed = client.asked
    assert touched[0] == "touch" and started[1:3] == ("upload", "--while") and removed[0] == "rm"
    assert touched[1] == started[3] == removed[2]
    assert [event.kind for event in said] == ["check"]


def test_one_that_breaks_is_found_between_two_nodes_and_told_of_once(client: Client) -> None:
    use, _ = begun()
    client.breaks("connection reset")
    while not (found := use.broken()):
        pass
    assert found[0].verdict.measured == "connection reset"
    assert (use.broken(), use.end()) == ([], [])


def test_one_that_could_not_even_begin_is_no_fault_of_the_roll_out(client: Client) -> None:
    client.breaks("no route to host")
    use, said = begun()
    assert (use.broken(), use.end()) == ([], [])
    assert "it was not well before either" in said[0].message


def test_nothing_is_left_of_it_when_nobody_waits_for_the_end(client: Client) -> None:
    use, _ = begun()
    use.abandon()
    assert client.gone.is_set()
    assert use.end() == []


def test_who_is_changed_by_the_roll_out_itself_does_not_use_the_service_meanwhile(client: Client) -> None:
    use, said = begun("cl1")
    assert (use.broken(), use.end(), client.asked) == ([], [], [])
    assert said[0].kind == "left out" and "cl1" in said[0].message
