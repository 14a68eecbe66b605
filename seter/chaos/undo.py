"""The ways back. Each may be taken twice, and where nothing was done nothing happens."""

from __future__ import annotations

import time
from collections.abc import Callable

from common.errors import Error, NotFound
from seter.chaos.scene import current
from seter.drain import undrain as let_in


def heal() -> None:
    """An ordinary deploy: what is gone is made anew, what stands still is started."""
    current().heal()


def thaw(node: str, role: str) -> None:
    """Processes go on."""
    scene = current()
    if (found := scene.stuttering.pop((node, role), None)) is not None:
        stop, thread = found
        stop.set()
        thread.join()
    scene.seen.provisioner.thaw(node, role)


def unlimit(node: str, role: str) -> None:
    """The role's process has again what it had."""
    current().seen.provisioner.limit(node, role, cores=0.0, memory=0)


def execute(node: str, role: str, argv: list[str], user: str) -> None:
    """Run the command that takes it back. One that cannot run since its role does not is done by the deploy."""
    scene = current()
    try:
        answer = scene.seen.provisioner.execute(node, role, argv, user=user)
    except NotFound:
        scene.heal()
        answer = scene.seen.provisioner.execute(node, role, argv, user=user)
    if answer.code != 0:
        raise Error(
            f"{argv[0]} on {node} ended with status {answer.code}",
            details=(answer.stderr or answer.stdout).strip(),
            resolution="Take it back by hand, then run seter deploy.",
        )


def set_clock(node: str) -> None:
    """To the time of this machine."""
    current().seen.provisioner.set_clock(node, time.time())


def empty_disk(node: str, folder: str) -> None:
    """What filled it is gone."""
    current().seen.provisioner.fill(node, folder, full=False)


def undrain(node: str) -> None:
    """Traffic comes again."""
    scene = current()
    request = scene.request
    let_in(request.deployment, request.systems, node, scene.report, request.state)


WAYS: dict[str, Callable[..., None]] = {
    "heal": heal,
    "thaw": thaw,
    "unlimit": unlimit,
    "execute": execute,
    "undrain": undrain,
    "set_clock": set_clock,
    "empty_disk": empty_disk,
}
