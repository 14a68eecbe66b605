"""What a node's /run is called when the engine does not let go of an earlier one."""

from __future__ import annotations

from typing import Any

import docker.errors
import pytest
from requests import Response

from common.errors import Conflict
from common.system import Deployment
from seter.provisioner import labels
from seter.provisioner.interface import NodeShape
from seter.provisioner.volumes import Volumes

DEPLOYMENT = Deployment("s3-lb", "container", "main")
SHAPE = NodeShape("gw1", "gateways", 1, 3, "sha256:base", (("fabric", "10.0.0.3", "fd00::3"),), (), "shape-1")
RUN, ETC, STATE = (f"s3-lb.container.main.gw1.{volume}" for volume in ("run", "etc", "state"))
WORDS = {409: "volume is in use", 500: "volume has active mounts", 503: "no such driver"}


class Held:
    """Volumes by name; some are not let go, with a status of dockerd's."""

    def __init__(self, *names: str, held: dict[str, int] | None = None, owner: str = str(DEPLOYMENT)) -> None:
        self.there = {name: {"Name": name, "Labels": {labels.DEPLOYMENT: owner}} for name in names}
        self.held, self.owner = held or {}, owner

    def volumes(self, *, filters: dict[str, Any]) -> dict[str, Any]:
        mine = f"{labels.DEPLOYMENT}={self.owner}" in filters["label"]
        return {"Volumes": list(self.there.values()) if mine else None}

    def create_volume(self, name: str, *, driver_opts: dict[str, Any], labels: dict[str, Any]) -> dict[str, Any]:
        assert bool(driver_opts) == (".run" in name)
        return self.there.setdefault(name, {"Name": name, "Labels": labels})

    def remove_volume(self, name: str) -> None:
        if status := self.held.get(name):
            answer = Response()
            answer.status_code = status
            raise docker.errors.APIError("", answer, WORDS[status])
        del self.there[name]


def made(engine: Held) -> dict[str, str]:
    return dict(Volumes(engine, DEPLOYMENT).make(SHAPE))


def test_a_node_has_three_volumes_with_its_name() -> None:
    assert made(Held()) == {RUN: "/run", ETC: "/etc/seter", STATE: "/var/lib/seter"}


def test_memory_of_an_earlier_life_is_made_anew_and_what_is_kept_is_not() -> None:
    engine = Held(RUN, ETC, STATE)
    before = dict(engine.there)
    assert RUN in made(engine)
    assert engine.there[RUN] is not before[RUN] and engine.there[ETC] is before[ETC]


def test_a_node_that_was_set_aside_shares_its_memory() -> None:
    assert RUN in made(Held(RUN, ETC, STATE, held={RUN: 409}))


def test_memory_that_the_engine_has_miscounted_is_not_taken_over() -> None:
    assert f"{RUN}3" in made(Held(RUN, f"{RUN}2", held={RUN: 500, f"{RUN}2": 500}))
    assert f"{RUN}2" in made(Held(RUN, f"{RUN}2", held={RUN: 500}))


def test_anything_else_that_the_engine_says_is_said() -> None:
    with pytest.raises(docker.errors.APIError, match="no such driver"):
        made(Held(RUN, held={RUN: 503}))


def test_another_s_volume_is_never_removed() -> None:
    engine = Held(RUN, owner="somebody/else/main")
    with pytest.raises(Conflict):
        made(engine)
    assert engine.there[RUN]["Labels"] == {labels.DEPLOYMENT: "somebody/else/main"}


def test_all_others_go_where_one_is_held() -> None:
    engine = Held(RUN, ETC, STATE, held={RUN: 500})
    assert dict(Volumes(engine, DEPLOYMENT).remove()) == {RUN: False, ETC: True, STATE: True}
    assert set(engine.there) == {RUN}
