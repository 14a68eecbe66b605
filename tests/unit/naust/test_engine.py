from __future__ import annotations

from typing import Any, cast

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from naust.content.engine import _layers_known


class Api:
    """An engine with three images, one of which somebody else is just removing."""

    def __init__(self, fault: APIError) -> None:
        self.fault = fault

    def images(self, **_: object) -> list[str]:
        return ["short", "going", "long"]

    def inspect_image(self, name: str) -> dict[str, Any]:
        if name == "going":
            raise self.fault
        return {"RootFS": {"Layers": ["a", "b"] if name == "long" else ["a"]}}


@pytest.mark.parametrize("fault", [APIError("layer does not exist"), ImageNotFound("no such image")])
def test_an_image_that_others_remove_meanwhile_is_not_counted_on(fault: APIError) -> None:
    class Client:
        api = Api(fault)

    assert _layers_known(cast(docker.DockerClient, Client()), ["a", "b", "c"]) == 2
