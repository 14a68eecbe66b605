"""The manuals of smie, seter and the definitions: every line that starts with `$` is run, in the order of the page.

All on the deployment of this test run; where a page names a second instance, it is one of this run too. The README has
its tour (test_tour.py), naust's manual a store of its own (test_naust_commands.py).
"""

from __future__ import annotations

import shlex

import pytest

from tests.conftest import ROOT, Running
from tests.integration.test_tour import commands

SHOWN = [(name, line) for name in ("smie", "seter", "systems") for line in commands(ROOT / name / "README.md")]


def words(line: str, instance: str) -> list[str]:
    """The command, on this run's deployment."""
    if " --instance " in line:
        line = line.replace(" --instance ", f" --instance {instance}-")
    else:
        line = line.replace(" --target container", f" --target container --instance {instance}")
    return shlex.split(line)


def test_every_manual_shows_commands() -> None:
    assert {name for name, _ in SHOWN} == {"smie", "seter", "systems"}
    assert {line.split()[1] for name, line in SHOWN if name == "seter"} == {
        *("plan", "deploy", "status", "verify", "exec", "destroy", "document", "drain", "undrain", "watch", "doctor"),
        *("rotate", "backup", "restore", "maintain", "history", "show", "diff", "rollback", "operators", "logs"),
        "chaos",
    }


@pytest.mark.parametrize(("name", "line"), SHOWN)
def test_a_command_of_a_manual_works(running: Running, name: str, line: str) -> None:
    assert running.tools(*words(line, running.instance)).out.strip()


def test_the_manuals_leave_the_deployment_as_it_was(running: Running) -> None:
    running.seter("plan", "--exit-code")
