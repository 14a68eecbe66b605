"""A dead man's switch for a node that is a container: it goes back by itself when it hears nothing any more.

A container of its own joins the node before its files are switched. While a file in memory is touched now and then all
is well, and when it is gone the guard is not needed. When nobody touches it, the guard switches the files back and does
again, as they were, the tasks that set the node up; processes that go on see that their files are others. The next
deploy puts back the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from common.system import Deployment
from seter.provisioner import labels
from seter.provisioner.docker_errors import translated
from seter.provisioner.kept import BACK
from seter.provisioner.labels import Listed
from seter.tree import ALONE, ROOT

SUFFIX = "_guard"  # end of its name; no name of a role has such a letter
HEARD = "/run/seter-heard"

# $1 is the time in seconds, what follows is what to do again.
WATCH = f"""within=$1; shift
while sleep 1; do
    now=$(date +%s); heard=$(stat -c %Y {HEARD} 2>/dev/null) || exit 0
    [ $((now - heard)) -lt "$within" ] || break
done
{BACK}
touch {ROOT}/{ALONE}
[ $# -eq 0 ] || exec "$@" """


class Engine(Protocol):
    """What of the SDK's client is needed."""

    def containers(self, *, all: bool, filters: object) -> Sequence[Listed]:
        """Containers, as a list tells of them."""
        ...

    def inspect_container(self, container: str) -> Mapping[str, Any]:
        """All that is known of one."""
        ...

    def create_host_config(
        self,
        *,
        network_mode: str,
        volumes_from: list[str],
        cap_drop: list[str],
        cap_add: list[str],
        security_opt: list[str],
    ) -> object:
        """Settings of a container that are the host's business."""
        ...

    def create_container(
        self,
        image: str,
        *,
        entrypoint: list[str],
        command: list[str],
        name: str,
        labels: dict[str, str],
        host_config: object,
    ) -> Mapping[str, str]:
        """A container, which has an `Id`."""
        ...

    def start(self, container: str) -> None:
        """It runs."""
        ...

    def remove_container(self, container: str, *, force: bool) -> None:
        """It is gone."""
        ...


class Guard:
    """Of all nodes of one deployment; `name` is that of a node's container."""

    def __init__(self, api: Engine, deployment: Deployment) -> None:
        self._api, self._deployment = api, deployment

    def arm(self, name: str, node: str, roles: Collection[str], seconds: int) -> None:
        """Put one there. Of these roles a task is done again as it was; one is enough, since a node has one at most."""
        with translated(f"putting a guard on {node}"):
            self.disarm(name, node)
            listed = self._of(node)
            tasks = [each for each in listed if self._is_task(each) and each["Labels"].get(labels.ROLE) in roles]
            model = tasks[0] if tasks else next(each for each in listed if each["Labels"][labels.PART] == "node")
            seen = self._api.inspect_container(model["Id"])
            settings = seen["Config"]
            again = [*(settings["Entrypoint"] or []), *(settings["Cmd"] or [])] if tasks else []
            host = self._api.create_host_config(
                network_mode=f"container:{name}",
                volumes_from=[name],
                cap_drop=["ALL"],
                cap_add=seen["HostConfig"]["CapAdd"] or [] if tasks else [],
                security_opt=["no-new-privileges"],
            )
            made = self._api.create_container(
                seen["Image"],
                entrypoint=["sh", "-c", WATCH, "guard", str(seconds)],
                command=again,
                name=name + SUFFIX,
                labels=labels.of_part(self._deployment, "guard") | {labels.NODE: node},
                host_config=host,
            )
            self._api.start(made["Id"])

    def disarm(self, name: str, node: str) -> None:
        """None is there any more."""
        with translated(f"taking the guard from {node}"):
            for each in self._of(node):
                if f"/{name}{SUFFIX}" in each["Names"]:
                    self._api.remove_container(each["Id"], force=True)

    def _of(self, node: str) -> Sequence[Listed]:
        marks = [f"{labels.DEPLOYMENT}={self._deployment}", f"{labels.NODE}={node}"]
        return self._api.containers(all=True, filters={"label": marks})

    @staticmethod
    def _is_task(listed: Listed) -> bool:
        return listed["Labels"].get(labels.TYPE) == "oneshot" and not labels.is_aside(listed)
