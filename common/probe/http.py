"""`http = "URL"`: the status code is the expected one. Asked by curl on the node, so that loopback means the node's."""

from __future__ import annotations

from common.model import Verdict
from common.probe.interface import LONGEST_TRY, Probe, Scene, last_line
from common.role import Check

EXPECTED = "200"


def argv(url: str) -> tuple[str, ...]:
    """The command that prints the status code and nothing else."""
    code = "%{http_code}"
    return ("curl", "--silent", "--show-error", "--output", "/dev/null", "--max-time", str(LONGEST_TRY),
            "--write-out", code, url)  # fmt: skip


class HttpProbe(Probe):
    """Asks every node of the scene."""

    def run(self, check: Check, scene: Scene) -> Verdict:
        """See the interface."""
        expected = check.expect or EXPECTED
        for node in scene.nodes:
            said = scene.execute(node, scene.role, argv(check.http))
            measured = said.stdout.strip()
            if measured != expected:
                answer = last_line(said) if said.code or not measured else f"status {measured}"
                return Verdict(check.name, False, f"{node}: {answer}", f"status {expected}")
        return Verdict(check.name, True, f"status {expected}", f"status {expected}")
