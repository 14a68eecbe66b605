"""An image's configuration is the base's and what the role says (bug case SM-01)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from common.model import Digest
from common.role import Image
from smie.image import PATH, base_config, role_config

DATE = datetime(2026, 11, 23, 11, 22, 38, tzinfo=UTC)
BELOW, ABOVE = Digest.of(b"below"), Digest.of(b"above")
FULL = {
    "Entrypoint": ["/sbin/init"],
    "Cmd": ["--log-level=info"],
    "User": "nobody",
    "WorkingDir": "/srv",
    "Env": [PATH, "A=1"],
    "StopSignal": "SIGINT",
    "ExposedPorts": {"80/tcp": {}},
    "Labels": {"a": "b"},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000},
    "Volumes": {"/data": {}},
}


def parent(config: dict[str, Any] = FULL) -> bytes:
    return json.dumps(
        json.loads(base_config(BELOW, DATE, "amd64", "base")) | {"config": config, "author": "somebody"}
    ).encode()


def of(image: Image, config: dict[str, Any] = FULL) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(role_config(parent(config), image, (ABOVE,), DATE, "role"))
    return made


def test_a_role_that_says_nothing_keeps_every_field_of_its_base() -> None:
    assert of(Image("container", "base"))["config"] == FULL


def test_an_empty_entrypoint_is_really_empty() -> None:
    made = of(Image("container", "base", entrypoint=()))["config"]
    assert made == {key: value for key, value in FULL.items() if key != "Entrypoint"}


def test_only_what_the_role_says_differs() -> None:
    image = Image(
        "container", "base", command=("--debug",), environment=(("A", "2"), ("B", "3=4")), labels=(("c", "d"),)
    )
    changed = {"Cmd": ["--debug"], "Env": [PATH, "A=2", "B=3=4"], "Labels": {"a": "b", "c": "d"}}
    assert of(image)["config"] == FULL | changed


def test_a_base_without_anything_takes_what_the_role_says() -> None:
    image = Image("container", "base", command=("x",), environment=(("A", "1"),), labels=(("a", "b"),))
    assert of(image, {})["config"] == {"Cmd": ["x"], "Env": ["A=1"], "Labels": {"a": "b"}}


def test_layers_lie_on_top_of_the_bases() -> None:
    made = of(Image("container", "base"))
    assert made["rootfs"] == {"type": "layers", "diff_ids": [str(BELOW), str(ABOVE)]}
    assert [entry["created_by"] for entry in made["history"]] == ["smie build base", "smie build role"]
    assert (made["created"], made["os"], made["architecture"]) == ("2026-11-23T11:22:38Z", "linux", "amd64")


def test_the_same_inputs_give_the_same_bytes() -> None:
    image = Image("container", "base")
    assert role_config(parent(), image, (ABOVE,), DATE, "r") == role_config(parent(), image, (ABOVE,), DATE, "r")
