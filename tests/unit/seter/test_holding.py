"""What has to go on holding: one miss is forgiven, a flicker is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from common.model import Event, Verdict
from seter import holding
from seter.checks import Found
from seter.holding import LAPSES, Watch

LENGTH = timedelta(milliseconds=60)


class World:
    """Looks come out as they are listed, then good; those that wait come out as `waited` says."""

    def __init__(self, looks: list[bool], *, waited: bool = True) -> None:
        self.looks, self.waited, self.begun = looks, waited, 0

    def check_nodes(self, survey: object, nodes: object, report: Any, *, wait: bool) -> list[Found]:
        ok = self.waited if wait else (self.looks.pop(0) if self.looks else True)
        self.begun += wait
        if not ok:
            report(Event("failed", "web on w1: ready: status 404"))
        return [Found("web on w1", Verdict("ready", ok, "status 404", "status 200"), "w1")]

    def check_system(self, *_: object, **__: object) -> list[Found]:
        return []


def watched(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Found], list[Event]]:
    monkeypatch.setattr(holding, "checks", world)
    monkeypatch.setattr(holding, "PAUSE", 0.005)
    said: list[Event] = []
    survey: Any = None
    return Watch(survey, ["w1"], frozenset(), (), said.append).run(LENGTH), said


def test_what_holds_all_the_time_is_well_and_said_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found, said = watched(World([]), monkeypatch)
    assert found == []
    assert [(event.kind, event.subject) for event in said] == [("watching", "w1")]


def test_one_miss_is_forgiven_and_the_time_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([False])
    found, said = watched(world, monkeypatch)
    assert (found, world.begun) == ([], 1)
    assert [event.kind for event in said] == ["watching", "missed", "watching"]


def test_what_does_not_hold_again_in_its_own_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = watched(World([False], waited=False), monkeypatch)
    assert [one.node for one in found] == ["w1"]


def test_what_is_missed_again_and_again_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([False] * (LAPSES + 1))
    found, _ = watched(world, monkeypatch)
    assert [one.node for one in found] == ["w1"]
    assert world.begun == LAPSES + 1
