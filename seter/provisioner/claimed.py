"""Hosts that may be another deployment's, and be taken over from it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from common.errors import Conflict, Error
from seter.provisioner.examined import Examined


@cache
def program() -> str:
    """What runs on hosts."""
    return resources.files("seter.provisioner").joinpath("claim.py").read_text(encoding="utf-8")


class Claimed(Examined):
    """Nodes whose mark can be changed."""

    _seen: dict[str, dict[str, Any] | Error]  # at the last observation

    def owners(self) -> Mapping[str, str]:
        """See the interface."""
        marks = {name: found["mark"] for name, found in self._seen.items() if isinstance(found, dict)}
        return {name: str(mark["deployment"]) for name, mark in marks.items() if mark.get("deployment")}

    def claim(self, node: str, owner: str) -> None:
        """See the interface."""
        result = self._ssh.call(node, program(), (owner, str(self.deployment)))
        if result.code:
            said = result.stderr.strip().splitlines()
            raise Conflict(
                f"{node} was not taken over: {said[-1] if said else f'status {result.code}'}",
                resolution="Look again at whose it is: run the command again.",
            )
