"""A place to run a command in as a process of a role would, before there is one: nothing that it does stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

LONGEST = "600"  # seconds; whoever made it may be killed


class Engine(Protocol):
    """What of the SDK's client is needed."""

    def create_host_config(self, **settings: object) -> object:
        """Settings of a container that are the host's business."""
        ...

    def create_container(self, image: str, **settings: object) -> Mapping[str, str]:
        """A container, which has an `Id`."""
        ...

    def start(self, container: str) -> None:
        """It runs."""
        ...

    def remove_container(self, container: str, *, force: bool) -> None:
        """It is gone."""
        ...


@contextmanager
def trial(api: Engine, image: str, node: str) -> Iterator[str]:
    """A container of the image that has the volumes of the node's container and neither network nor rights; its id."""
    rules = api.create_host_config(
        network_mode="none",
        volumes_from=[node],
        read_only=True,
        tmpfs={"/tmp": "rw,nosuid,nodev,size=64m,mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        init=False,
    )
    made = api.create_container(image, entrypoint=["sleep", LONGEST], command=[], host_config=rules)["Id"]
    try:
        api.start(made)
        yield made
    finally:
        api.remove_container(made, force=True)
