"""`command = […]`: exit status 0 is good."""

from __future__ import annotations

from common.model import Verdict
from common.probe.interface import Probe, Scene, bounded, last_line
from common.role import Check


class CommandProbe(Probe):
    """Runs the command on every node of the scene, in the role's place."""

    def run(self, check: Check, scene: Scene) -> Verdict:
        """See the interface."""
        for node in scene.nodes:
            said = scene.execute(node, scene.role, bounded(check.command))
            if said.code != 0:
                return Verdict(check.name, False, f"{node}: {last_line(said)}", "status 0")
        return Verdict(check.name, True, "status 0", "status 0")
