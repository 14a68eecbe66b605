"""What experiments may do: functions for providers of type python in their files.

Each says on disk how it is taken back before it does anything. Nodes and roles are named; groups are in the
configuration of every experiment, as `gateways_1` for the first node of the group `gateways`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta

from common.errors import BadInput, Error
from common.model import Event
from common.values import Wrong, as_size
from seter.backup import backup as back_up
from seter.chaos import undo
from seter.chaos.ledger import Due
from seter.chaos.scene import Scene, current
from seter.deploy import deploy
from seter.drain import drain as let_out
from seter.nodes import rebooting, restarting
from seter.restore import restore as bring_back

SLICE = 0.25  # seconds of a process that stutters: it stands still for a share of each
DRAIN_WITHIN = timedelta(seconds=30)


def power_off(node: str) -> str:
    """The node and all that runs on it are gone at once; an ordinary deploy brings it back."""
    scene = current()
    what = f"{scene.node(node)} loses its power"
    with scene.changing(what, node, Due("heal", {}, f"deploy: {node} comes back")):
        scene.seen.provisioner.kill(node)
    return what


def freeze(node: str, role: str = "") -> str:
    """All processes of the node, or those of one role, stand still and say nothing: connections stay open."""
    scene = current()
    what = f"{role or 'everything'} on {scene.node(node)} stands still"
    with scene.changing(
        what, node, Due("thaw", {"node": node, "role": role}, f"{role or 'everything'} on {node} goes on")
    ):
        scene.seen.provisioner.freeze(node, role)
    return what


def thaw(node: str, role: str = "") -> str:
    """Take `freeze` or `slow` back before the experiment ends."""
    return _back(Due("thaw", {"node": node, "role": role}, f"{role or 'everything'} on {node} goes on"))


def slow(node: str, role: str, share: float = 0.8) -> str:
    """The role's processes stand still for this share of the time, a quarter of a second at most each time. Raises
    BadInput."""
    scene = current()
    if not 0 < share < 1:
        raise BadInput(f"a share of {share:g} of the time", resolution="Give one between 0 and 1.")
    what = f"{role} on {scene.node(node)} is slow: it stands still for {share:.0%} of the time"
    with scene.changing(what, node, Due("thaw", {"node": node, "role": role}, f"{role} on {node} goes on")):
        stop = threading.Event()
        thread = threading.Thread(target=_stutter, args=(scene, node, role, share, stop), daemon=True)
        scene.stuttering[node, role] = (stop, thread)
        thread.start()
    return what


def _stutter(scene: Scene, node: str, role: str, share: float, stop: threading.Event) -> None:
    provisioner = scene.seen.provisioner
    while not stop.is_set():
        try:
            begun = time.monotonic()
            provisioner.freeze(node, role)
            stop.wait(max(0.0, SLICE * share - (time.monotonic() - begun)))
            provisioner.thaw(node, role)
            stop.wait(max(0.0, SLICE - (time.monotonic() - begun)))
        except Error as error:
            scene.report(Event("waiting", f"{role} on {node}", error.message))
            stop.wait(SLICE)


def kill(node: str, role: str) -> str:
    """The role's processes are killed (SIGKILL); who looks after them starts them anew, or the deploy does."""
    scene = current()
    what = f"{role} on {scene.node(node)} is killed"
    with scene.changing(what, node, Due("heal", {}, f"deploy: {role} on {node} runs")) as mark:
        scene.seen.provisioner.end(node, role, mark.now)
    return what


def limit(node: str, role: str, cores: float = 0.0, memory: str = "") -> str:
    """The role's processes get so much of a core, and so much memory, such as 256MiB. Raises BadInput."""
    scene = current()
    try:
        size = as_size(memory) if memory else 0
    except Wrong as wrong:
        raise BadInput(f"memory: {wrong.message}", resolution=f"{wrong.fix.capitalize()}.") from wrong
    some = " and ".join(filter(None, [f"{cores:g} of a core" if cores else "", memory]))
    if not some:
        raise BadInput("neither cores nor memory", resolution="Say what is limited.")
    what = f"{role} on {scene.node(node)} gets {some}"
    with scene.changing(what, node, Due("unlimit", {"node": node, "role": role}, f"{role} on {node} is not limited")):
        scene.seen.provisioner.limit(node, role, cores=cores, memory=size)
    return what


