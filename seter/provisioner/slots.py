"""Hosts of which some are written, not installed: their disk has two slots, of which one runs (decision 0041)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

from common.console import Report
from common.errors import BadInput, Error, Unavailable
from common.role import Role
from seter.provisioner import hosts
from seter.provisioner.baremetal import BOOT_WITHIN, COMMAND_WITHIN, BaremetalProvisioner
from seter.provisioner.interface import NodeShape
from seter.provisioner.sent import program
from seter.state import InstalledPackage, Written
from seter.tree import NodeTree

WRITTEN_WITHIN = timedelta(minutes=30)  # from the first byte until all is on the disk
GRACE = timedelta(minutes=2)  # from the boot of a slot until somebody has to be heard
# Where a slot does not come up, the other one has to be waited for.
TRIED_WITHIN = 2 * BOOT_WITHIN + GRACE


class SlotProvisioner(BaremetalProvisioner):
    """The hosts of one deployment, those among them that are written."""

    def ensure(self, shape: NodeShape, tree: NodeTree) -> None:
        """See the interface. What roles keep is on the partition of both slots, also after the node was emptied."""
        if self._is_written(shape.name):
            self._started(shape.name)
            self._is_on_trial(shape.name)
        super().ensure(shape, tree)

    def install(self, node: str, wanted: Sequence[tuple[Role, str]], report: Report) -> None:
        """See the interface. What is written is there when its slot runs; it is looked at, and remembered as it is."""
        if not self._is_written(node):
            return super().install(node, wanted, report)
        there = self._said(node)["slots"].get("artifact", "")
        if any(artifact != there for _, artifact in wanted):
            raise Error(
                f"{node} runs the root file system {there or 'of somebody else'}, not that which is wanted",
                resolution="Deploy again: that writes it.",
            )
        self._done(node, "installed", data=hosts.as_data(hosts.installed(wanted)))

    def packages(self, node: str) -> tuple[InstalledPackage, ...] | None:
        """See the interface."""
        if self._is_written(node):
            return None
        rows = (line.split("\t") for line in self._done(node, "packages").splitlines())
        return tuple(InstalledPackage(*row) for row in rows)

    def ready_slot(self, node: str) -> None:
        """See the interface. A slot on trial is left: where the other one is written to, the way back has to run."""
        if self._is_on_trial(node):
            self._restart(node)
            if self._is_on_trial(node):
                raise Error(
                    f"{node} boots a slot that is not the one that its boot loader names",
                    resolution="See its boot menu and its firmware; nothing was written.",
                )

    def _is_on_trial(self, node: str) -> bool:
        result = self._call(node, "slot-ready")
        if result.code:
            raise BadInput(
                f"the host {node} cannot be written: {result.stderr.strip()}",
                resolution="Set its disk up as seter/README.md says (A/B disks), or take `written` out of the target.",
            )
        return result.stdout == "trial"

    def write_slot(self, node: str, system: Written, data: Iterable[bytes], within: timedelta) -> None:
        """See the interface."""
        seconds = (f"{GRACE.total_seconds():.0f}", f"{within.total_seconds():.0f}")
        words = ("slot-write", system.artifact, system.blob, *seconds)
        result = self._ssh.send(node, program("onwriting"), words, data, WRITTEN_WITHIN)
        self._judge(node, "slot-write", result)

    def boot_slot(self, node: str, system: Written, order: Sequence[tuple[str, int]], *, keep: bool) -> None:
        """See the interface."""
        roles = (role for role, _ in order)
        self._done(node, "slot-boot", "keep" if keep else "", *roles, within=_all_of(order))
        self._restart(node, TRIED_WITHIN)
        slots = self._said(node)["slots"]
        if slots.get("artifact") != system.artifact:
            raise Error(
                f"{node} did not come up in the slot that was written; by itself it went back to slot "
                f"{slots.get('booted', '?')}",
                resolution="What its console says tells why. Nothing was lost: mend the artefact and deploy again.",
            )

    def confirm_slot(self, node: str) -> None:
        """See the interface."""
        self._done(node, "slot-confirm")

    def heard(self, node: str) -> bool:
        """See the interface."""
        return self._is_written(node) and bool(self._done(node, "slot-heard"))

    def go_back(self, node: str, order: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """See the interface. By another boot, where the slot of before does not run."""
        if self._is_written(node):
            said = self._done(node, "slot-back", *(role for role, _ in order), within=_all_of(order))
            if said == "reboots":
                self._restart(node)
        return super().go_back(node, order)

    def forget(self, node: str, *, gone_back: bool = False) -> bool:
        """See the interface."""
        noted = self._is_written(node) and bool(self._done(node, "slot-forget"))
        return super().forget(node, gone_back=gone_back) or noted

    def _is_written(self, node: str) -> bool:
        return node in self._nodes and self._nodes[node].written

    def _restart(self, node: str, within: timedelta = BOOT_WITHIN) -> None:
        """It answers in another life. Raises Unavailable."""
        before = self.join(node, "").identity
        with suppress(Unavailable):  # it may be gone before it has answered
            self._done(node, "reboot")
        self._await(node, before, within)


def _all_of(order: Sequence[tuple[str, int]]) -> timedelta:
    """All of them stop, one after the other."""
    return COMMAND_WITHIN + timedelta(seconds=sum(seconds for _, seconds in order))
