"""Nodes that are hosts, broken on purpose: what experiments need and a deploy does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources

from common.errors import Error, NotFound
from common.run import Result
from seter.provisioner.claimed import Claimed
from seter.provisioner.onhost_break import NOT_RUNNING
from seter.provisioner.ssh import Ssh


@cache
def _program() -> str:
    return resources.files("seter.provisioner").joinpath("onhost_break.py").read_text(encoding="utf-8")


class BreakableHosts(Claimed):
    """Hosts that can be broken; `_ssh` is how they are reached."""

    _ssh: Ssh

    def freeze(self, node: str, role: str = "") -> None:
        """See the interface. By SIGSTOP to every process of the units; the kernel goes on and takes packets."""
        self._break(node, "freeze", *([role] if role else []))

    def thaw(self, node: str, role: str = "") -> None:
        """See the interface."""
        self._break(node, "thaw", *([role] if role else []))

    def end(self, node: str, role: str, now: Callable[[], None] = lambda: None) -> None:
        """See the interface."""
        now()
        self._break(node, "end", role)

    def limit(self, node: str, role: str, *, cores: float, memory: int) -> None:
        """See the interface. By the unit's own limits, until it starts anew."""
        self._break(node, "limit", role, f"{cores * 100:.0f}%" if cores else "", str(memory or ""))

    def set_clock(self, node: str, when: float) -> None:
        """See the interface. Of a physical host the hardware's clock stays as it is."""
        self._break(node, "clock", f"{when:.3f}")

    def fill(self, node: str, folder: str, *, full: bool) -> None:
        """See the interface."""
        self._break(node, "fill" if full else "empty", folder)

    def _break(self, node: str, verb: str, *words: str) -> Result:
        result = self._ssh.call(node, _program(), (verb, *words), b"")
        if result.code == NOT_RUNNING:
            raise NotFound(f"{words[0]} does not run on {node}", resolution="Run: seter deploy")
        if result.code:
            raise Error(
                f"{node}: {verb} ended with status {result.code}",
                details=result.stderr.strip(),
                resolution="See what systemd says there.",
            )
        return result
