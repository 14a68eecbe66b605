from __future__ import annotations

from typing import Any, cast

import docker
import docker.errors

from smie.builder.container import CHECKED, _forget


class Images:
    """Names of images, of which another smie takes one away at the same time; to look at that one would fail."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def remove(self, name: str) -> None:
        self.removed.append(name)
        if name.endswith("going"):
            raise docker.errors.ImageNotFound("it has gone")

    def list(self, *_: object, **__: object) -> list[object]:
        raise docker.errors.ImageNotFound("one of them has gone since it was listed")


def test_names_that_another_smie_takes_away_meanwhile_stop_no_sweep() -> None:
    class Api:
        def images(self, name: str) -> list[dict[str, Any]]:
            assert name == CHECKED
            return [{"RepoTags": [f"{CHECKED}:going", f"{CHECKED}:ours"]}, {"RepoTags": None}, {"RepoTags": ["a/b:c"]}]

    class Client:
        api, images = Api(), Images()

    found = tuple(_forget(cast(docker.DockerClient, Client()), lambda build: build != "theirs"))
    assert found == (f"image {CHECKED}:going", f"image {CHECKED}:ours")
    assert Client.images.removed == [f"{CHECKED}:going", f"{CHECKED}:ours"]
