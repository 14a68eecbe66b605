"""Ansible with Mitogen: modules run in one Python for the whole play, where Ansible starts one for each step of a task.

Source: Mitogen for Ansible, "Installation". Decision: common/decisions, 0019.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def mitogen(name: str) -> dict[str, str]:
    """Environment in which Ansible knows the strategies `mitogen_linear`, `mitogen_host_pinned` and `mitogen_free`;
    a play or ANSIBLE_STRATEGY asks for one. `name` is in the title of the process in which modules run."""
    found = find_spec("ansible_mitogen")
    assert found is not None and found.origin is not None, "it is one of our requirements"
    return {
        "ANSIBLE_STRATEGY_PLUGINS": str(Path(found.origin).parent / "plugins" / "strategy"),
        "LOGNAME": name,  # Mitogen asks for that of the user, which not every user id has
        "ANSIBLE_DEPRECATION_WARNINGS": "0",  # the first would be that strategies of others are deprecated
    }