def execute(
    node: str,
    role: str,
    argv: list[str],
    what: str,
    user: str = "root",
    back: list[str] | None = None,
    back_role: str = "",
    back_user: str = "",
) -> str:
    """Run a command where the role's process runs; `back` is the command that takes it back, by default as the same
    user in the same role; without one a deploy does. Raises Error when it fails."""
    scene = current()
    words = f"{what} on {scene.node(node)}"
    due = Due("heal", {}, f"deploy after: {words}")
    if back:
        where = {"node": node, "role": back_role or role, "user": back_user or user}
        due = Due("execute", {**where, "argv": back}, f"no longer: {words}")
    with scene.changing(words, node, due):
        answer = scene.seen.provisioner.execute(node, role, argv, user=user)
        if answer.code != 0:
            raise Error(
                f"{argv[0]} on {node} ended with status {answer.code}",
                details=f"{answer.stderr}{answer.stdout}".strip(),  # the last words are what is kept
                resolution="See the experiment's file.",
            )
    return words


def restore(role: str) -> str:
    """What the role holds is copied, and put back to that copy on all its nodes, as `seter backup` and `seter restore`
    do; a deploy has the last word."""
    scene = current()
    what = f"{role} goes back to a copy"
    with scene.changing(what, "", Due("heal", {}, f"deploy: {role} holds what is wanted")):
        back_up(scene.request, role=role, keep=2, report=scene.report)
        bring_back(scene.request, "", role=role, ask=lambda question: None, report=scene.report)
    return what


def drain(node: str) -> str:
    """New traffic goes elsewhere, what is under way ends: as `seter drain`."""
    scene = current()
    what = f"{scene.node(node)} is drained"
    request = scene.request
    with scene.changing(what, node, Due("undrain", {"node": node}, f"{node} gets traffic again")):
        let_out(request.deployment, request.systems, node, scene.report, DRAIN_WITHIN, request.state)
    return what


def undrain(node: str) -> str:
    """Take `drain` back before the experiment ends."""
    return _back(Due("undrain", {"node": node}, f"{node} gets traffic again"))


def reboot(node: str) -> str:
    """Drained, rebooted, looked at and let in again: as `seter reboot`."""
    scene = current()
    what = f"{scene.node(node)} is rebooted in order"
    with scene.changing(what, node, Due("heal", {}, f"deploy: {node} runs")):
        request = replace(rebooting(scene.request, [node], ""), verb="reboot")
        deploy(request, report=scene.report, confirm=lambda plan: True)
    return what


def update(role: str) -> str:
    """The role's process is made anew on each of its nodes, one node after the other, as an update does it. Raises
    BadInput for a role that no node has."""
    scene = current()
    what = f"{role} is made anew on each of its nodes"
    with scene.changing(what, "", Due("heal", {}, f"deploy: {role} runs")):
        request = replace(restarting(scene.request, role), verb="update")
        deploy(request, report=scene.report, confirm=lambda plan: True)
    return what


def shift_clock(node: str, seconds: int) -> str:
    """The node's clock jumps by so many seconds; what keeps its time is not told. The way back sets it to ours."""
    scene = current()
    what = f"the clock of {scene.node(node)} jumps by {seconds} s"
    with scene.changing(what, node, Due("set_clock", {"node": node}, f"the clock of {node} is right")):
        scene.seen.provisioner.set_clock(node, time.time() + seconds)
    return what


def fill_disk(node: str, folder: str = "/var/lib") -> str:
    """Nothing is left for anybody but root on the file system of this folder of the node."""
    scene = current()
    what = f"the disk of {scene.node(node)} is full"
    due = Due("empty_disk", {"node": node, "folder": folder}, f"{node} has room on its disk")
    with scene.changing(what, node, due):
        scene.seen.provisioner.fill(node, folder, full=True)
    return what


def deployed() -> str:
    """An ordinary deploy, in the middle of an experiment."""
    scene = current()
    with scene.changing("deploy"):
        scene.heal()
    return "deployed"


def take_back() -> str:
    """All that is still done: the one rollback of most experiments."""
    scene = current()
    if faults := scene.take_back(undo.WAYS):
        raise faults[0]
    return "all is taken back"


def _back(due: Due) -> str:
    if faults := current().take_back(undo.WAYS, due):
        raise faults[0]
    return due.what
