"""The README's tour: every line that starts with `$` is run, on the deployment of this test run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import ROOT, Running

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of the page's console blocks that start with `$ `."""
    lines = "\n".join(BLOCK.findall(page.read_text())).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


TOUR = commands(ROOT / "README.md")


def test_the_tour_has_stations() -> None:
    assert len(TOUR) >= 10


@pytest.mark.parametrize("command", TOUR)
def test_a_command_of_the_tour_works(running: Running, command: str) -> None:
    words = shlex.split(command.replace("--target container", f"--target container --instance {running.instance}"))
    assert running.tools(*words).out.strip()
